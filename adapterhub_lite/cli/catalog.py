"""Commands about public adapters: `search`, `catalog load`, `catalog update`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.command import AhlGroup, command, settings
from adapterhub_lite.cli.output import console, echo, print_json, table
from adapterhub_lite.cli.records import KINDS, row, summary

if TYPE_CHECKING:
    from adapterhub_lite.catalog.update import Report

SHOWN = 10
"""Hub ids of one sort that an update's report shows; `--json` has all."""


@command(
    "search",
    brief=True,
    examples=(
        "ahl search swahili",
        "ahl search ner wikiann --base bert-base-multilingual-cased",
        "ahl search --lang quechua --kind language",
        "ahl search sentiment pfeiffer --remote --json",
    ),
)
@click.argument("text", nargs=-1)
@click.option("--lang", metavar="LANGUAGE", help="Language, by tag or English name.")
@click.option("--kind", type=click.Choice(KINDS), help="What they are for.")
@click.option("--task", metavar="NAME", help="Task.")
@click.option("--base", metavar="NAME", help="Base model, by its old or current Hub id.")
@click.option("--method", metavar="NAME", help="Method (`ahl methods` lists them).")
@click.option("--remote/--local", default=None, help="Known but not on disk, or on disk.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=20,
    show_default=True,
    help="Only the best N.",
)
def search(
    text: tuple[str, ...],
    lang: str | None,
    kind: str | None,
    task: str | None,
    base: str | None,
    method: str | None,
    remote: bool | None,
    limit: int,
) -> None:
    """Search adapters, on disk or remote, by any word.

    Every word of TEXT is looked for in names, Hub ids, languages (tags and English names), tasks,
    data sets, base models, methods, kinds and authors. Best matches first; where nothing has every
    word, what has the most of them.
    """
    from adapterhub_lite.catalog.search import search as find

    run = settings()
    hits = find(
        run.open_home().registry,
        " ".join(text),
        language=lang,
        kind=kind,
        task=task,
        base_name=base,
        method=method,
        remote=remote,
    )
    shown = hits[:limit]
    if run.json:
        print_json([_hit(hit) for hit in shown])
        return
    head = ("ref", "kind", "languages", "task", "method", "base", "where")
    table(head, [row(hit.adapter) for hit in shown], prose=("languages",))
    more = f", the best {len(shown)} shown" if len(hits) > len(shown) else ""
    run.say(f"{len(hits)} adapter{'s' * (len(hits) != 1)}{more}")
    if hits and hits[0].lacks:
        run.say("none has every word; `ahl resolve` combines adapters for a language and a task")


def _hit(hit: Any) -> dict[str, Any]:
    return summary(hit.adapter) | {
        "score": hit.score,
        "found_in": list(hit.fields),
        "lacks": list(hit.lacks),
    }


@click.group(
    "catalog",
    cls=AhlGroup,
    examples=("ahl catalog load", "ahl catalog update"),
)
def catalog() -> None:
    """Public adapters, known by their Hub ids.

    They are remote adapters: listed, searched and resolved, and pulled when they are attached.
    """


@command("load", examples=("ahl catalog load", "ahl --home team catalog load"))
def load() -> None:
    """Add the public adapters that the package knows to a home.

    They are remote adapters: listed, searched and resolved, and pulled when they are attached. What
    the home has from the same Hub ids stays as it is. Needs no network.
    """
    from adapterhub_lite import catalog as room

    run = settings()
    home = run.open_home()
    loaded = room.load(home.registry, home.plugins())
    if run.json:
        print_json(loaded)
    run.say(f"{loaded.new} remote adapters added, {loaded.known} were known")


@command(
    "update",
    examples=(
        "ahl catalog update",
        "ahl catalog update --base xlm-roberta-base --dry-run",
    ),
)
@click.option("--base", metavar="NAME", help="Only adapters for this base model.")
@click.option("--endpoint", metavar="URL", help="Hub [default: HF_ENDPOINT, else huggingface.co].")
@click.option("--dry-run", is_flag=True, help="Report, and change nothing.")
def update(base: str | None, endpoint: str | None, dry_run: bool) -> None:
    """Refresh remote adapters from the Hub.

    Are they there, at which commit, how large are their weights, and with which hash? Derived ids
    that are there become verified, and resolve as such; those that are gone no longer resolve.
    Adapters that the Hub lists for the same bases and that are not known here are named. Asks first
    and writes last: an update that fails changes nothing.
    """
    from rich.progress import Progress

    from adapterhub_lite.catalog.update import update as refresh

    run = settings()
    registry = run.open_home().registry
    with Progress(console=console(err=True), transient=True, disable=run.quiet) as bar:
        task = bar.add_task("asking the Hub", total=None)
        report = refresh(
            registry,
            base=base,
            endpoint=endpoint,
            dry_run=dry_run,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if run.json:
        print_json(report)
        return
    _print(report)
    would = "would change" if dry_run else "changed"
    changed = len({*report.verified, *report.moved, *report.vanished}) if dry_run else None
    run.say(f"{report.written if changed is None else changed} records {would}")


def _print(report: Report) -> None:
    for name, what in (
        ("verified", "were derived and are there"),
        ("moved", "have a new commit"),
        ("vanished", "are not there, or not to be seen"),
        ("empty", "have no weights file"),
        ("new", "are listed for these bases and not known here"),
    ):
        ids = getattr(report, name)
        if ids:
            echo(f"{len(ids)} {what}")
            for hub_id in ids[:SHOWN]:
                echo(f"  {hub_id}")
            if len(ids) > SHOWN:
                echo(f"  and {len(ids) - SHOWN} more (`--json` lists them)")
    echo(f"{report.unchanged} unchanged")


catalog.add_command(load)
catalog.add_command(update)

COMMANDS = (search, catalog)

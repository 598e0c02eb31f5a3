"""The command `gaps`: what resolves how over a whole grid, and what to train next."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.command import command, settings
from adapterhub_lite.cli.output import PICTURE, console, print_json, table

if TYPE_CHECKING:
    from adapterhub_lite.gaps import Cost, Gaps
    from adapterhub_lite.resolver import Request

SHOWN = 8
"""Ways to lift cells that the text shows; `--json` has all."""


@command(
    "gaps",
    examples=(
        "ahl gaps --base e5-mmt-6",
        "ahl gaps --task pos --source en --target gv --target sw --base e5-mmt-6",
        "ahl gaps --task ner --base bert-base-multilingual-cased --picture gaps.svg",
    ),
)
@click.option("--task", "tasks", multiple=True, help="Task; repeatable [default: all].")
@click.option("--source", "sources", multiple=True, help="Language of labels [default: all].")
@click.option("--target", "targets", multiple=True, help="Language of texts [default: all].")
@click.option("--base", help="Base model [default: the only one with task adapters].")
@click.option(
    "--policy",
    type=click.Choice(["bilingual", "matched", "scores"]),
    default="bilingual",
    show_default=True,
    help="As for `ahl resolve`.",
)
@click.option("--picture", type=PICTURE, help="Draw the grid (.svg, .png).")
def gaps(
    tasks: tuple[str, ...],
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    base: str | None,
    policy: str,
    picture: Path | None,
) -> None:
    """Show what resolves how, and what to train next.

    Every source, target and task is resolved. Then come the adapters that would lift most cells to
    a better strategy, for each adapter to be made, and what covering the whole grid costs with
    monolingual adapters (N) and with bilingual ones (one a pair).
    """
    from adapterhub_lite.gaps import survey

    run = settings()
    home = run.open_home()
    found = survey(
        home,
        tasks=tasks,
        sources=sources,
        targets=targets,
        base=base,
        policy=policy,
        progress=None if run.quiet else _bar,
    )
    if run.json:
        print_json(found.to_json())
    else:
        _print(found)
    if picture is not None:
        from adapterhub_lite.gaps.picture import picture as draw

        names = tuple(strategy.name for strategy in home.plugins().strategies)
        run.say(f"drew `{draw(found, picture, names)}`")


def _bar(requests: Iterable[Request], number: int) -> Iterable[Request]:
    from rich.progress import track

    words = f"resolving {number} requests"
    return track(requests, words, number, console=console(err=True), transient=True)


def _print(found: Gaps) -> None:
    targets = tuple(dict.fromkeys(cell.target for cell in found.cells))
    rows: dict[tuple[str, str], list[str]] = {}
    for cell in found.cells:
        rows.setdefault((cell.task, cell.source), []).append(cell.strategy or "-")
    table(
        ("task", "source", *targets),
        ((*key, *row) for key, row in rows.items()),
    )
    covered = sum(cell.covered for cell in found.cells)
    say = settings().say
    say(f"{covered} of {len(found.cells)} cells have an adapter that knows the target's language")
    for way in found.ways[:SHOWN]:
        cells = f"{len(way.cells)} cell{'s' if len(way.cells) > 1 else ''}"
        say("")
        say(f"lifts {cells} to {way.strategy}: {way.what}")
        for line in way.commands:
            say(f"  {line}")
    if len(found.ways) > SHOWN:
        say(f"and {len(found.ways) - SHOWN} more ways (`--json` lists them)")
    say("")
    say("to cover the whole grid:")
    for cost in found.costs:
        say(f"  {_words(cost)}")


def _words(cost: Cost) -> str:
    tokens = f"about {cost.tokens:,} tokens" if cost.tokens is not None else "tokens not known"
    return (
        f"{cost.scheme}: {cost.needed} {cost.kind} adapters ({cost.lacking} lack) and "
        f"{cost.tasks_needed} task adapters ({cost.tasks_lacking} lack), {tokens} of training left"
    )


COMMANDS = (gaps,)

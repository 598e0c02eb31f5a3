"""Commands for the Hub: `push`, `pull`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.command import command, settings
from adapterhub_lite.cli.details import detail_options, details_of
from adapterhub_lite.cli.output import console, echo, print_json, table
from adapterhub_lite.cli.records import summary
from adapterhub_lite.foreign import text

if TYPE_CHECKING:
    from adapterhub_lite.hub import Pulled, PulledStack, Pushed
    from adapterhub_lite.hub.download import Progress


@command(
    "push",
    examples=(
        "ahl push sw-wiki lab/sw-wiki --dry-run",
        "ahl push sw-wiki lab/sw-wiki --private --tag v1 -m 'Swahili, 20,000 steps'",
        "ahl push ner-en others/ner-en --pr",
        'ahl push --stack "stack(sw-wiki, ner-en)" lab/ner-sw',
    ),
)
@click.argument("ref")
@click.argument("repo")
@click.option("--stack", is_flag=True, help="REF is a composition: push all that it needs.")
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--pr", "create_pr", is_flag=True, help="Propose the change in a pull request.")
@click.option("-m", "--message", metavar="TEXT", help="Message of the commit.")
@click.option("--tag", "tags", multiple=True, help="Name for the commit; may be repeated.")
@click.option("--no-card", "with_card", flag_value=False, default=True, help="Leave README.md.")
@click.option("--dry-run", is_flag=True, help="Only list what would be sent; asks nobody.")
def push(ref: str, repo: str, stack: bool, private: bool, **options: Any) -> None:
    """Push adapter REF to REPO on the Hub.

    REPO is `OWNER/NAME`, and is made where it is not there. It then holds the adapter in this
    package's form, in that of `peft` or `adapters` where its method has one there, and a card.
    Nothing else is sent, and what somebody else changed meanwhile is not overwritten. The token is
    that of `hf auth login`, or HF_TOKEN.
    """
    from adapterhub_lite import hub

    run = settings()
    _show_waits()
    send = hub.push_stack if stack else hub.push
    with _bars() as progress:
        pushed = send(
            ref, repo, home=run.open_home(), private=private or None, progress=progress, **options
        )
    if run.json:
        print_json(pushed)
    elif pushed.dry_run:
        table(
            ("file", "bytes", "sha256"),
            ((file.path, str(file.size), file.sha256) for file in pushed.files),
        )
    else:
        echo(f"{pushed.repo}@{pushed.commit}")
    for note in pushed.notes:
        run.say(f"note: {note}")
    run.say(_done(pushed))


def _done(pushed: Pushed) -> str:
    size = sum(file.size for file in pushed.files)
    if pushed.dry_run:
        files = f"{len(pushed.files)} files, {_megabytes(size)}"
        return f"would send {files} to {pushed.repo}; nothing was sent"
    if not pushed.changed and not pushed.removed:
        return f"nothing changed: {pushed.repo} holds exactly this"
    what = f"{len(pushed.changed)} files changed"
    what += f", {len(pushed.removed)} removed" if pushed.removed else ""
    if pushed.pull_request:
        return f"proposed at {pushed.pull_request} ({what})"
    return f"pushed to {pushed.url} ({what})"


@command(
    "pull",
    examples=(
        "ahl pull lab/sw-wiki",
        "ahl pull lab/sw-wiki@v1 --name sw-wiki",
        "ahl pull AdapterHub/bert-base-multilingual-cased-sw-wiki_pfeiffer --allow-pickle",
        "ahl pull org/ner-lora --kind task --task ner --source en",
        "ahl pull --stack lab/ner-sw --lock ner-sw.lock",
        "ahl pull lab/sw-wiki --offline",
    ),
)
@click.argument("repo")
@click.option("--stack", is_flag=True, help="REPO holds a stack: pull all of it.")
@click.option("--name", help="Name in this registry [default: REPO].")
@click.option("--offline", is_flag=True, help="Answer from what was pulled before.")
@click.option("--allow-pickle", is_flag=True, help="Read old `.bin` weights (restricted loader).")
@click.option(
    "--max-size", type=click.FloatRange(min=0), metavar="MB", help="Take no more [default: 2147]."
)
@click.option("--lock", type=click.Path(path_type=Path), help="With --stack: write its lock here.")
@detail_options
@click.option("--base", help="Base model, where the files name none or a path.")
def pull(
    repo: str,
    stack: bool,
    name: str | None,
    offline: bool,
    allow_pickle: bool,
    max_size: float | None,
    lock: Path | None,
    base: str | None,
    **said: Any,
) -> None:
    """Pull the adapter in REPO from the Hub.

    REPO is `OWNER/NAME`, or `OWNER/NAME@REVISION` with a branch, tag or commit. Repositories of
    this package say all of an adapter. For those of `peft` and `adapters`, what the catalogue does
    not know of kind, languages and task is taken from the options, as by `ahl import`. Every file
    is compared with the hash that the Hub lists, and nothing is executed.
    """
    from adapterhub_lite import hub
    from adapterhub_lite.hub.selection import LARGEST

    run = settings()
    _check_options(stack=stack, name=name, lock=lock, allow_pickle=allow_pickle, base=base, **said)
    _show_waits()
    largest = LARGEST if max_size is None else int(max_size * 1e6)
    with _bars() as progress:
        shared: dict[str, Any] = {
            "home": run.open_home(),
            "offline": offline,
            "largest": largest,
            "progress": progress,
        }
        if stack:
            _show_stack(hub.pull_stack(repo, **shared), lock)
            return
        details = details_of(**said) if any(said.values()) else None
        pulled = hub.pull(
            repo, name=name, details=details, base=base, allow_pickle=allow_pickle, **shared
        )
    _show(pulled)


def _check_options(*, stack: bool, lock: Path | None, **single: Any) -> None:
    given = [name for name, value in single.items() if value]
    if stack and given:
        option = given[0].rstrip("s") if given[0] == "sources" else given[0].replace("_", "-")
        raise click.UsageError(f"'--{option}' is for one adapter, not for a stack")
    if lock is not None and not stack:
        raise click.UsageError("'--lock' is for a stack: give '--stack' as well")


def _show(pulled: Pulled) -> None:
    run = settings()
    if run.json:
        values = {**_fields(pulled), **summary(pulled.adapter)}
        print_json(values)
    else:
        echo(pulled.adapter.ref)
    for note in pulled.notes:
        run.say(f"note: {note}")
    where = f"{pulled.repo}@{pulled.commit[:12]}"
    if pulled.offline:
        run.say(f"offline: {where} as it was pulled before; nobody asked for anything newer")
    elif not pulled.fetched:
        run.say(f"nothing to do: {where} is here already")
    else:
        run.say(f"pulled {where} ({_megabytes(pulled.size)})")


def _fields(pulled: Pulled) -> dict[str, Any]:
    names = ("repo", "revision", "commit", "fetched", "offline", "size", "notes")
    return {name: getattr(pulled, name) for name in names}


def _show_stack(pulled: PulledStack, path: Path | None) -> None:
    run = settings()
    if path is not None:
        _write_lock(pulled, path)
    if run.json:
        names = ("composition", "repo", "revision", "commit", "offline", "size")
        values = {name: getattr(pulled, name) for name in names}
        print_json({**values, "adapters": [summary(a) for a in pulled.adapters]})
    else:
        echo(pulled.composition)
    how = "as they were pulled before" if pulled.offline else _megabytes(pulled.size)
    run.say(f"{len(pulled.adapters)} adapters of {pulled.repo}@{pulled.commit[:12]}, {how}")


def _write_lock(pulled: PulledStack, path: Path) -> None:
    from adapterhub_lite import lock as locks

    made = pulled.lock or locks.make(pulled.composition, home=settings().open_home())
    locks.write(made, path)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def _show_waits() -> None:
    from adapterhub_lite.cli.progress import show_log

    show_log(quiet=settings().quiet)


@contextmanager
def _bars() -> Iterator[Progress | None]:
    """Show a bar a file on a terminal; through a pipe, nothing."""
    if settings().quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        rich.DownloadColumn(),
        rich.TransferSpeedColumn(),
    )
    with rich.Progress(*columns, console=console(err=True), transient=True) as shown:
        bars: dict[str, Any] = {}

        def told(path: str, done: int, size: int) -> None:
            if path not in bars:
                bars[path] = shown.add_task(text.one_line(path), total=size)
            shown.update(bars[path], completed=done)

        yield told


COMMANDS = (push, pull)

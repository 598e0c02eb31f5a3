"""Commands about a home as a whole: `init`, `verify`, `gc`, `rebuild`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.command import ExitCode, command, settings
from adapterhub_lite.cli.output import echo, print_json

if TYPE_CHECKING:
    from adapterhub_lite.home import Home
    from adapterhub_lite.registry import Registry
    from adapterhub_lite.registry.garbage import Garbage
    from adapterhub_lite.registry.rebuilding import Rebuilt


@command(
    "init",
    examples=(
        "ahl init",
        "ahl init team --no-catalog",
        "ahl init team --database postgresql+psycopg://user@host/adapters --objects s3://bucket/ahl",
    ),
)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--database", metavar="URL", help="Database elsewhere [default: PATH/registry.db].")
@click.option("--objects", metavar="URL", help="Weights elsewhere [default: PATH/objects].")
@click.option(
    "--catalog/--no-catalog",
    "with_catalog",
    default=True,
    help="Add the public adapters that this package knows, as remote ones.",
    show_default=True,
)
def init(
    path: Path | None, database: str | None, objects: str | None, *, with_catalog: bool
) -> None:
    """Make a home: a folder for a registry, weights and plugins.

    PATH is `--home`, or the working directory, when left out. The registry starts with the public
    adapters of the catalogue, so that `ahl search` and `ahl resolve` have answers at once; they are
    pulled when they are first attached.
    """
    from adapterhub_lite import catalog
    from adapterhub_lite.home import Home

    run = settings()
    if path is not None and run.home is not None:
        raise click.UsageError(f"PATH is `{path}` and --home is `{run.home}`: give one of them")
    home = Home.init(path or run.home or Path(), database=database, objects=objects)
    empty = with_catalog and not home.registry.count()
    new = catalog.load(home.registry, home.plugins()).new if empty else 0
    if run.json:
        # a URL may hold a password: what it stands for is in the registry's own label
        database = home.registry.database.label
        values = {"home": home.path, "database": database, "objects": home.objects_url}
        values["remote_adapters"] = new
        print_json(values)
    public = f", with {new} public adapters (`ahl search`)" if new else ""
    run.say(f"home `{home.path}` is ready{public}")
    if count := home.unrecorded():
        run.say(f"`{home.objects_url}` holds {count} objects without record: `ahl rebuild`")


@command("verify", examples=("ahl verify", "ahl --home team verify --json"))
@click.pass_context
def verify(context: click.Context) -> None:
    """Check every record and every byte of a home.

    Exit code 1 if anything is wrong.
    """
    run = settings()
    home = run.open_home()
    problems = home.verify()
    if run.json:
        print_json(problems)
    else:
        for problem in problems:
            for line in problem.lines():
                echo(line)
        run.say(f"{len(problems)} problems" if problems else f"`{home.path}` is sound")
    context.exit(ExitCode.FAILED if problems else ExitCode.DONE)


@command(
    "gc",
    examples=("ahl gc --dry-run", "ahl gc", "ahl gc --keep 0", "ahl --home team gc --shared"),
)
@click.option("--dry-run", is_flag=True, help="Only list what would be done, with sizes.")
@click.option(
    "--keep",
    "keep_days",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="Days that objects stay in the trash [default: 14]; 0 removes them at once.",
)
@click.option("--yes", is_flag=True, help="Also if no object has a record, or most have none.")
@click.option("--shared", is_flag=True, help="Keep what any home needs that uses the same objects.")
@click.option(
    "--forget",
    type=click.Path(path_type=Path),
    metavar="HOME",
    help="Take a home that does not use the objects any more off their list, and do no more.",
)
def gc(dry_run: bool, keep_days: int | None, yes: bool, shared: bool, forget: Path | None) -> None:
    """Remove weights that no record needs.

    They are what `ahl remove` and interrupted additions leave on disk. They first go to the trash
    of the object store, where they stay for some days; a later `gc` removes them, or puts them back
    if a record needs them again. Nothing is removed if the registry does not pass its check, names
    no object at all, or is not the only one that the objects belong to.
    """
    run = settings()
    home = run.open_home()
    if forget is not None:
        _forget(home, forget, {"--dry-run": dry_run, "--keep": keep_days, "--shared": shared})
        return
    garbage = home.gc(keep_days=keep_days, confirmed=yes, shared=shared, dry_run=dry_run)
    if run.json:
        removed = [item.place for item in garbage if item.action != "put back"]
        values = {"removed": removed, "done": garbage, "bytes": _bytes(garbage)}
        print_json({**values, "dry_run": dry_run})
        return
    for item in garbage:
        echo(str(item))
    run.say(_summary(garbage, dry_run=dry_run))


def _forget(home: Home, folder: Path, others: Mapping[str, object]) -> None:
    for option, value in others.items():
        if value not in (None, False):
            raise click.UsageError(f"--forget does nothing else: leave out {option}")
    home.forget_owner(folder)
    run = settings()
    if run.json:
        print_json({"forgotten": folder})
    run.say(f"`{folder}` is off the list of `{home.store.label}`")


def _bytes(garbage: Sequence[Garbage]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for item in garbage:
        sizes[item.action] = sizes.get(item.action, 0) + item.size
    return sizes


def _summary(garbage: Sequence[Garbage], *, dry_run: bool) -> str:
    counts = Counter(item.action for item in garbage)
    parts = [
        f"{action} {counts[action]} ({size / 1e6:.2f} MB)"
        for action, size in _bytes(garbage).items()
    ]
    return f"{'would have ' if dry_run and parts else ''}{', '.join(parts) or 'nothing to remove'}"


@command("rebuild", examples=("ahl rebuild", "ahl --home team rebuild --json"))
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option(
    "--catalog/--no-catalog",
    default=True,
    show_default=True,
    help="Add the public adapters that the package knows.",
)
def rebuild(path: Path | None, catalog: bool) -> None:
    """Make the registry of a home again from its objects.

    Objects carry their manifests, so every adapter on disk gets a record again. A sound registry
    only gets the records that it lacks. A damaged one is kept beside the new one, and what can
    still be read of it is taken over: names, aliases, bases, scores, remote adapters. Names that
    nothing tells any more are made from language and task. PATH is `--home`, or the working
    directory, when left out.
    """
    from adapterhub_lite.home import Home

    run = settings()
    if path is not None and run.home is not None:
        raise click.UsageError(f"PATH is `{path}` and --home is `{run.home}`: give one of them")
    home = Home.lost(path or run.home)
    rebuilt = home.rebuild((lambda registry: _load_catalogue(registry, home)) if catalog else None)
    if run.json:
        print_json(rebuilt)
    else:
        for digest, name in rebuilt.added.items():
            echo(f"{name}@{digest[:12]}")
    _report(home, rebuilt)


def _load_catalogue(registry: Registry, home: Home) -> None:
    from adapterhub_lite import catalog

    catalog.load(registry, home.plugins())


def _report(home: Home, rebuilt: Rebuilt) -> None:
    say = settings().say
    for conflict in rebuilt.conflicts:
        say(f"the name `{conflict.name}` is taken: {conflict.digest[:12]} is `{conflict.instead}`")
    for message in rebuilt.unreadable:
        say(f"left out: {message}")
    if rebuilt.guessed:
        say(f"{len(rebuilt.guessed)} names were made from manifests; `ahl alias` gives others")
    if rebuilt.kept is not None:
        say(
            f"the old registry is kept as `{rebuilt.kept}`; read of it: {rebuilt.scores} scores, "
            f"{rebuilt.bases} bases, {rebuilt.remote} remote adapters"
        )
    if rebuilt.skipped:
        say(f"{rebuilt.skipped} of its rows or tables could not be read, and are lost")
    if rebuilt.new_file and not rebuilt.scores:
        say("no scores were recovered: objects do not hold them")
    if rebuilt.new_file and not rebuilt.bases:
        say("folders of base models are not known any more: `ahl add FOLDER --name NAME` adds one")
    say(f"{len(rebuilt.added)} adapters of `{home.objects_url}` got a record")


COMMANDS = (init, verify, gc, rebuild)

"""Commands about a home as a whole: `init`, `verify`, `gc`."""

from __future__ import annotations

from pathlib import Path

import click

from adapterhub_lite.cli.command import ExitCode, command, settings
from adapterhub_lite.cli.output import echo, print_json


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


@command("gc", examples=("ahl gc --dry-run", "ahl gc"))
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
def gc(dry_run: bool) -> None:
    """Remove weights that no record needs.

    They are what `ahl remove` and interrupted additions leave on disk.
    """
    run = settings()
    removed = run.open_home().gc(dry_run=dry_run)
    if run.json:
        print_json({"removed": removed, "dry_run": dry_run})
        return
    for item in removed:
        echo(item)
    run.say(f"{'would remove' if dry_run else 'removed'} {len(removed)}")


COMMANDS = (init, verify, gc)

"""The command `resolve`: which adapters for these languages, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.command import command, settings
from adapterhub_lite.cli.explaining import show
from adapterhub_lite.cli.languages import LANGUAGE
from adapterhub_lite.cli.modes import Mode, Modes
from adapterhub_lite.cli.output import echo, print_json

if TYPE_CHECKING:
    from adapterhub_lite.home import Home
    from adapterhub_lite.resolver import Resolution


MODES = Modes(
    (
        Mode("SOURCE TARGET --task TASK", uses=("everything", "explain")),
        Mode(
            "SOURCE TARGET --task TASK --no-explain",
            uses=("explain",),
            chosen=lambda values: not values["explain"],
            label="`--no-explain`",
        ),
    ),
    always=(
        *("source", "target", "task", "base", "dataset", "method", "licences", "offline"),
        *("policy", "lock_file"),
    ),
)


@command(
    "resolve",
    modes=MODES,
    brief=True,
    examples=(
        "ahl resolve en gv --task pos",
        "ahl resolve en sw --task ner --base xlm-roberta-base --offline",
        "ahl resolve en gv --task pos --policy matched --json",
        "ahl resolve en gv --task pos --all     # every alternative, and what is not allowed",
        "ahl resolve en gv --task pos --quiet   # only the composition",
        "ahl resolve en gv --task pos --lock gv-pos.lock",
    ),
)
@click.argument("source", type=LANGUAGE)
@click.argument("target", type=LANGUAGE)
@click.option("--task", required=True, help="What to do: `pos`, `ner`, ...")
@click.option("--base", help="Base model [default: the one that fits, if it is clear].")
@click.option("--dataset", help="Only task adapters for this data set's labels.")
@click.option("--method", help="Only adapters of this method.")
@click.option("--licence", "licences", multiple=True, help="Allowed licence; may be repeated.")
@click.option("--offline", is_flag=True, help="Only adapters that are on disk.")
@click.option(
    "--policy",
    type=click.Choice(["bilingual", "matched", "scores"]),
    default="bilingual",
    show_default=True,
    help="Prefer bilingual adapters, matched training, or recorded scores.",
)
@click.option(
    "--explain/--no-explain",
    default=True,
    show_default=True,
    help="Say why, or print the composition alone.",
)
@click.option("--all", "everything", is_flag=True, help="All alternatives, and what rules forbid.")
@click.option(
    "--lock",
    "lock_file",
    type=click.Path(path_type=Path),
    help="Write the answer to this lock file.",
)
def resolve(
    source: str,
    target: str,
    explain: bool,
    everything: bool,
    lock_file: Path | None,
    **options: object,
) -> None:
    """Say which adapters to run for a pair of languages.

    SOURCE is the language of the labels, TARGET that of the text (tags or names). The answer is one
    composition with its reasons, the alternatives, and what would make it better. Exit code 3 if
    nothing fits; the explanation then says what would.
    """
    from adapterhub_lite.resolver import resolve as find

    run = settings()
    home = run.open_home()
    resolution = find(source, target, home=home, **options)  # type: ignore[arg-type]
    if lock_file is not None:
        _lock(resolution, home, lock_file)
    if run.json:
        print_json(resolution.to_json())
    elif run.quiet or not explain:
        echo(str(resolution.composition))
    else:
        show(resolution, everything=everything)


def _lock(resolution: Resolution, home: Home, path: Path) -> None:
    from adapterhub_lite import lock

    made = lock.make(
        resolution.composition,
        home=home,
        request=resolution.request.to_json(),
        strategy=resolution.strategy,
    )
    for note in lock.uncovered(made):
        settings().say(f"warning: {note}")
    settings().say(f"locked in `{lock.write(made, path)}`")


COMMANDS = (resolve,)

"""Commands about recorded scores: `scores list`, `scores import`, `scores remove`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.command import AhlGroup, command, settings
from adapterhub_lite.cli.languages import LANGUAGE
from adapterhub_lite.cli.output import echo, print_json, table
from adapterhub_lite.cli.training import pairs
from adapterhub_lite.errors import RefError, UsageError

if TYPE_CHECKING:
    from adapterhub_lite.adapter import Score
    from adapterhub_lite.registry import Registry

COLUMNS = (
    "source", "target", "task", "dataset", "split", "metric", "value", "n", "seed", "composition",
    "origin",
)  # fmt: skip


@click.group(
    "scores",
    cls=AhlGroup,
    examples=(
        "ahl scores list --task pos --target gv",
        "ahl scores import table.csv --dry-run",
        "ahl scores remove --dataset wrong-file-3f2a9c --dry-run",
    ),
)
def scores() -> None:
    """List, import or remove recorded scores.

    Recorded scores steer `ahl resolve`: on the very target they decide, on other targets they are a
    track record. Compositions are compared by the task's main metric alone. `ahl evaluate` records
    what it measures; a score that is wrong is removed with `ahl scores remove`.
    """


FILTERS = {
    "task": click.option("--task", metavar="NAME", help="Only scores for this task."),
    "source": click.option("--source", type=LANGUAGE, help="Only of labels in this language."),
    "target": click.option("--target", type=LANGUAGE, help="Only scores on this language."),
    "dataset": click.option("--dataset", metavar="NAME", help="Only scores on this data set."),
    "split": click.option("--split", metavar="NAME", help="Only on this part of the data."),
    "metric": click.option("--metric", metavar="NAME", help="Only of this metric."),
    "composition": click.option("--composition", help="Only of exactly this composition."),
    "seed": click.option("--seed", type=int, help="Only of training with this seed."),
    "origin": click.option("--origin", metavar="NAME", help="Only what was published there."),
}
"""Options that choose scores, by the name of their value."""


def filters(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose scores to a command."""
    for option in reversed(FILTERS.values()):
        function = option(function)
    return function


def _chosen(registry: Registry, values: dict[str, Any]) -> list[Score]:
    """Return the scores that fit the options that were given."""
    from adapterhub_lite.published import by_digest

    composition = values["composition"]
    return registry.scores(
        task=values["task"],
        language=values["target"],
        dataset=values["dataset"],
        split=values["split"],
        source_language=values["source"],
        metric=values["metric"],
        seed=values["seed"],
        origin=values["origin"],
        composition=by_digest(composition, registry) if composition else None,
    )


@command(
    "list",
    examples=("ahl scores list", "ahl scores list --task pos --target gv --json"),
)
@filters
def list_(**values: Any) -> None:
    """List recorded scores."""
    run = settings()
    registry = run.open_home().registry
    rows = _rows(_chosen(registry, values), registry)
    if run.json:
        print_json(rows)
        return
    _print(rows)
    run.say(_count(len(rows)))


def _rows(scores: list[Score], registry: Registry) -> list[dict[str, Any]]:
    from adapterhub_lite.published import summary

    return [summary(score, registry) for score in scores]


def _print(rows: list[dict[str, Any]]) -> None:
    table(COLUMNS, ([_cell(row[name]) for name in COLUMNS] for row in rows))


def _count(number: int) -> str:
    return f"{number} score{'s' * (number != 1)}"


@command(
    "remove",
    examples=(
        "ahl scores remove --task pos --target gv --dry-run",
        "ahl scores remove --dataset wrong-file-3f2a9c",
        'ahl scores remove --composition "stack(gv, pos-en)" --metric accuracy',
        "ahl scores remove --all",
    ),
)
@filters
@click.option("--all", "everything", is_flag=True, help="Remove every recorded score.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
def remove(everything: bool, dry_run: bool, **values: Any) -> None:
    """Remove recorded scores.

    What fits every option is removed, and printed. The resolver no longer counts it.
    """
    run = settings()
    registry = run.open_home().registry
    typed = {name: value for name, value in values.items() if value is not None}
    if everything == bool(typed):
        raise UsageError(
            "`--all` is every score, so no other option can choose among them"
            if everything
            else "which scores? without an option this would be all of them",
            hint="`--task`, `--target`, `--dataset` and others choose (`ahl scores list` shows "
            "what there is); `--all` removes every score",
        )
    scores = _chosen(registry, values)
    if not scores:
        raise RefError(
            "no recorded score fits" if typed else "no score is recorded",
            hint="`ahl scores list` shows what there is",
        )
    rows = _rows(scores, registry)
    if not dry_run:
        registry.remove_scores(scores)
    if run.json:
        print_json({"scores": rows, "removed": not dry_run})
        return
    _print(rows)
    run.say(f"{'would remove' if dry_run else 'removed'} {_count(len(rows))}")


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value) or "-"


@command(
    "import",
    examples=(
        "ahl scores import table.csv --dry-run",
        "ahl scores import dep.csv --task dep --dataset ud --metric las --percent",
        "ahl scores import dep.csv --column value=score --ignore size",
        "ahl scores import dep.csv --composition full-fine-tuning --source en",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", metavar="NAME", help="Task of all lines.")
@click.option("--dataset", metavar="NAME", help="Data set of all lines.")
@click.option("--metric", metavar="NAME", help="Metric of all lines.")
@click.option("--split", metavar="NAME", help="Part of the data, of all lines [default: test].")
@click.option("--composition", help="What was scored, in all lines.")
@click.option("--source", help="Language of the labels of all lines.")
@click.option("--target", help="Language of the text of all lines.")
@click.option("--origin", help="Where it was published [default: FILE].")
@click.option("--column", "columns", multiple=True, metavar="NAME=COLUMN", help="FILE's own name.")
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Leave out a column of FILE.")
@click.option("--percent", is_flag=True, help="Values are in percent.")
@click.option("--dry-run", is_flag=True, help="Check and count, record nothing.")
def import_(
    file: Path,
    columns: tuple[str, ...],
    ignore: tuple[str, ...],
    percent: bool,
    dry_run: bool,
    **given: str | None,
) -> None:
    """Import a published table of scores.

    FILE is CSV or TSV with a header, or JSON lines, with the columns target, value, task, dataset,
    metric, composition (adapters of this home, or `full-fine-tuning`), source, split, n, seed, when
    and origin. A line that is not understood is an error, and nothing is recorded.
    """
    from adapterhub_lite.published import Table, read_scores

    run = settings()
    registry = run.open_home().registry
    renamed = pairs(columns, "--column", "NAME=COLUMN")
    fixed = {name: value for name, value in given.items() if value is not None}
    found = read_scores(Table(file, renamed, fixed, ignore, percent), registry)
    if not dry_run:
        registry.record_scores(found)
    if run.json:
        print_json({"scores": len(found), "recorded": not dry_run})
    else:
        echo(str(len(found)))
    targets = len({score.language for score in found})
    what = f"{len(found)} scores on {targets} language{'s' * (targets != 1)}"
    run.say(f"would record {what}" if dry_run else f"recorded {what}")


scores.add_command(list_)
scores.add_command(import_)
scores.add_command(remove)

COMMANDS = (scores,)

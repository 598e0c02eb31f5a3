"""Commands about recorded scores: `scores list`, `scores import`."""

from __future__ import annotations

from pathlib import Path

import click

from adapterhub_lite.cli.command import AhlGroup, command, settings
from adapterhub_lite.cli.languages import LANGUAGE
from adapterhub_lite.cli.output import echo, print_json, table
from adapterhub_lite.cli.training import pairs

COLUMNS = (
    "source", "target", "task", "dataset", "split", "metric", "value", "n", "seed", "composition",
    "origin",
)  # fmt: skip


@click.group(
    "scores",
    cls=AhlGroup,
    examples=("ahl scores list --task pos --target gv", "ahl scores import table.csv --dry-run"),
)
def scores() -> None:
    """List or import recorded scores.

    Recorded scores steer `ahl resolve`: on the very target they decide, on other targets they are a
    track record. `ahl evaluate` records what it measures.
    """


@command(
    "list",
    examples=("ahl scores list", "ahl scores list --task pos --target gv --json"),
)
@click.option("--task", metavar="NAME", help="Only scores for this task.")
@click.option("--target", type=LANGUAGE, help="Only scores on this language.")
@click.option("--dataset", metavar="NAME", help="Only scores on this data set.")
def list_(task: str | None, target: str | None, dataset: str | None) -> None:
    """List recorded scores."""
    from adapterhub_lite.published import summary

    run = settings()
    registry = run.open_home().registry
    found = registry.scores(task=task, language=target, dataset=dataset)
    rows = [summary(score, registry) for score in found]
    if run.json:
        print_json(rows)
        return
    table(COLUMNS, ([_cell(row[name]) for name in COLUMNS] for row in rows))
    run.say(f"{len(rows)} score{'s' * (len(rows) != 1)}")


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

COMMANDS = (scores,)

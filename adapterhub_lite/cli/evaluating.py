"""The command `evaluate`: score an answer, a composition, or a whole table of strategies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli import data
from adapterhub_lite.cli.command import command, model_options, settings
from adapterhub_lite.cli.data import data_options, long_option
from adapterhub_lite.cli.languages import read
from adapterhub_lite.cli.modes import Mode, Modes
from adapterhub_lite.cli.output import PICTURE, print_json, table
from adapterhub_lite.cli.training import ALLOW, pairs

if TYPE_CHECKING:
    from adapterhub_lite.evaluation import Cell, Result, Table


def _is_table(values: Mapping[str, Any]) -> bool:
    return any("=" in word for word in values["words"][1:])


MODES = Modes(
    (
        Mode("SOURCE TARGET FILE --task TASK", uses=("words",), needs=("task",)),
        Mode(
            "TARGET FILE --composition COMPOSITION", uses=("words", "task"), when=("composition",)
        ),
        Mode(
            "SOURCE TARGET=FILE... --task TASK",
            uses=("words", "strategies", "full", "seeds", "picture"),
            needs=("task",),
            chosen=_is_table,
            label="a table (SOURCE TARGET=FILE...)",
        ),
    ),
    always=(
        "dataset",
        "split",
        *data.PARAMETERS,
        "long",
        "base",
        "limit",
        "record",
        "allow_unsuitable",
    ),
    only_with={"seeds": "full"},
)


@command(
    "evaluate",
    modes=MODES,
    examples=(
        "ahl evaluate en gv gv-test.conllu --task pos",
        "ahl evaluate en gv=gv-test.conllu fo=fo-test.conllu --task pos --picture transfer.svg",
        "ahl evaluate en gv=gv-test.conllu --task pos --full en-train.conllu",
        'ahl evaluate gv gv-test.conllu --composition "stack(gv-wiki, pos-en)"',
    ),
)
@click.argument("words", nargs=-1, metavar="[SOURCE] TARGET FILE | SOURCE TARGET=FILE...")
@click.option("--task", help="Task: `pos`, `ner`, ...")
@click.option("--composition", help="Score this, instead of what `ahl resolve` says.")
@click.option("--strategy", "strategies", multiple=True, help="Only this column of the table.")
@click.option(
    "--full",
    type=click.Path(path_type=Path),
    help="Labelled file to fine-tune the whole base on, for a last column of the table.",
)
@click.option(
    "--full-seed",
    "seeds",
    multiple=True,
    type=int,
    default=(0, 1, 2),
    show_default="0, 1, 2",
    help="Seed of `--full`; may be repeated.",
)
@click.option("--picture", type=PICTURE, help="Draw the table (.svg, .png).")
@click.option("--dataset", help="Name of the data [default: the file's name and digest].")
@click.option("--split", default="test", show_default=True, help="Part of the data set.")
@data_options
@long_option
@click.option("--base", help="Base model [default: as the resolver or the home has it].")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many examples.")
@model_options
@click.option("--record/--no-record", default=True, show_default=True, help="Keep the scores.")
@ALLOW
def evaluate(
    words: tuple[str, ...],
    task: str | None,
    composition: str | None,
    strategies: tuple[str, ...],
    full: Path | None,
    seeds: tuple[int, ...],
    picture: Path | None,
    columns: tuple[str, ...],
    **common: Any,
) -> None:
    """Score on labelled data, and record the scores.

    SOURCE TARGET FILE scores what `ahl resolve SOURCE TARGET` answers. SOURCE TARGET=FILE... scores
    every strategy that this home has adapters for, on every target: mean ± standard deviation over
    seeds, or with one seed the mean and its 95 % interval over the examples. With `--composition`,
    TARGET FILE scores that.
    """
    from adapterhub_lite.cli.progress import show_log

    run = settings()
    show_log(quiet=run.quiet)
    home = run.open_home()
    common |= {"columns": data.columns_of(columns), "home": home}
    if composition is not None:
        _print_result(_composed(words, composition, task, common))
    elif _is_table({"words": words}):
        tuned = _tune(full, seeds, str(task), read(words[0]), common)
        measured = _table(words, str(task), strategies, tuned, common)
        _print_table(measured)
        if picture is not None:
            _draw(measured, picture)
    else:
        _print_result(_answer(words, str(task), common))


def _composed(
    words: tuple[str, ...], composition: str, task: str | None, common: dict[str, Any]
) -> Result:
    from adapterhub_lite.evaluation import evaluate as score

    if len(words) != 2:
        raise click.UsageError("with '--composition', give TARGET FILE")
    target, path = words
    return score(composition, path, language=read(target), task=task, **common)


def _answer(words: tuple[str, ...], task: str, common: dict[str, Any]) -> Result:
    from adapterhub_lite.evaluation import evaluate as score
    from adapterhub_lite.resolver import Request

    if len(words) != 3:
        raise click.UsageError("give SOURCE TARGET FILE, or SOURCE TARGET=FILE...")
    source, target, path = words
    request = Request(read(source), read(target), task, base=common["base"])
    return score(request, path, **common)


def _table(
    words: tuple[str, ...],
    task: str,
    strategies: tuple[str, ...],
    tuned: list[Any],
    common: dict[str, Any],
) -> Table:
    from adapterhub_lite.evaluation import evaluate_table

    source, *files = words
    return evaluate_table(
        task,
        {
            read(tag): path
            for tag, path in pairs(tuple(files), "TARGET=FILE", "TARGET=FILE").items()
        },
        source=read(source),
        strategies=strategies or None,
        full=tuned,
        progress=settings().say,
        **common,
    )


def _tune(
    path: Path | None, seeds: tuple[int, ...], task: str, source: str, common: dict[str, Any]
) -> list[Any]:
    """Return the base fine-tuned as a whole, once a seed; what was done before is read back."""
    from adapterhub_lite.evaluation.strategies import base_of
    from adapterhub_lite.training import train_full

    if path is None:
        return []
    return [
        train_full(
            task,
            train=path,
            source=source,
            base=common["base"] or base_of(common["home"], task, source),
            home=common["home"],
            columns=common["columns"],
            format=common["format"],
            seed=seed,
            quiet=settings().quiet,
        )
        for seed in seeds
    ]


def _print_result(result: Result) -> None:
    if settings().json:
        print_json(result.to_json())
        return
    head = ("language", "metric", "value", "95 % from", "to", "n", "composition")
    numbers = (f"{100 * x:.1f}" for x in (result.value, result.low, result.high))
    row = (result.language, result.metric, *numbers, str(result.n), result.composition)
    table(head, [row])


def _print_table(measured: Table) -> None:
    if settings().json:
        print_json(measured.to_json())
        return
    rows = (
        (target, *(_text(measured.cell(target, name)) for name in measured.strategies))
        for target in measured.targets
    )
    head = ("target", *measured.strategies)
    table(head, rows)
    settings().say(f"{measured.metric} in %, labels in `{measured.source}`")


def _text(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    if cell.spread is None:
        return f"{100 * cell.mean:.1f} ({100 * cell.low:.1f} to {100 * cell.high:.1f})"
    return f"{100 * cell.mean:.1f} ± {100 * cell.spread:.1f}"


def _draw(measured: Table, path: Path) -> None:
    from adapterhub_lite.evaluation import picture

    settings().say(f"drew `{picture(measured, path)}`")


COMMANDS = (evaluate,)

"""The command `evaluate`: score an answer, a composition, a lock, or a table of strategies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli import data
from adapterhub_lite.cli.command import command, model_options, settings
from adapterhub_lite.cli.data import data_options, long_option
from adapterhub_lite.cli.languages import read
from adapterhub_lite.cli.modes import Mode, Modes
from adapterhub_lite.cli.output import PICTURE, echo, fits, print_json, table
from adapterhub_lite.cli.training import ALLOW, pairs

if TYPE_CHECKING:
    from adapterhub_lite.evaluation import Average, Cell, Report, Result, Table
    from adapterhub_lite.home import Home
    from adapterhub_lite.tasks.metrics import LabelScore

CONFUSIONS = 15
"""Pairs of labels that are printed where the confusion matrix is too wide."""


def _is_table(values: Mapping[str, Any]) -> bool:
    return any("=" in word for word in values["words"][1:])


MODES = Modes(
    (
        Mode(
            "SOURCE TARGET FILE --task TASK",
            uses=("words", "report", "picture"),
            needs=("task",),
        ),
        Mode(
            "TARGET FILE --composition COMPOSITION",
            uses=("words", "task", "report", "picture"),
            when=("composition",),
        ),
        Mode(
            "[TARGET] FILE --lock LOCK",
            uses=("words", "report", "picture"),
            when=("lock_file",),
        ),
        Mode(
            "SOURCE TARGET=FILE... --task TASK",
            uses=("words", "strategies", "against", "full", "seeds", "picture"),
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
        "ahl evaluate en gv gv-test.conllu --task pos --report --picture confusion.svg",
        "ahl evaluate en gv=gv-test.conllu fo=fo-test.conllu --task pos --picture transfer.svg",
        "ahl evaluate en gv=gv-test.conllu --task pos --full en-train.conllu",
        "ahl evaluate en br=br-test.conllu --task pos --strategy average --strategy half-source",
        'ahl evaluate gv gv-test.conllu --composition "stack(gv-wiki, pos-en)"',
        "ahl evaluate gv-test.conllu --lock gv-pos.lock",
    ),
)
@click.argument("words", nargs=-1, metavar="[SOURCE] TARGET FILE | SOURCE TARGET=FILE...")
@click.option("--task", help="Task: `pos`, `ner`, ...")
@click.option("--composition", help="Score this, not what `ahl resolve` says.")
@click.option(
    "--lock",
    "lock_file",
    type=click.Path(path_type=Path),
    help="Score exactly what this lock file names.",
)
@click.option("--report", is_flag=True, help="Also scores by label, confusion matrix.")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    help="Only this strategy; may be repeated.",
)
@click.option(
    "--against",
    metavar="STRATEGY",
    help="Column that the others are compared with [default: what `ahl resolve` answers].",
)
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
@click.option("--picture", type=PICTURE, help="Draw the table or the matrix (.svg, .png).")
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
    lock_file: Path | None,
    report: bool,
    strategies: tuple[str, ...],
    against: str | None,
    full: Path | None,
    seeds: tuple[int, ...],
    picture: Path | None,
    columns: tuple[str, ...],
    **common: Any,
) -> None:
    """Score on labelled data, and record the scores.

    SOURCE TARGET FILE scores what `ahl resolve SOURCE TARGET` answers, with its 95 % interval over
    the examples. With `--composition` or `--lock`, exactly that is scored on FILE.

    SOURCE TARGET=FILE... scores every strategy that this home has adapters for, on every target,
    and what `ahl resolve` answers, marked with `*`: mean ± standard deviation over seeds, or with
    one seed its interval. Below are the differences from one of the columns, by a paired bootstrap
    over the same examples.

    Metrics are those of scikit-learn (labels), seqeval (spans in any scheme, its default mode), the
    CoNLL 2018 evaluation (words of treebanks) and SQuAD (answers).
    """
    from adapterhub_lite.cli.progress import show_log

    run = settings()
    show_log(quiet=run.quiet)
    home = run.open_home()
    common |= {"columns": data.columns_of(columns), "home": home}
    if _is_table({"words": words}):
        tuned = _tune(full, seeds, str(task), read(words[0]), common)
        options = {"strategies": strategies or None, "against": against, "full": tuned}
        _print_table(_table(words, str(task), options, common), home, picture)
        return
    common["report"] = report or picture is not None
    if lock_file is not None:
        result = _locked(words, lock_file, common)
    elif composition is not None:
        result = _composed(words, composition, task, common)
    else:
        result = _answer(words, str(task), common)
    _print_result(result, home, report=report, picture=picture)


def _composed(
    words: tuple[str, ...], composition: str, task: str | None, common: dict[str, Any]
) -> Result:
    from adapterhub_lite.evaluation import evaluate as score

    if len(words) != 2:
        raise click.UsageError("with '--composition', give TARGET FILE")
    target, path = words
    return score(composition, path, language=read(target), task=task, **common)


def _locked(words: tuple[str, ...], lock_file: Path, common: dict[str, Any]) -> Result:
    from adapterhub_lite import lock
    from adapterhub_lite.evaluation import evaluate as score

    if len(words) not in (1, 2):
        raise click.UsageError("with '--lock', give [TARGET] FILE")
    *target, path = words
    language = read(target[0]) if target else None
    return score(lock.read(lock_file), path, language=language, **common)


def _answer(words: tuple[str, ...], task: str, common: dict[str, Any]) -> Result:
    from adapterhub_lite.evaluation import evaluate as score
    from adapterhub_lite.resolver import Request

    if len(words) != 3:
        raise click.UsageError("give SOURCE TARGET FILE, or SOURCE TARGET=FILE...")
    source, target, path = words
    request = Request(read(source), read(target), task, base=common["base"])
    return score(request, path, **common)


def _table(
    words: tuple[str, ...], task: str, options: dict[str, Any], common: dict[str, Any]
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
        progress=settings().say,
        **options,
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
            allow_unsuitable=common["allow_unsuitable"],
            quiet=settings().quiet,
        )
        for seed in seeds
    ]


def _print_result(result: Result, home: Home, *, report: bool, picture: Path | None) -> None:
    from adapterhub_lite.published import named

    composition = named(result.composition, home.registry)
    if settings().json:
        reported = {"report": result.report.to_json()} if report and result.report else {}
        print_json({**result.to_json(), "composition": composition, **reported})
    else:
        head = ("language", "metric", "value", "95 % from", "to", "n", "composition")
        row = (
            result.language,
            result.metric,
            *map(_percent, (result.value, result.low, result.high)),
            str(result.n),
            composition,
        )
        table(head, [row])
        others = {name: value for name, value in result.metrics.items() if name != result.metric}
        if others:
            listed = (f"{name} {_percent(value)}" for name, value in others.items())
            settings().say(f"also measured, in %: {', '.join(listed)}")
        if report and result.report is not None:
            _print_report(result.report)
    if picture is not None and result.report is not None:
        from adapterhub_lite.evaluation import confusion_picture

        title = f"{result.task} on {result.language}: {result.metric} {_percent(result.value)} %"
        settings().say(f"drew `{confusion_picture(result.report, picture, title)}`")


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _print_report(report: Report) -> None:
    """Print the scores by label, averages below them, and the confusion matrix."""
    head = ("label", "precision", "recall", "f1", "support", "predicted")
    labels = [(*_scores(row.label, row), str(row.predicted)) for row in report.labels]
    averages = [(*_scores(f"{name} average", a), "") for name, a in report.averages.items()]
    echo()
    table(head, [*labels, *averages])
    names, matrix = report.confused, report.matrix()
    rows = [
        (name, *(str(count) if count else "." for count in counts))
        for name, counts in zip(names, matrix, strict=True)
    ]
    echo()
    columns = ("gold \\ predicted", *names)
    if fits([columns, *rows]):
        table(columns, rows)
    else:
        _print_confusions(report)


def _print_confusions(report: Report) -> None:
    """Print what was most often taken for what, on a terminal too narrow for the matrix."""
    support = Counter(gold for gold, _ in report.confusion.elements())
    wrong = [(pair, count) for pair, count in report.confusion.most_common() if pair[0] != pair[1]]
    rows = [
        (gold, predicted, str(count), f"{100 * count / support[gold]:.1f} %")
        for (gold, predicted), count in wrong[:CONFUSIONS]
    ]
    table(("gold", "predicted", "count", "of gold"), rows)
    settings().say("the whole confusion matrix needs more columns: `--picture FILE` or `--json`")


def _scores(name: str, row: LabelScore | Average) -> tuple[str, ...]:
    return name, *map(_percent, (row.precision, row.recall, row.f1)), str(row.support)


def _print_table(measured: Table, home: Home, picture: Path | None) -> None:
    if settings().json:
        from adapterhub_lite.published import named

        values = measured.to_json()
        for cell in values["cells"]:
            cell["compositions"] = [named(c, home.registry) for c in cell["compositions"]]
        print_json(values)
    else:
        rows = [
            (target, *(_text(measured.cell(target, name)) for name in measured.strategies))
            for target in measured.targets
        ]
        table(("target", *measured.strategies), rows)
        say = settings().say
        resolved = any(cell.resolved for cell in measured.cells)
        mark = "; * is what `ahl resolve` answers" if resolved else ""
        say(f"{measured.metric} in %, labels in `{measured.source}`{mark}")
        _print_differences(measured)
    if picture is not None:
        _draw(measured, picture)


def _text(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    mark = " *" if cell.resolved else ""
    if cell.spread is None:
        return f"{_percent(cell.mean)} ({_percent(cell.low)} to {_percent(cell.high)}){mark}"
    return f"{_percent(cell.mean)} ± {_percent(cell.spread)}{mark}"


def _print_differences(measured: Table) -> None:
    """Print how far every cell is from the one that its row is compared with."""
    rows = [
        (
            cell.target,
            cell.strategy,
            cell.against,
            f"{100 * cell.difference.value:+.1f}",
            f"{100 * cell.difference.low:+.1f} to {100 * cell.difference.high:+.1f}",
            f"{cell.difference.p:.3f}",
        )
        for cell in measured.cells
        if cell.difference is not None
    ]
    if not rows:
        return
    echo()
    head = ("target", "strategy", "against", "difference", "95 %", "p")
    table(head, rows)
    settings().say(
        "differences in points, over the same examples (paired bootstrap); they say nothing of "
        "what another seed of the training would make"
    )


def _draw(measured: Table, path: Path) -> None:
    from adapterhub_lite.evaluation import picture

    settings().say(f"drew `{picture(measured, path)}`")


COMMANDS = (evaluate,)

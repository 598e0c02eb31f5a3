"""The command `predict`: labels for texts and files, several languages at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli import data
from adapterhub_lite.cli.command import command, model_options, settings
from adapterhub_lite.cli.data import data_options, long_option
from adapterhub_lite.cli.languages import read
from adapterhub_lite.cli.modes import Mode, Modes
from adapterhub_lite.cli.output import cells, echo, print_json
from adapterhub_lite.cli.training import ALLOW

if TYPE_CHECKING:
    from adapterhub_lite.lock import Lock
    from adapterhub_lite.tasks.predicted import Predicted


MODES = Modes(
    (
        Mode("SOURCE TARGET TEXT... --task TASK", uses=("words",), needs=("task",)),
        Mode(
            "SOURCE [TARGET] --file FILE --task TASK",
            uses=("words", *data.PARAMETERS, "lang_column"),
            when=("path",),
            needs=("task",),
        ),
        Mode("--composition COMPOSITION TEXT...", uses=("words",), when=("composition",)),
        Mode(
            "--composition COMPOSITION --file FILE",
            uses=data.PARAMETERS,
            when=("composition", "path"),
        ),
        Mode("--lock LOCK TEXT...", uses=("words",), when=("lock_file",)),
        Mode("--lock LOCK --file FILE", uses=data.PARAMETERS, when=("lock_file", "path")),
    ),
    always=("base", "long", "output", "allow_unsuitable"),
)


@command(
    "predict",
    modes=MODES,
    examples=(
        'ahl predict en gv --task pos "Ta ny paitchyn lhaih shenn lioaryn."',
        'ahl predict en gv,cy --task pos "Ta mee ayns y thie." "Mae hi yn yr ardd."',
        "ahl predict en gv --task pos --file manx.txt",
        "ahl predict en gv --task pos --file manx.conllu --output tagged.conllu",
        "ahl predict en --task pos --file many-languages.jsonl --json",
        "ahl predict en --task names --file reviews.csv --lang-column lang --column text=review",
        'ahl predict --composition "stack(gv-wiki, pos-en)" "Ta mee ayns y thie."',
        "ahl predict --lock gv-pos.lock --file manx.txt",
    ),
)
@click.argument("words", nargs=-1, metavar="SOURCE TARGET [TEXT]...")
@click.option("--task", help="What to predict: `pos`, `ner`, ...")
@click.option("--file", "path", type=click.Path(path_type=Path), help="File instead of texts.")
@data_options
@click.option("--lang-column", metavar="NAME", help="Where each record of FILE has its language.")
@long_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write FILE there, with predictions in the place of labels: CoNLL-U stays CoNLL-U. With "
    "`--json`, write JSON lines.",
)
@click.option("--composition", help="Run this, instead of what `ahl resolve` says.")
@click.option(
    "--lock", "lock_file", type=click.Path(path_type=Path), help="Run what this lock file names."
)
@click.option("--base", help="Base model [default: as the resolver or the home has it].")
@model_options
@ALLOW
def predict(
    words: tuple[str, ...],
    task: str | None,
    path: Path | None,
    columns: tuple[str, ...],
    lang_column: str | None,
    composition: str | None,
    lock_file: Path | None,
    output: Path | None,
    **common: Any,
) -> None:
    """Predict labels for texts.

    SOURCE is the language of the labels that the adapters learned from, TARGET that of the texts:
    one tag, or one a text with commas between them. In a FILE each record can have a language of
    its own, in its field `language` or the one of `--lang-column`; then TARGET is left out. With
    `--composition` or `--lock`, both are left out.

    FILE may be in any format that `ahl evaluate` and `ahl train task` read; labels in it play no
    part. There are as many predictions as FILE has texts, in their order.

    Printed: for tagging, a word a line, with label and probability, and a blank line between
    sentences; else one line a text. Of a FILE, also where each is from: its `sent_id` or line.
    """
    from adapterhub_lite import lock
    from adapterhub_lite.cli.progress import show_log

    run = settings()
    show_log(quiet=run.quiet)
    common |= {"home": run.open_home()}
    to_run = lock.read(lock_file) if lock_file is not None else composition
    if path is not None:
        file_format = {"format": common.pop("format"), "columns": data.columns_of(columns)}
        common |= file_format | {"output": output, "as_json": run.json}
        predictions = _file(words, path, task, lang_column, to_run, common)
    else:
        common.pop("format")
        predictions = _texts(words, task, output, to_run, common)
    if output is not None:
        _say_output(predictions, output)
    elif run.json:
        print_json([item.to_json() for item in predictions])
    else:
        _print(predictions)


def _texts(
    words: tuple[str, ...],
    task: str | None,
    output: Path | None,
    composition: Lock | str | None,
    common: dict[str, Any],
) -> list[Predicted]:
    from adapterhub_lite.prediction import check_output, write_predictions
    from adapterhub_lite.prediction import predict as run

    if len(words) < (3 if composition is None else 1):
        missing = "SOURCE TARGET TEXT..." if composition is None else "TEXT..."
        raise click.UsageError(f"missing argument '{missing}', or '--file'")
    if output is not None:
        check_output(output)
    if composition is not None:
        predictions = run(words, composition=composition, **common)
    else:
        source, target, *texts = words
        targets = [read(tag) for tag in target.split(",")] if "," in target else read(target)
        predictions = run(texts, source=read(source), target=targets, task=task, **common)
    if output is not None:
        write_predictions(predictions, output, as_json=settings().json)
    return predictions


def _file(
    words: tuple[str, ...],
    path: Path,
    task: str | None,
    lang_column: str | None,
    composition: Lock | str | None,
    common: dict[str, Any],
) -> list[Predicted]:
    from adapterhub_lite.prediction import predict_file

    if composition is not None:
        return predict_file(path, composition=composition, **common)
    if not 1 <= len(words) <= 2:
        raise click.UsageError("with '--file', give SOURCE, and TARGET unless each record names it")
    return predict_file(
        path,
        source=read(words[0]),
        target=read(words[1]) if len(words) > 1 else None,
        task=task,
        language_column=lang_column,
        **common,
    )


def _say_output(predictions: Sequence[Predicted], output: Path) -> None:
    run = settings()
    if run.json:
        cut = sum(item.cut > 0 for item in predictions)
        print_json({"output": str(output), "items": len(predictions), "cut": cut})
    run.say(f"wrote {len(predictions)} predictions to `{output}`")


def _print(predictions: Sequence[Predicted]) -> None:
    tagged = any(item.task_type == "token-classification" for item in predictions)
    for number, item in enumerate(predictions):
        if tagged and number:
            echo()
        if tagged:
            _print_words(item)
        else:
            _print_text(item)


def _print_words(item: Predicted) -> None:
    if item.key is not None:
        echo(f"# sent_id = {item.key}")
    elif item.file is not None:
        echo(f"# line = {item.line}")
    for word, label, sure in zip(item.inputs, item.labels, item.probabilities, strict=True):
        cells((word, label, f"{sure:.2f}"))


def _print_text(item: Predicted) -> None:
    origin = [] if item.file is None else [item.key if item.key is not None else item.line or ""]
    for label, sure in zip(item.labels, item.probabilities, strict=True):
        cells((*item.inputs, label, f"{sure:.2f}", *origin))
    if not item.labels:
        cells(("", "", "", *origin))


COMMANDS = (predict,)

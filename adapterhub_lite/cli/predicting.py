"""The command `predict`: labels for texts and files, several languages at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.command import command, model_options, settings
from adapterhub_lite.cli.languages import read
from adapterhub_lite.cli.modes import Mode, Modes
from adapterhub_lite.cli.output import cells, echo, print_json
from adapterhub_lite.cli.training import pairs

if TYPE_CHECKING:
    from adapterhub_lite.home import Home
    from adapterhub_lite.lock import Lock
    from adapterhub_lite.prediction import Predicted


MODES = Modes(
    (
        Mode("SOURCE TARGET TEXT... --task TASK", uses=("words",), needs=("task",)),
        Mode(
            "SOURCE [TARGET] --file FILE --task TASK",
            uses=("words", "columns", "lang_column"),
            when=("path",),
            needs=("task",),
        ),
        Mode("--composition COMPOSITION TEXT...", uses=("words",), when=("composition",)),
        Mode("--lock LOCK TEXT...", uses=("words",), when=("lock_file",)),
    ),
    always=("base",),
)


@command(
    "predict",
    modes=MODES,
    examples=(
        'ahl predict en gv --task pos "Ta ny paitchyn lhaih shenn lioaryn."',
        'ahl predict en gv,cy --task pos "Ta mee ayns y thie." "Mae hi yn yr ardd."',
        "ahl predict en gv --task pos --file manx.txt",
        "ahl predict en --task pos --file many-languages.jsonl --json",
        "ahl predict en --task names --file reviews.csv --lang-column lang",
        'ahl predict --composition "stack(gv-wiki, pos-en)" "Ta mee ayns y thie."',
        'ahl predict --lock gv-pos.lock "Ta mee ayns y thie."',
    ),
)
@click.argument("words", nargs=-1, metavar="SOURCE TARGET [TEXT]...")
@click.option("--task", help="What to predict: `pos`, `ner`, ...")
@click.option("--file", "path", type=click.Path(path_type=Path), help="File instead of texts.")
@click.option("--column", "columns", multiple=True, metavar="WHAT=NAME", help="Where FILE has it.")
@click.option("--lang-column", metavar="NAME", help="Where each record of FILE has its language.")
@click.option("--composition", help="Run this, instead of what `ahl resolve` says.")
@click.option(
    "--lock", "lock_file", type=click.Path(path_type=Path), help="Run what this lock file names."
)
@click.option("--base", help="Base model [default: as the resolver or the home has it].")
@model_options
def predict(
    words: tuple[str, ...],
    task: str | None,
    path: Path | None,
    columns: tuple[str, ...],
    lang_column: str | None,
    composition: str | None,
    lock_file: Path | None,
    base: str | None,
) -> None:
    """Predict labels for texts.

    SOURCE is the language of the labels that the adapters learned from, TARGET that of the texts:
    one tag, or one a text with commas between them. In a FILE each record can have a language of
    its own, in its field `language` or the one of `--lang-column`; then TARGET is left out. With
    `--composition` or `--lock` there are only texts.

    Printed: for tagging, a word a line, with label and probability, and a blank line between
    sentences; else one line a text.
    """
    from adapterhub_lite import lock

    home = settings().open_home()
    if lock_file is not None:
        found = _composed(words, lock.read(lock_file), base, home)
    elif composition is not None:
        found = _composed(words, composition, base, home)
    elif path is not None:
        found = _file(words, path, str(task), columns, base, home, lang_column)
    else:
        found = _texts(words, str(task), base, home)
    if settings().json:
        print_json([item.to_json() for item in found])
    else:
        _print(found)


def _composed(
    words: tuple[str, ...], composition: Lock | str, base: str | None, home: Home
) -> list[Predicted]:
    from adapterhub_lite.prediction import predict as run

    if not words:
        raise click.UsageError("missing argument 'TEXT...'")
    return run(words, composition=composition, base=base, home=home)


def _texts(words: tuple[str, ...], task: str, base: str | None, home: Home) -> list[Predicted]:
    from adapterhub_lite.prediction import predict as run

    if len(words) < 3:
        raise click.UsageError("missing argument 'SOURCE TARGET TEXT...', or '--file'")
    source, target, *texts = words
    targets = [read(tag) for tag in target.split(",")] if "," in target else read(target)
    return run(texts, source=read(source), target=targets, task=task, base=base, home=home)


def _file(
    words: tuple[str, ...],
    path: Path,
    task: str,
    columns: tuple[str, ...],
    base: str | None,
    home: Home,
    lang_column: str | None,
) -> list[Predicted]:
    from adapterhub_lite.prediction import predict_file

    if not 1 <= len(words) <= 2:
        raise click.UsageError("with '--file', give SOURCE, and TARGET unless each record names it")
    return predict_file(
        path,
        source=read(words[0]),
        target=read(words[1]) if len(words) > 1 else None,
        task=task,
        columns=pairs(columns, "--column", "WHAT=NAME") or None,
        language_column=lang_column,
        base=base,
        home=home,
    )


def _print(found: list[Predicted]) -> None:
    tagged = any(len(item.labels) > 1 for item in found)
    for number, item in enumerate(found):
        if tagged and number:
            echo()
        rows = zip(item.labels, item.probabilities, strict=True)
        if len(item.labels) == len(item.inputs):
            for text, (label, sure) in zip(item.inputs, rows, strict=True):
                cells((text, label, f"{sure:.2f}"))
        else:
            for label, sure in rows:
                cells((*item.inputs, label, f"{sure:.2f}"))


COMMANDS = (predict,)

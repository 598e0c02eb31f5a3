"""Files with predictions in the place of labels, and otherwise byte by byte as they were."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.tasks.files import fail, written_lines
from adapterhub_lite.tasks.rows import UPOS, Rows
from adapterhub_lite.tasks.tables import DOCUMENT, LINES

if TYPE_CHECKING:
    from adapterhub_lite.tasks.formats import Layout
    from adapterhub_lite.tasks.predicted import Predicted
    from adapterhub_lite.tasks.separated import Separated

_BREAKS = re.compile(r"[\t\r\n]+")


def table(predictions: Sequence[Predicted]) -> str:
    """Return predictions as lines: a word and its label, blank lines between sentences.

    For texts, a line has the texts and their label; a blank line stays one.
    """
    tagged = any(item.task_type == "token-classification" for item in predictions)
    if not tagged:
        return "".join(_line((*item.inputs, *item.labels)) for item in predictions)
    return "\n".join("".join(map(_line, item.pairs)) for item in predictions)


def _line(cells: Sequence[str]) -> str:
    return "\t".join(_BREAKS.sub(" ", cell) for cell in cells) + "\n"


def json_lines(predictions: Sequence[Predicted]) -> str:
    """Return predictions as JSON lines."""
    return "".join(json.dumps(item.to_json(), ensure_ascii=False) + "\n" for item in predictions)


def check_words(
    path: Path, layout: Layout, labels: Sequence[str], columns: Mapping[str, str], tag: int | None
) -> None:
    """Refuse to put tags of one kind into the column of another, unless it was named.

    Raises:
        DataError: labels that are no universal tags, where they would go into `upos`; or that
            share none with a column that was only guessed.
    """
    if "tags" in columns:
        return
    sample = ", ".join(f"`{label}`" for label in labels[:4])
    if layout.format == "conllu" and not UPOS.issuperset(labels):
        fail(
            path,
            None,
            f"which column is for the labels {sample} ...? they are no universal tags (UPOS)",
            "name it: `--column tags=xpos`, `--column tags=misc`",
        )
    tags = layout.rows.tags - {"O", "_"} if layout.rows and layout.rows.count > 2 else frozenset()
    if tag is not None and tags and tags.isdisjoint(labels):
        there = ", ".join(f"`{value}`" for value in sorted(tags)[:4])
        fail(
            path,
            None,
            f"which column is for the labels {sample} ...? column {tag + 1} has {there}",
            "give its number: `--column tags=NUMBER`",
        )


def words_in_lines(
    path: Path, predictions: Sequence[Predicted], column: int | None, rows: Rows | None
) -> bytes:
    """Return CoNLL-U, or words in rows, with each word's tag replaced (`None`: a column more)."""
    lines, encoding = written_lines(path)
    for item in predictions:
        for number, label in zip(item.lines, item.labels, strict=True):
            text = lines[number - 1].removesuffix("\r")
            end = lines[number - 1][len(text) :]
            blanks = rows is not None and rows.separator is None
            lines[number - 1] = _replaced(text, column, label, blanks=blanks) + end
    return encoding.encode(encoding.newline.join(lines))


def _replaced(text: str, column: int | None, label: str, *, blanks: bool) -> str:
    """Return a row with another value in a column."""
    if column is None:
        return f"{text}\t{label}"
    if not blanks:
        cells = text.split("\t")
        cells[column] = label
        return "\t".join(cells)
    cell = list(re.finditer(r"[^ \t]+", text))[column]
    return text[: cell.start()] + label + text[cell.end() :]


def objects(
    path: Path, predictions: Sequence[Predicted], layout: Layout, fields: Mapping[str, Any]
) -> bytes:
    """Return JSON lines, or a JSON list, with one field more or another value in it.

    `fields` has the name of the field, and what makes its value of a prediction.
    """
    lines, encoding = written_lines(path)
    (name, value), *_ = fields.items()
    if layout.format == "jsonl":
        for item in predictions:
            assert item.line is not None
            record = {**LINES.json_object(lines[item.line - 1], str(path)), name: value(item)}
            lines[item.line - 1] = json.dumps(record, ensure_ascii=False)
        return encoding.encode(encoding.newline.join(lines))
    document = DOCUMENT.json("\n".join(lines), str(path))
    records = document["data"] if isinstance(document, dict) else document
    changed = [
        {**record, name: value(item)} for record, item in zip(records, predictions, strict=True)
    ]
    if isinstance(document, dict):
        document["data"] = changed
    else:
        document = changed
    return encoding.encode(json.dumps(document, ensure_ascii=False, indent=1) + "\n")


def table_rows(
    path: Path,
    table: Separated,
    labels: Mapping[int, str],
    column: int | None,
    name: str,
) -> bytes:
    """Return a table with labels, by line, in one of its columns, or in a new one with a name."""
    _, encoding = written_lines(path)
    written = io.StringIO()
    writer = csv.writer(written, delimiter=table.mark, lineterminator="\n")

    def write(cells: Sequence[str], label: str) -> None:
        changed = [*cells] if column is not None else [*cells, ""]
        changed[-1 if column is None else column] = label
        if table.mark == "\t":  # quotes are part of the text
            written.write("\t".join(_BREAKS.sub(" ", cell) for cell in changed) + "\n")
        else:
            writer.writerow(changed)

    if table.header is not None:
        write(table.header, name if column is None else table.header[column])
    for number, cells in table.rows:
        write(cells, labels.get(number, ""))
    return encoding.encode(written.getvalue())

"""Texts with labels: tables with any separator, JSON, and plain text."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.tasks import annotating, fields, spans
from adapterhub_lite.tasks.base import Example
from adapterhub_lite.tasks.files import Line, blocks, fail, read_lines
from adapterhub_lite.tasks.formats import Layout, check_format, table_layout
from adapterhub_lite.tasks.rows import UPOS
from adapterhub_lite.tasks.separated import Separated
from adapterhub_lite.tasks.tables import (
    Record,
    columns_of,
    json_records,
    missing,
    records_in,
    require,
)

if TYPE_CHECKING:
    from adapterhub_lite.tasks.predicted import Predicted

log = logging.getLogger(__name__)

FORMATS = ("tsv", "csv", "jsonl", "json", "text")
_FIELDS = ("text", "label", "second", "language", "id")
_WORDS = "words with tags are a task of the type `token-classification`"


def read_texts(
    path: Path, columns: Mapping[str, str], *, gold: bool, format: str | None = None
) -> list[Example]:
    """Return the texts of a file with their labels.

    Blank lines of plain text stay in their place, as examples without a text.

    Raises:
        DataError: see `files`; also a record without a text or (with `gold`) without a label.
        UsageError: a format that there is not, or that holds no texts.
    """
    check_format(format, FORMATS, "classification")
    lines = read_lines(path)
    layout = _layout(path, lines, columns, format)
    if layout.format == "conllu":
        fail(path, None, "expected a text and a label a line, found CoNLL-U", _WORDS)
    if layout.format in ("jsonl", "json"):
        return of_records(json_records(path, lines, layout), columns, gold=gold)
    if layout.table is not None:
        if format is None:
            _refuse_words(path, lines, layout.table)
        records = records_in(path, lines, layout, ("text", "label"))
        return of_records(records, columns, gold=gold, table=layout.table)
    return _plain(path, lines, gold=gold)


def _layout(
    path: Path, lines: Sequence[Line], columns: Mapping[str, str], format: str | None
) -> Layout:
    return table_layout(
        path, lines, tuple(columns.values()), label=columns.get("label"), forced=format
    )


def of_records(
    records: Sequence[Record],
    columns: Mapping[str, str],
    *,
    gold: bool,
    table: Separated | None = None,
) -> list[Example]:
    """Return an example a record.

    Raises:
        DataError: a column that cannot be told, or a record with nothing in one that is needed.
    """
    skipped = () if gold or "label" in columns or table is not None else ("label",)
    names = columns_of(records, [f for f in _FIELDS if f not in skipped], columns, table)
    examples = []
    for record in records:
        text = require(record, "text", names.get("text"))
        if not isinstance(text, str):
            kind = type(text).__name__
            fail(record.origin, record.line, f"`{names['text']}` must be a text, found {kind}")
        if gold:
            require(record, "label", names.get("label"))
        label, second, language, key = (
            None if missing(value) else str(value)
            for value in (record.fields.get(names.get(f, "")) for f in _FIELDS[1:])
        )
        examples.append(
            Example(
                (text, second) if second is not None else (text,),
                (label,),
                language=language,
                origin=record.origin,
                line=record.line,
                key=key,
            )
        )
    if not examples:
        fail(records[0].origin if records else "data", None, "no record in the file")
    return examples


def _plain(path: Path, lines: Sequence[Line], *, gold: bool) -> list[Example]:
    written = [line for line in lines if line.text.strip()]
    kept = lines[: lines.index(written[-1]) + 1]
    if len(written) > 1 and fields.is_named(written[0].text.strip(), ("text",)):
        log.warning("%s:%d: `%s` is taken as a header", path, written[0].number, written[0].text)
        kept = kept[kept.index(written[0]) + 1 :]
    if gold:
        fail(
            path,
            None,
            "expected a text and a label a line, found texts alone",
            "between columns there may be a tab, or a comma, `;` or `|` if a header names them",
        )
    return [
        Example(
            (line.text,) if line.text.strip() else (),
            (None,),
            origin=str(path),
            line=line.number,
        )
        for line in kept
    ]


def _refuse_words(path: Path, lines: Sequence[Line], table: Separated) -> None:
    """Refuse words in rows: one beside a tag each, with blank lines between sentences."""
    rows = [row for _, row in table.rows]
    if table.header is not None or not all(len(row) == 2 for row in rows):
        return
    tags = {row[1] for row in rows}
    tagged = tags <= UPOS | {"O"} or ("O" in tags and spans.marks_spans(tags))
    if tagged and sum(1 for _ in blocks(lines)) > 1 and all(" " not in row[0] for row in rows):
        fail(path, None, "expected a text and a label a line, found words with tags", _WORDS)


def annotated(
    path: Path, predictions: Sequence[Predicted], columns: Mapping[str, str], format: str | None
) -> bytes:
    """Return a file with predicted labels, everything else in it as it was.

    Plain text becomes a table: text, tab, label.
    """
    lines = read_lines(path)
    layout = _layout(path, lines, columns, format)
    if layout.format in ("jsonl", "json"):
        records = json_records(path, lines, layout)
        asked = ("label",) if "label" in columns else ()
        named = [name for name in records[0].fields if fields.folded(name) == "label"]
        name = columns_of(records, asked, columns).get("label", (*named, "label")[0])
        return annotating.objects(path, predictions, layout, {name: lambda p: p.labels[0]})
    if layout.table is None:
        return annotating.table(predictions).encode()
    table = layout.table
    records = records_in(path, lines, layout, ("text", "label"))
    names = columns_of(records, _FIELDS, columns, table)
    header = list(records[0].fields)
    column = header.index(names["label"]) if "label" in names else None
    labels = {item.line: item.labels[0] for item in predictions if item.line is not None}
    return annotating.table_rows(path, table, labels, column, "label")

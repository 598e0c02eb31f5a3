"""Tables with a separator: which one it is, how cells are quoted, and whether line 1 is a header.

A header is told by the names of its columns (`fields`).  A header in words that are not known
there is told by its form: short, while the texts below are long, and with a label that never comes
again.  It is then taken as one, with a word of warning.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from adapterhub_lite.tasks import fields
from adapterhub_lite.tasks.files import Line, fail

FIELDS = ("text", "label", "second", "language", "id")
_MARKS = ("\t", ";", "|", ",")
_NAMES = {"\t": "tab", ";": "`;`", "|": "`|`", ",": "`,`"}
_FEW = 4
"""Rows that are too few to tell an unknown header from an example."""
_SHORT = 3
"""Words of a label, at most, where nothing else says that a column holds labels."""

Row = tuple[int, list[str]]
"""Line number and cells."""


@dataclass(frozen=True, slots=True)
class Separated:
    """A table: its rows without the header, and what its form was told from."""

    mark: str
    header: tuple[str, ...] | None
    header_line: int | None
    rows: tuple[Row, ...]
    doubt: str | None = None

    @property
    def format(self) -> str:
        """`tsv` or `csv`."""
        return "tsv" if self.mark == "\t" else "csv"

    @property
    def count(self) -> int:
        """The number of columns."""
        if self.header is not None:
            return len(self.header)
        return Counter(len(row) for _, row in self.rows).most_common(1)[0][0]


def separated(
    path: Path,
    lines: Sequence[Line],
    names: Sequence[str] = (),
    *,
    known: Sequence[str] = FIELDS,
    label: str | None = None,
    forced: str | None = None,
) -> Separated | None:
    """Return the table in a file, or `None` where its lines are texts.

    Args:
        names: columns that the user named.
        known: fields by whose usual names a header is told.
        label: name or number of the column of labels; the last one, if it is left out.
        forced: `tsv` or `csv`, whatever the content looks like.

    Raises:
        DataError: quotes that do not close.
    """
    first = next(line for line in lines if line.text.strip())
    marks = {"tsv": _MARKS[:1], "csv": _MARKS[1:], None: _MARKS}[forced]
    named = {mark: _matches(_cut(first.text, mark), names, known) for mark in marks}
    mark = max(named, key=lambda m: named[m])
    if named[mark] < 1 or len(_cut(first.text, mark)) == 1:
        mark = _by_counts(path, lines, marks) or ""
    if not mark and forced is None and not _called_table(path):
        return None
    mark = mark or ("\t" if forced == "tsv" or ".tsv" in path.suffixes else ",")
    rows = _table_rows(path, lines, mark)
    if not rows:
        fail(path, None, "no record in the file, separators alone")
    header, doubt = _header(rows, names, known, label)
    if header is None:
        return Separated(mark, None, None, tuple(rows), doubt)
    return Separated(mark, header, rows[0][0], tuple(rows[1:]), doubt)


def name_of(mark: str) -> str:
    """Return what a separator is called."""
    return _NAMES[mark]


def _called_table(path: Path) -> bool:
    return bool({".csv", ".tsv"} & {suffix.lower() for suffix in path.suffixes})


def _cut(text: str, mark: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=mark))]
    except (csv.Error, StopIteration):
        return [text]


def _matches(row: Sequence[str], names: Sequence[str], known: Sequence[str]) -> int:
    return sum(
        cell in names or any(fields.folded(cell) == fields.folded(name) for name in names)
        or fields.is_named(cell, known)
        for cell in row
        if cell
    )  # fmt: skip


def _by_counts(path: Path, lines: Sequence[Line], marks: Sequence[str]) -> str | None:
    """Return the separator that cuts the most lines into as many cells, two or more.

    In a file that is not called a table, a comma could be one of prose: then all lines must agree,
    and their last cells look like labels.
    """
    shares = {mark: _share(lines, mark, strict=not _called_table(path)) for mark in marks}
    best = max(marks, key=lambda mark: shares[mark])
    return best if shares[best] > 1 / 2 else None


def _share(lines: Sequence[Line], mark: str, *, strict: bool) -> float:
    """Return the share of the lines that have the commonest number of cells; 0 if that is one."""
    try:
        rows = _rows(lines, mark)
    except csv.Error:
        return 0
    if not rows:
        return 0
    count, most = Counter(len(row) for _, row in rows).most_common(1)[0]
    if count == 1:
        return 0
    if strict and mark != "\t" and (most < len(rows) or _is_prose(lines, rows, mark)):
        return 0
    return most / len(rows)


def _is_prose(lines: Sequence[Line], rows: Sequence[Row], mark: str) -> bool:
    """Whether the mark is one of punctuation: before blanks, or with no label after the last."""
    written = [line.text for line in lines if line.text.strip()]
    if sum(f"{mark} " in text for text in written) > len(written) / 2:
        return True
    labels = Counter(row[-1] for _, row in rows)
    return len(labels) > len(rows) / 2 or not all(
        0 < len(label.split()) <= _SHORT for label in labels
    )


def _table_rows(path: Path, lines: Sequence[Line], mark: str) -> list[Row]:
    try:
        return _rows(lines, mark)
    except csv.Error as error:
        marks = ('"', "\r")
        opening = next((n.number for n in lines if any(m in n.text for m in marks)), None)
        fail(path, opening, f"not CSV with {name_of(mark)} between columns: {error}")


def _rows(lines: Sequence[Line], mark: str) -> list[Row]:
    """Return the rows of a table; those without anything in them are left out.

    Quotes around cells with tabs between them may be part of the texts: they are taken off if
    all of the file can be read with them.
    """
    if mark != "\t":
        return list(_cells(lines, mark, quoting=csv.QUOTE_MINIMAL))
    plain = list(_cells(lines, mark, quoting=csv.QUOTE_NONE))
    if not any(cell.startswith('"') for _, row in plain for cell in row):
        return plain
    try:
        quoted = list(_cells(lines, mark, quoting=csv.QUOTE_MINIMAL))
    except csv.Error:
        return plain
    return quoted if len({len(row) for _, row in quoted}) == 1 else plain


def _cells(lines: Sequence[Line], mark: str, *, quoting: Literal[0, 3]) -> Iterator[Row]:
    reader = csv.reader(
        (line.text + "\n" for line in lines), delimiter=mark, quoting=quoting, strict=True
    )
    while True:
        start = reader.line_num
        try:
            row = next(reader)
        except StopIteration:
            return
        if any(cell.strip() for cell in row):
            yield lines[start].number, [cell.strip() for cell in row]


def _header(
    rows: Sequence[Row], names: Sequence[str], known: Sequence[str], label: str | None
) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the names in the first row where it is a header, and a doubt about that."""
    (_, first), *rest = rows
    below = [row for _, row in rest if len(row) == len(first)]
    matches = _matches(first, names, known)
    recurs = [cell in {row[at] for row in below} for at, cell in enumerate(first)]
    if matches > 1 or (matches == 1 and not any(recurs)):
        return tuple(first), None
    if len(first) < 2 or len(below) < _FEW or any(recurs):
        return None, None
    column = fields.number(label or "-1", len(first))
    labels = Counter(row[-1 if column is None else column] for row in below)
    if len(labels) > len(below) / 2:
        return None, None
    texts = [max(len(cell.split()) for cell in row) for row in below]
    if max(len(cell.split()) for cell in first) <= 2 < median(texts) / 2 + 1:
        return tuple(first), "is taken as a header: short, and never repeated below"
    return None, f"could be a header: `{first[column or -1]}` is in no other line"

"""Records with named fields: CSV, TSV with or without a header, and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.tasks.files import Line, detect, fail, read_lines


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its line and its fields by name."""

    line: int
    fields: dict[str, Any]


def json_objects(path: Path, lines: Sequence[Line]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of JSON lines; blank lines are skipped."""
    for line in lines:
        if not line.text.strip():
            continue
        try:
            value = json.loads(line.text)
        except ValueError as error:
            fail(path, line.number, f"not JSON: {error}")
        if not isinstance(value, dict):
            fail(path, line.number, f"expected a JSON object, found {type(value).__name__}")
        yield line.number, value


def read_records(path: Path, wanted: Sequence[str], *, required: Sequence[str]) -> list[Record]:
    """Return the records of a file.

    Args:
        path: CSV, TSV, JSON lines, or plain text (one record a line, in the first wanted field).
        wanted: field names in the order they have where a file has no header.
        required: fields that every record must have, and not empty.

    Raises:
        DataError: see `files`; also wrong column counts and missing fields.
    """
    lines = read_lines(path)
    kind = detect(path, lines)
    if kind == "jsonl":
        records = [Record(number, item) for number, item in json_objects(path, lines)]
    elif kind in ("csv", "tsv"):
        records = list(_separated(path, lines, "," if kind == "csv" else "\t", wanted))
    else:
        records = [
            Record(line.number, {wanted[0]: line.text}) for line in lines if line.text.strip()
        ]
    for record in records:
        _check(path, record, required)
    if not records:
        fail(path, None, "no record in the file")
    return records


def _check(path: Path, record: Record, required: Sequence[str]) -> None:
    for name in required:
        value = record.fields.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            there = ", ".join(f"`{field}`" for field in record.fields) or "nothing"
            fail(
                path,
                record.line,
                f"no `{name}` here, found {there}",
                "name the column with `--column NAME=COLUMN`",
            )


def _separated(
    path: Path, lines: Sequence[Line], mark: str, wanted: Sequence[str]
) -> Iterator[Record]:
    texts = (line.text + "\n" for line in lines)
    if mark == ",":
        reader = csv.reader(texts, strict=True)
    else:
        reader = csv.reader(texts, delimiter=mark, quoting=csv.QUOTE_NONE)
    header: list[str] | None = None
    rows = _rows(path, reader)
    for number, row in rows:
        if header is None:
            header = _header(row, wanted)
            if header is row:
                continue
        if len(row) != len(header):
            fail(path, number, f"expected {len(header)} columns, found {len(row)}")
        yield Record(number, {k: v.strip() for k, v in zip(header, row, strict=True)})


def _rows(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fail(path, reader.line_num, f"not CSV: {error}")
        if row and any(cell.strip() for cell in row):
            yield start, row


def _header(row: list[str], wanted: Sequence[str]) -> list[str]:
    """Return the first row where it names a wanted field, else the wanted names, by position."""
    row[:] = [cell.strip() for cell in row]
    if any(name in row for name in wanted):
        return row
    return list(wanted[: max(len(row), 1)]) if len(row) <= len(wanted) else list(wanted)

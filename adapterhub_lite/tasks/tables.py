"""Records with named fields: tables with any separator, JSON, and what Python programs hold."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.errors import DataError
from adapterhub_lite.foreign.reading import DATA, LINE, Reader
from adapterhub_lite.tasks import fields as names_of
from adapterhub_lite.tasks.files import Line, fail, read_lines
from adapterhub_lite.tasks.formats import Layout, is_document, table_layout
from adapterhub_lite.tasks.separated import Separated, name_of

log = logging.getLogger(__name__)

LINES = Reader(DataError, bounds=LINE)
DOCUMENT = Reader(DataError, bounds=DATA)


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its line (`None`: it is from no file of lines) and its fields by name."""

    line: int | None
    fields: Mapping[str, Any]
    origin: str = ""

    @property
    def position(self) -> str:
        """Where it is from, for messages."""
        return self.origin if self.line is None else f"{self.origin}:{self.line}"


def json_objects(path: Path, lines: Sequence[Line]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of JSON lines; blank lines are skipped."""
    for line in lines:
        if not line.text.strip():
            continue
        try:
            yield line.number, LINES.json_object(line.text, "")
        except DataError as error:
            fail(path, line.number, error.message)


def json_document(path: Path, lines: Sequence[Line]) -> list[Any]:
    """Return the items of a JSON document: a list, or an object with a list `data`."""
    try:
        value = DOCUMENT.json("\n".join(line.text for line in lines), "")
    except DataError as error:
        line = error.facts.get("line")
        number = lines[0].number - 1 + line if isinstance(line, int) else None
        fail(path, number, error.message)
    items = value["data"] if is_document(value) else value
    if not isinstance(items, list) or not items:
        fail(path, None, "expected a list of objects, or an object with a list `data`, not empty")
    return items


def json_records(path: Path, lines: Sequence[Line], layout: Layout) -> list[Record]:
    """Return the objects of JSON lines or of a JSON document."""
    if layout.format == "jsonl":
        return [Record(number, item, str(path)) for number, item in json_objects(path, lines)]
    records = []
    for number, item in enumerate(json_document(path, lines)):
        if not isinstance(item, dict):
            fail(path, None, f"[{number}]: expected a JSON object, found {type(item).__name__}")
        records.append(Record(None, item, f"{path}[{number}]"))
    return records


def read_records(path: Path, wanted: Sequence[str], *, required: Sequence[str]) -> list[Record]:
    """Return the records of a table whose columns have just the names `wanted`.

    Args:
        path: a table with any separator, JSON, or plain text (one record a line, in the first
            wanted field).
        wanted: names of fields, in the order they have where a file has no header.
        required: fields that every record must have, and not empty.

    Raises:
        DataError: see `files`; also wrong column counts and missing fields.
    """
    lines = read_lines(path)
    layout = table_layout(path, lines, wanted)
    records = records_in(path, lines, layout, wanted)
    for record in records:
        for name in required:
            require(record, name, name)
    if not records:
        fail(path, None, "no record in the file")
    return records


def records_in(
    path: Path, lines: Sequence[Line], layout: Layout, positional: Sequence[str]
) -> list[Record]:
    """Return the records of a file; without a header the columns are named by position."""
    if layout.format in ("jsonl", "json"):
        return json_records(path, lines, layout)
    if layout.table is not None:
        return _table_records(path, layout.table, positional)
    return [
        Record(line.number, {positional[0]: line.text}, str(path))
        for line in lines
        if line.text.strip()
    ]


def require(record: Record, field: str, name: str | None) -> Any:
    """Return a field of a record.

    Raises:
        DataError: it has none, or nothing is in it.
    """
    value = record.fields.get(name) if name is not None else None
    if missing(value):
        columns = ", ".join(f"`{column}`" for column in record.fields) or "nothing"
        fail(
            record.origin,
            record.line,
            f"no `{name or field}` here, found {columns}",
            f"name the column with `--column {field}=COLUMN`",
        )
    return value


def missing(value: Any) -> bool:
    """Whether a value says nothing: `None`, not a number, or text of blanks."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # of pandas
        return True
    if isinstance(value, float) and math.isnan(value):
        return True
    return isinstance(value, str) and not value.strip()


def _table_records(path: Path, table: Separated, positional: Sequence[str]) -> list[Record]:
    if table.doubt is not None:
        log.warning("%s:%s: line %s", path, table.header_line or 1, table.doubt)
    if not table.rows:
        fail(path, None, "no record in the file, only a header")
    header = table.header or tuple(positional[: table.count])
    if len(header) < table.count:
        header = tuple(str(number) for number in range(1, table.count + 1))
    records = []
    for number, row in table.rows:
        if len(row) != len(header):
            fail(
                path,
                number,
                f"expected {len(header)} columns, found {len(row)} "
                f"(with {name_of(table.mark)} between them)",
                "put a cell in which the separator occurs into double quotes"
                if table.mark != "\t"
                else None,
            )
        records.append(Record(number, dict(zip(header, row, strict=True)), str(path)))
    return records


def columns_of(
    records: Sequence[Record],
    looked_for: Sequence[str],
    columns: Mapping[str, str],
    table: Separated | None = None,
) -> dict[str, str]:
    """Return the name of the column of every field that records have.

    Of a table with two columns of which one is known, the other is the other of text and label.

    Raises:
        DataError: a column that there is not, several that fit, or none that can be told.
    """
    if not records:
        return {}
    header = list(dict.fromkeys(name for record in records for name in record.fields))
    first = records[0]
    line = table.header_line if table is not None else first.line
    names = names_of.resolve(first.origin, header, looked_for, columns, line=line)
    rest = [name for name in header if name not in names.values()]
    pair = [field for field in looked_for[:2] if field not in names]
    if table is not None and len(header) == 2 and len(rest) == len(pair):
        names |= dict(zip(pair, rest, strict=True))
    return names

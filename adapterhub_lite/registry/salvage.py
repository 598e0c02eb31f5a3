"""What can still be read of a registry that is damaged, or that nothing else can open.

The file and its log are copied first and the copy is read, row by row, until a page refuses.  What
comes back is checked as if it were a stranger's: a record whose digest is not its manifest's is
left out.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from adapterhub_lite import digests, names
from adapterhub_lite.adapter import BaseIdentity, Manifest, Score
from adapterhub_lite.errors import AhlError, RegistryError
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.registry import rows
from adapterhub_lite.registry.rows import BaseEntry

T = TypeVar("T")
_READER = Reader(RegistryError)
_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """An adapter's record: its manifest, what it was called, and whether it is remote."""

    manifest: Manifest
    name: str
    added: datetime | None
    remote: bool


@dataclass(slots=True)
class Salvaged:
    """What was read: records and names by digest, bases, scores, and rows that made no sense."""

    records: dict[str, Record] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    bases: list[BaseEntry] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    skipped: int = 0

    def names_of(self, digest: str) -> tuple[str, ...]:
        """Return the names that meant an adapter."""
        return tuple(sorted(name for name, own in self.names.items() if own == digest))


def read(path: Path) -> Salvaged:
    """Return what can be read of the SQLite file at `path`, which stays as it is."""
    with tempfile.TemporaryDirectory(prefix="ahl-rebuild-") as folder:
        copy = Path(folder) / "registry.db"
        for end in ("", "-wal"):
            if Path(f"{path}{end}").is_file():
                shutil.copy(f"{path}{end}", f"{copy}{end}")
        return _read(copy) if copy.exists() else Salvaged()


def _read(path: Path) -> Salvaged:
    salvaged = Salvaged()
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            _read_adapters(connection, salvaged)
            for base in _each(connection, "bases", _base, salvaged):
                salvaged.bases.append(base)
            for score in _each(connection, "scores", _score, salvaged):
                salvaged.scores.append(score)
    except sqlite3.Error:
        pass  # not a database, or not one that opens
    return salvaged


def _read_adapters(connection: sqlite3.Connection, salvaged: Salvaged) -> None:
    by_key: dict[int, str] = {}

    def record(row: _Row) -> tuple[int, str, Record]:
        digest, text = row["digest"], row["manifest"]
        if digests.of_bytes(text.encode()) != digest:
            raise ValueError(digest)
        manifest = rows.parse(digest, text)
        name = names.check_name(row["name"])
        return row["id"], digest, Record(manifest, name, _moment(row["added"]), bool(row["remote"]))

    for key, digest, own_record in _each(connection, "adapters", record, salvaged):
        by_key[key] = digest
        salvaged.records[digest] = own_record

    def name(row: _Row) -> tuple[str, str]:
        return names.check_name(row["name"]), by_key[row["adapter_id"]]

    salvaged.names.update(_each(connection, "names", name, salvaged))


def _each(
    connection: sqlite3.Connection, table: str, read: Callable[[_Row], T], salvaged: Salvaged
) -> Iterator[T]:
    try:
        for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608  # our own names
            try:
                yield read(row)
            except (AhlError, ValueError, TypeError, KeyError, IndexError, AttributeError):
                salvaged.skipped += 1
    except (sqlite3.Error, UnicodeDecodeError):
        salvaged.skipped += 1  # the rest of the table


def _base(row: _Row) -> BaseEntry:
    if not row["registered"]:
        raise KeyError("registered")
    values = {f.name: row[f.name] for f in fields(BaseIdentity)}
    identity = BaseIdentity(**{**values, "revision": values.get("revision") or None})
    files = row["files"] if "files" in set(row.keys()) else None  # format 1 has none
    return BaseEntry(identity, row["location"], _READER.json_object(files or "{}", "files"))


def _score(row: _Row) -> Score:
    values = {f.name: row[f.name] for f in fields(Score)}
    moment = _moment(values["when"])
    if moment is None:
        raise ValueError(values["when"])
    return Score(**{**values, "when": moment})


def _moment(text: object) -> datetime | None:
    """Return a moment as SQLite keeps it: UTC, without a zone."""
    return datetime.fromisoformat(str(text)).replace(tzinfo=UTC) if text else None

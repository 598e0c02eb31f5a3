"""Lines of the text catalogue: facts about one public adapter each, with where they were read.

The text is what is reviewed; manifests are made from it (`remote.py`).  A key that is left out is
not known or does not apply.  Reading is strict: an unknown key is an error that names line and key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapterhub_lite import disk, records
from adapterhub_lite.adapter import Kind, Role
from adapterhub_lite.errors import DataError, near
from adapterhub_lite.foreign.reading import LINE, Reader

TEXT = Path(__file__).with_name("adapters.jsonl")
"""The catalogue that comes with the package."""

COMPILED = datetime(2026, 11, 22, tzinfo=UTC)
"""When its facts were put together: the moment at which its adapters count as added."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One public adapter.

    Args:
        hub_id: repository on the Hub.
        kind: `language`, `task` or `domain`.
        base: Hub id of the base model, in its current spelling.
        method: method's name; `config` are the settings that differ from its defaults.
        format: layout of the repository: `adapterhub`, `peft` or `lt-sft`.
        status: `verified` or `derived`; `basis` says by what, `evidence` where it was read.
        languages: tags by role (`language`, `source`, `target`).
        trained_over: Hub ids of what was frozen underneath, bottom first; `seen`, in turn.
        dropped: layers of those that were left out as well.
        unknown: what only a pull can tell (`config`, `base`).
        inferred: what no source states outright (`trained_over`).
        excluded: why it is in the text only, and not in registries.
        size: bytes of the weights file, to three digits.
        versions: other branches than `main`.
    """

    hub_id: str
    kind: str
    base: str
    method: str
    format: str
    status: str
    basis: str
    evidence: list[str]
    languages: Mapping[str, list[str]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    leave_out: list[int] = field(default_factory=list)
    task: str | None = None
    dataset: str | None = None
    head: Mapping[str, Any] | None = None
    trained_over: list[str] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    inferred: list[str] = field(default_factory=list)
    revision: str | None = None
    size: int | None = None
    licence: str | None = None
    authors: list[str] = field(default_factory=list)
    citation: str | None = None
    score: Mapping[str, Any] | None = None
    versions: list[str] = field(default_factory=list)
    key: str | None = None
    remarks: list[str] = field(default_factory=list)
    excluded: str | None = None

    def to_line(self) -> str:
        """Return the entry as one line of JSON; what is not known is left out."""
        values = {key: value for key in _ORDER if (value := getattr(self, key))}
        return json.dumps(values, ensure_ascii=False)


_READER = Reader(DataError, bounds=LINE, one_line=True, free=frozenset({"citation"}))
_KNOWN = {f.name for f in fields(Entry)}
_FIRST = ("hub_id", "kind", "languages", "task", "dataset", "base", "method", "config")
_ORDER = (*_FIRST, *(f.name for f in fields(Entry) if f.name not in _FIRST))


def read(path: Path = TEXT) -> list[Entry]:
    """Return the entries of a text catalogue.

    Raises:
        DataError: a line that is no entry; the message starts with file and line.
    """
    with path.open("rb") as stream:
        lines = stream.read().split(b"\n")
    return [
        _entry(line, f"{path.name}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def write(entries: Iterable[Entry], path: Path = TEXT) -> None:
    """Write a text catalogue, sorted by Hub id."""
    lines = [entry.to_line() + "\n" for entry in sorted(entries, key=lambda e: e.hub_id)]
    disk.write_whole(path, "".join(lines))


def registered(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries that registries get."""
    return (entry for entry in entries if entry.excluded is None)


def _entry(line: bytes, where: str) -> Entry:
    values = _READER.json_object(line, f"{where}: no entry of the catalogue")
    unknown = sorted(values.keys() - _KNOWN)
    if unknown:
        hint = near(unknown[0], _KNOWN)
        raise DataError(f"{where}: an entry has no key `{unknown[0]}`", hint=hint)
    try:
        entry = records.reader(Entry)(values, "entry")
    except records.RecordError as error:
        raise DataError(
            f"{where}: no entry of the catalogue: {error.message}", hint=error.hint
        ) from None
    assert isinstance(entry, Entry)
    _check(entry, where)
    return entry


def _check(entry: Entry, where: str) -> None:
    """Refuse words and shapes that manifests do not have."""
    for word, words in ((entry.kind, Kind), *((role, Role) for role in entry.languages)):
        if word not in set(map(str, words)):
            raise DataError(f"{where}: `{word}` is none of {', '.join(words)}")
    head = entry.head
    if head is not None:
        labels = head.get("labels", [])
        sound = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not isinstance(head.get("type"), str) or not sound:
            raise DataError(f"{where}: `head` must have a `type` and a list of `labels`")

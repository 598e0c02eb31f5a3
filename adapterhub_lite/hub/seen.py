"""What this home pulled and pushed: which commit of which repository is which adapter.

It is what an offline pull answers from, and how a push knows whether somebody else changed a
repository since.  Entries are kept by the Hub's address, so two Hubs never answer for one another.
The file is small, and each change replaces it in one step.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from adapterhub_lite import disk, locking, records
from adapterhub_lite.errors import HomeError
from adapterhub_lite.foreign.reading import RECORD, Reader

FILE = "hub.json"
LOCK = ".hub.lock"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """One commit of a repository and the adapters that it holds.

    `asked` is the revision by which it was found (a branch, tag or commit); `composition` is what a
    repository with a whole stack is of, by digests.
    """

    endpoint: str
    repo: str
    commit: str
    asked: str
    digests: tuple[str, ...]
    composition: str | None = None


@dataclass(frozen=True, slots=True)
class _All:
    format: int
    seen: tuple[Seen, ...] = ()


def find(home: Path, endpoint: str, repo: str, revision: str) -> Seen | None:
    """Return what a revision (branch, tag or commit) was when it was seen last."""
    for entry in reversed(_read(home)):
        fits = entry.endpoint == endpoint and entry.repo == repo
        if fits and revision in {entry.asked, entry.commit}:
            return entry
    return None


def remember(home: Path, seen: Seen) -> None:
    """Record a commit as the one seen last."""
    with locking.exclusive(home / LOCK, f"`{home / FILE}`"):
        others = [entry for entry in _read(home) if _identity(entry) != _identity(seen)]
        _write(home / FILE, _All(FORMAT, (*others, seen)))


def _identity(entry: Seen) -> tuple[str, ...]:
    return (entry.endpoint, entry.repo, entry.commit, entry.asked)


_READER = Reader(
    HomeError, bounds=RECORD, hint="remove it: it only records what was pulled and pushed"
)


def _read(home: Path) -> tuple[Seen, ...]:
    path = home / FILE
    try:
        found = records.reader(_All)(_READER.json_file(path), "record")
    except FileNotFoundError:
        return ()
    except records.RecordError as error:
        raise HomeError(
            f"`{path}` cannot be read: {error}",
            hint="remove it: it only records what was pulled and pushed",
        ) from None
    assert isinstance(found, _All)
    return found.seen


def _write(path: Path, content: _All) -> None:
    disk.write_whole(path, json.dumps(records.plain(content), indent=1, ensure_ascii=False) + "\n")

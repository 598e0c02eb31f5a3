"""SHA-256 of files that seldom change: computed once, and again only when the file was touched.

A digest is kept with device, inode, size and both times of the file (the time of the last change of
its inode cannot be set back by `touch` or `cp -p`), in the process and in the user's cache folder,
never in a home: what comes with a stranger's home proves nothing.  A file changed within the last
seconds is hashed but not kept, because a second change in the same tick of the clock would not show
(Git calls such an entry "racily clean").
"""

from __future__ import annotations

import stat
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from adapterhub_lite import digests
from adapterhub_lite.digests import Digest

if TYPE_CHECKING:
    import sqlite3

FILE = "digests.db"
LARGE = 1 << 20
"""Bytes from which a digest is kept for later processes; smaller files are hashed sooner."""

_SETTLED = 2.0
"""Seconds without a change after which a digest may be kept."""

_TABLE = "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stamp TEXT, sha256 TEXT)"

_in_process: dict[tuple[str, Stamp], Digest] = {}


class Stamp(NamedTuple):
    """What changes whenever a file's bytes do."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def stamp(path: Path) -> Stamp:
    """Return the stamp of a regular file.

    Raises:
        OSError: no such file, or something that is not a file (a pipe would block its reader).
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"`{path}` is not a regular file")
    return Stamp(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def sha256(path: Path) -> Digest:
    """Return the SHA-256 of a file as it is now.

    Raises:
        OSError: it cannot be read, or changed while it was read.
    """
    before = stamp(path)
    key = str(path.absolute())
    if (digest := _in_process.get((key, before))) is not None:
        return digest
    keep = before.size >= LARGE
    digest = _kept(key, before) if keep else None
    if digest is None:
        digest = digests.of_file(path)
        if stamp(path) != before:
            raise OSError(f"`{path}` changed while it was read")
        if time.time() - max(before.modified, before.changed) / 1e9 < _SETTLED:
            return digest
        if keep:
            _keep(key, before, digest)
    _in_process[key, before] = digest
    return digest


def forget() -> None:
    """Forget what this process knows, so that the next question is put to the cache or the file."""
    _in_process.clear()


def _kept(key: str, before: Stamp) -> Digest | None:
    try:
        with closing(_cache()) as cache:
            row = cache.execute(
                "SELECT sha256 FROM digests WHERE path = ? AND stamp = ?", (key, _text(before))
            ).fetchone()
    except _failures():
        return None
    return Digest(row[0]) if row else None


def _keep(key: str, before: Stamp, digest: Digest) -> None:
    """Keep a digest; where that fails, the next process hashes again."""
    with suppress(*_failures()), closing(_cache()) as cache, cache:
        values = (key, _text(before), digest)
        cache.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", values)


def _text(before: Stamp) -> str:
    return " ".join(map(str, before))


def _failures() -> tuple[type[Exception], ...]:
    import sqlite3

    return (sqlite3.Error, OSError)


def _cache() -> sqlite3.Connection:
    import sqlite3

    from platformdirs import user_cache_path

    folder = user_cache_path("adapterhub_lite", appauthor=False)
    folder.mkdir(parents=True, exist_ok=True)
    cache = sqlite3.connect(folder / FILE, timeout=1.0)
    try:
        cache.execute(_TABLE)
    except BaseException:
        cache.close()
        raise
    return cache

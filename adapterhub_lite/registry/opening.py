"""Whose an SQLite file is, found out before anything may write to it.

SQLite makes a database of an empty file, rolls back what a stranger's program left unfinished, and
throws away a write-ahead log whose database is empty; all of that happens on opening.  So the file
is looked at first: its header, which carries our application number since this version, else its
tables, read without a lock, a log or a write.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from adapterhub_lite import disk
from adapterhub_lite.errors import RegistryError
from adapterhub_lite.registry.failures import DamagedRegistryError, damaged
from adapterhub_lite.registry.tables import METADATA

APPLICATION = 0x41484C31
"""The letters `AHL1`, which SQLite keeps in the header of every registry."""

FORMAT_TABLE = "alembic_version"
TABLES = frozenset(METADATA.tables)

_MAGIC = b"SQLite format 3\0"
_HEADER = 100
_APPLICATION = slice(68, 72)


def check(path: Path, *, create: bool) -> None:
    """Refuse an SQLite file that is not a registry; a missing one is left to SQLite.

    Args:
        path: the file that is about to be opened.
        create: a new registry is wanted, so an empty file may become one.

    Raises:
        RegistryError: empty, damaged, or another program's; nothing was written.
    """
    if path.is_dir():
        return
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER)
    except FileNotFoundError:
        _check_log(path, "is not there", create=create)
        return
    except OSError as error:
        raise disk.refused(error, path, "read") from error
    if not header:
        _check_log(path, "is empty", create=create)
        if not create:
            raise DamagedRegistryError(
                f"`{path}` is an empty file, not a registry",
                hint="restore it from a backup or from git, or `ahl rebuild` makes it again from "
                "the objects; `ahl init` makes a new, empty registry",
            )
        return
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise damaged(str(path), "it is not an SQLite database")
    number = int.from_bytes(header[_APPLICATION], "big")
    if number == APPLICATION:
        return
    check_tables(str(path), _tables(path), create=create and number == 0)


def check_tables(label: str, tables: frozenset[str], *, create: bool) -> None:
    """Refuse a database by its tables: none, another program's, or a registry's without some.

    Raises:
        RegistryError: see above; `create` lets a database without tables pass.
    """
    missing = sorted((TABLES | {FORMAT_TABLE}) - tables)
    if not missing or (create and not tables):
        return
    if len(tables & TABLES) > len(TABLES) // 2:
        raise damaged(label, f"its table `{missing[0]}` is gone")
    if tables:
        raise foreign(label, tables)
    raise DamagedRegistryError(
        f"`{label}` is a database without tables, not a registry",
        hint="`ahl init` makes a registry of it",
    )


def foreign(label: str, tables: frozenset[str]) -> RegistryError:
    """Return the error for a database that is somebody else's."""
    names = ", ".join(f"`{name}`" for name in sorted(tables)[:3])
    rest = f" and {len(tables) - 3} more" if len(tables) > 3 else ""
    return RegistryError(
        f"`{label}` is another program's database (tables {names}{rest}), not a registry; "
        "nothing in it was changed",
        hint="give the registry a database of its own: `ahl init PATH` makes one",
    )


def _check_log(path: Path, fault: str, *, create: bool) -> None:
    """Keep a write-ahead log from being thrown away with the empty file that it belongs to."""
    log = Path(f"{path}-wal")
    if create and log.exists() and log.stat().st_size:
        raise RegistryError(
            f"`{path}` {fault}, but `{log.name}` beside it holds what a registry wrote last",
            hint=f"put the `{path.name}` of that log back, or move the log to another folder",
        )


def _tables(path: Path) -> frozenset[str]:
    log = Path(f"{path}-wal")
    logged = log.exists() and log.stat().st_size > 0
    mode = "mode=ro" if logged else "mode=ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?{mode}"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return frozenset(name for (name,) in rows if not name.startswith("sqlite_"))
    except sqlite3.Error as error:
        raise damaged(str(path), str(error)) from error

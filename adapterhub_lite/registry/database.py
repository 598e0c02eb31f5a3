"""One database behind a registry: SQLite (in write-ahead mode) or PostgreSQL.

Reads see one state of the database.  Writes come one at a time in both databases (`BEGIN IMMEDIATE`
in SQLite, an advisory lock in PostgreSQL): a writer looks up, decides and writes without anybody
in between, so no code above has to handle a lost race.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, Pool, QueuePool

from adapterhub_lite.disk import READ_ONLY_HINT
from adapterhub_lite.errors import HomeError, UsageError
from adapterhub_lite.registry import failures, opening

_WRITERS = 0x61686C
"""Key of PostgreSQL's advisory lock for writers: the letters `ahl`."""

_CACHE = 65_536
"""Kilobytes of the database that SQLite may keep in memory; bulk adds need room for the indexes."""


class Database:
    """An engine, and the two kinds of transaction that a registry uses.

    Args:
        url: path of an SQLite file, or SQLAlchemy URL of one or of a PostgreSQL database.
        create: make a registry if there is none; without it, opening never makes or changes one.
        timeout: seconds to wait for another writer.

    Raises:
        RegistryError: an SQLite file that is empty, damaged or another program's.
    """

    def __init__(self, url: str | Path, *, create: bool = False, timeout: float = 30.0) -> None:
        self.url = URL.create("sqlite", database=str(url)) if isinstance(url, Path) else parsed(url)
        self.timeout = timeout
        self.path = Path(self.url.database or "") if self.url.drivername == "sqlite" else None
        self.label = str(self.path) if self.path else self.url.render_as_string(hide_password=True)
        if self.path is not None:
            opening.check(self.path, create=create)
        self.read_only = self.path is not None and not create and not _writable(self.path)
        self.engine = self._sqlite(self.path, create=create) if self.path else self._postgres()
        self._process = os.getpid()
        self._shared = threading.local()
        self._close = weakref.finalize(self, self.engine.dispose)

    def close(self) -> None:
        """Close every connection; SQLite then folds its write-ahead log into the file."""
        self._close()

    def check_writable(self) -> None:
        """Raise `HomeError` where the file is known to be read-only."""
        if self.read_only:
            raise HomeError(f"registry `{self.label}` is read-only", hint=READ_ONLY_HINT)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within, every `read` of this thread sees one and the same state."""
        with self.read() as connection:
            outer, self._shared.connection = self._open(), connection
            try:
                yield
            finally:
                self._shared.connection = outer

    def _open(self) -> Connection | None:
        """Return the connection of the snapshot that this thread is in, if it is in one."""
        connection: Connection | None = getattr(self._shared, "connection", None)
        return connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state and changes nothing."""
        shared = self._open()
        if shared is not None:
            with failures.of_database(self.label):
                yield shared
            return
        with failures.of_database(self.label), self._engine().connect() as connection:
            if self.path is None:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is done whole or not at all, one writer at a time."""
        self.check_writable()
        with failures.of_database(self.label), self._engine().connect() as plain:
            connection = plain.execution_options(ahl_write=True)
            with connection.begin():
                if self.path is None:
                    connection.execute(
                        text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITERS}
                    )
                yield connection

    def prepare(self) -> None:
        """Set what SQLite keeps in the file itself: whose it is, and write-ahead logging.

        The mark comes first: it then is in the file and not only in a log.
        """
        if self.path is None:
            return
        with failures.of_database(self.label):
            raw = self._engine().raw_connection()
            try:
                raw.cursor().execute(f"PRAGMA application_id={opening.APPLICATION}")
                raw.cursor().execute("PRAGMA journal_mode=WAL")
            except sqlite3.Error as error:
                raise failures.of_driver(error, self.label) from error
            finally:
                raw.close()

    def _engine(self) -> Engine:
        if self._process != os.getpid():  # a forked child must not use its parent's connections
            self.engine.dispose(close=False)
            self._process = os.getpid()
        return self.engine

    def _sqlite(self, path: Path, *, create: bool) -> Engine:
        mode = "ro" if self.read_only else "rwc" if create else "rw"
        plain = f"{path.absolute().as_uri()}?mode={mode}"
        log = Path(f"{path}-wal")

        def connect() -> sqlite3.Connection:
            # In a folder that cannot be written SQLite can only read a file that nobody writes.
            quiet = self.read_only and not log.exists()
            connection = sqlite3.connect(
                f"{plain}&immutable=1" if quiet else plain,
                uri=True,
                timeout=self.timeout,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA cache_size=-{_CACHE}")
            return connection

        pool: type[Pool] = NullPool if self.read_only else QueuePool
        engine = create_engine("sqlite://", creator=connect, poolclass=pool)
        event.listen(engine, "begin", _begin)
        return engine

    def _postgres(self) -> Engine:
        milliseconds = round(self.timeout * 1000)
        options: dict[str, Any] = {
            "options": f"-c lock_timeout={milliseconds} -c timezone=UTC",
            "connect_timeout": max(2, round(min(self.timeout, 10))),
        }
        return create_engine(self.url, connect_args=options, pool_pre_ping=True)


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("ahl_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def parsed(url: str) -> URL:
    """Return the address of a database that can hold a registry.

    Raises:
        UsageError: it cannot.
    """
    try:
        made = make_url("" if "\0" in url else url)  # a zero byte is in no path and no name
    except (ArgumentError, ValueError):
        raise UsageError(
            "this is no database URL", hint="for example `postgresql+psycopg://user@host/adapters`"
        ) from None
    if made.drivername in {"postgres", "postgresql"}:
        made = made.set(drivername="postgresql+psycopg")
    if made.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise UsageError(
            f"a registry cannot be kept in `{made.drivername}`",
            hint="use `sqlite:///PATH` or `postgresql+psycopg://user@host/adapters`",
        )
    if made.drivername == "sqlite" and made.database in {None, "", ":memory:"}:
        raise UsageError("a registry in SQLite needs a file", hint="`sqlite:///PATH`")
    return made


def _writable(path: Path) -> bool:
    """Whether the file and its folder (for the log beside it) can be written.

    `access(2)` also answers for read-only file systems and immutable files, where `root` would
    otherwise pass every test.
    """
    if not path.exists():
        return True
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)

"""The database's format, and how an older one becomes the current one.

Alembic applies the numbered files in `versions/` in order, inside one write transaction, so a crash
leaves the old format or the new one.  A database in the current format is recognised by one query;
Alembic is imported only where there is something to do.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from adapterhub_lite.errors import RegistryError
from adapterhub_lite.registry import opening
from adapterhub_lite.registry.failures import MissingTableError, damaged

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from adapterhub_lite.registry.database import Database

HEAD = "0002"
"""The newest format, which this version writes."""

_NUMBER = re.compile(r"[0-9]{4}")
_FOLDER = Path(__file__).parent


def bring_up(database: Database, *, create: bool = False) -> None:
    """Migrate a registry to the current format; a current one costs one query.

    Args:
        database: an open database.
        create: make the tables if the database has none of ours.

    Raises:
        RegistryError: a newer format, a damaged registry, or a database that is no registry.
    """
    version = _quick(database)
    if version == HEAD:
        return
    _refuse_newer(version, database)
    if version is None:  # before anything is set in the file
        with database.read() as connection:
            _check_tables(connection, database.label, create=create)
    if database.read_only:
        raise RegistryError(
            f"registry `{database.label}` has format {version or 'none'}, this version needs "
            f"{HEAD}, and it is read-only",
            hint="copy the home to a place that can be written, and open it there",
        )
    database.prepare()
    with database.write() as connection:
        version = _careful(connection, database.label, create=create)
        _refuse_newer(version, database)
        if version is not None:
            _check_sound(connection, database.label)
        _apply(connection, version or "")


def _quick(database: Database) -> str | None:
    """Return the format number; `None` if the database has no table for it."""
    try:
        with database.read() as connection:
            return _version(connection, database.label)
    except MissingTableError:
        return None


_STATE = {
    "sqlite": "SELECT version_num, (SELECT group_concat(name, char(10)) FROM sqlite_master "
    "WHERE type = 'table') AS tables FROM alembic_version",
    "postgresql": "SELECT version_num, (SELECT string_agg(tablename, chr(10)) FROM pg_tables "
    "WHERE schemaname = ANY (current_schemas(false))) AS tables FROM alembic_version",
}


def _version(connection: Connection, label: str) -> str:
    """Return the format number of a registry that has all of its tables.

    Raises:
        RegistryError: the number is gone or not one of ours, or a table is gone.
        MissingTableError: there is no table for the number.
    """
    rows = connection.execute(text(_STATE[connection.dialect.name])).all()
    if not rows:
        tables = _all_tables(connection)
        if tables & opening.TABLES:
            raise damaged(label, "its format number is gone")
        raise opening.foreign(label, tables)
    opening.check_tables(label, frozenset(rows[0].tables.split("\n")), create=False)
    if len(rows) > 1 or not _NUMBER.fullmatch(str(rows[0].version_num)):
        numbers = ", ".join(f"`{row.version_num}`" for row in rows)
        raise damaged(label, f"its format number is {numbers}")
    return str(rows[0].version_num)


def _careful(connection: Connection, label: str, *, create: bool) -> str | None:
    """Return the format number inside the write transaction; `None` if tables are to be made."""
    if opening.FORMAT_TABLE in _all_tables(connection):
        return _version(connection, label)
    _check_tables(connection, label, create=create)
    return None


def _check_tables(connection: Connection, label: str, *, create: bool) -> None:
    tables = _all_tables(connection)
    if create and connection.dialect.name == "postgresql" and not tables & opening.TABLES:
        return  # a database that others use too, named outright: their tables stay as they are
    opening.check_tables(label, tables, create=create)


def _check_sound(connection: Connection, label: str) -> None:
    """Raise `RegistryError` if pages are damaged: rewriting tables would spread that."""
    if connection.dialect.name == "sqlite":
        line = connection.execute(text("PRAGMA integrity_check(1)")).scalar()
        if line != "ok":
            raise damaged(label, str(line))


def _all_tables(connection: Connection) -> frozenset[str]:
    from sqlalchemy import inspect

    return frozenset(inspect(connection).get_table_names())


def _refuse_newer(found: str | None, database: Database) -> None:
    if found is not None and found > HEAD:
        raise RegistryError(
            f"registry `{database.label}` has format {found}, this version reads up to {HEAD}",
            hint="upgrade: `pip install -U adapterhub_lite`",
            found=found,
            known=HEAD,
        )


def _apply(connection: Connection, current: str) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(_FOLDER))
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        for revision in sorted(script.walk_revisions(), key=lambda r: r.revision):
            if revision.revision > current:
                revision.module.upgrade()
        context.stamp(script, HEAD)

"""The database's format, and how an older one becomes the current one.

Alembic applies the numbered files in `versions/` in order, inside one write transaction, so a crash
leaves the old format or the new one.  A database in the current format is recognised by one query;
Alembic is imported only where there is something to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from adapterhub_lite.errors import RegistryError
from adapterhub_lite.registry.failures import MissingTableError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from adapterhub_lite.registry.database import Database

HEAD = "0002"
"""The newest format, which this version writes."""

_FOLDER = Path(__file__).parent


def bring_up(database: Database) -> None:
    """Migrate a database to the current format; a current one costs one query.

    Raises:
        RegistryError: the database has a newer format, or is no registry.
    """
    found = _quick(database)
    if found == HEAD:
        return
    _refuse_newer(found, database)
    if database.read_only:
        raise RegistryError(
            f"registry `{database.label}` has format {found or 'none'}, this version needs {HEAD}, "
            "and it is read-only",
            hint="copy the home to a place that can be written, and open it there",
        )
    database.prepare()
    with database.write() as connection:
        found = _careful(connection)
        _refuse_newer(found, database)
        _apply(connection, found or "")


def _quick(database: Database) -> str | None:
    try:
        with database.read() as connection:
            return _version(connection)
    except MissingTableError:
        return None


def _version(connection: Connection) -> str | None:
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _careful(connection: Connection) -> str | None:
    from sqlalchemy import inspect

    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables:
        return _version(connection)
    foreign = sorted({"adapters", "names", "bases", "scores"} & set(tables))
    if foreign:
        raise RegistryError(
            f"this database is no registry: it has a table `{foreign[0]}` but no format number",
            hint="give the registry a database of its own",
        )
    return None


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

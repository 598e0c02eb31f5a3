"""`verify`: what the registry says against what the object store holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, select, text

from adapterhub_lite import digests
from adapterhub_lite.errors import AhlError, RegistryError
from adapterhub_lite.foreign.text import command
from adapterhub_lite.registry import rows
from adapterhub_lite.registry.objects import ObjectStore, Problem
from adapterhub_lite.registry.tables import ADAPTERS, LANGUAGES, METADATA, NAMES

if TYPE_CHECKING:
    from adapterhub_lite.registry.registry import Registry

_GC = "`ahl gc` removes it"
_REBUILD = "restore it from a backup, or `ahl rebuild` makes it again from the objects"


def verify(registry: Registry, store: ObjectStore) -> list[Problem]:
    """Read every record and every byte, and return what is wrong."""
    with store.cleaning():  # short: bytes are read after others may go on
        there = list(store.digests())
        leftovers = store.leftovers()
        trash = {item.digest for item in store.trash()}
        problems = check_registry(registry)
        if any(problem.kind == "database" for problem in problems):
            return problems  # what it needs of the store is not known
        needs = needed(registry)
        problems += [_leftover(place) for place in leftovers]
        problems += [_orphan(d) for d in there if d not in needs and store.abandoned(d)]
    checked = (store.check(digest) for digest in sorted(needs | set(there)))
    return [*problems, *(_restorable(problem, trash) for problem in checked if problem)]


def check_registry(registry: Registry) -> list[Problem]:
    """Return what is wrong with a registry by itself: pages, tables, records, names."""
    try:
        with registry.database.read() as connection:
            problems = [*_pages(connection), *_tables(connection)]
            if not problems:
                problems = [*_rows(connection), *_names(connection)]
    except RegistryError as error:
        return [Problem("database", registry.database.label, error.message, _REBUILD)]
    return problems


def needed(registry: Registry) -> frozenset[str]:
    """Return the digests of the objects that the registry's records need."""
    local = select(ADAPTERS.c.digest).where(ADAPTERS.c.remote.is_(False))
    with registry.database.read() as connection:
        return frozenset(connection.scalars(local))


def _restorable(problem: Problem, trash: set[str]) -> Problem:
    if problem.kind == "missing-object" and problem.subject in trash:
        return replace(problem, fix="it is in the trash: `ahl gc` puts it back")
    return problem


def _leftover(place: str) -> Problem:
    return Problem("leftover", place, f"`{place}` was left by an interrupted write", _GC)


def _orphan(digest: str) -> Problem:
    short = digest[: digests.SHORT]
    return Problem("orphan-object", digest, f"object {short} has no record in the registry", _GC)


def _pages(connection: Connection) -> Iterator[Problem]:
    if connection.dialect.name != "sqlite":
        return
    for (line,) in connection.execute(text("PRAGMA integrity_check")):
        if line != "ok":
            yield Problem("database", "registry.db", line, _REBUILD)


def _tables(connection: Connection) -> Iterator[Problem]:
    catalogue = inspect(connection)
    tables = set(catalogue.get_table_names())
    for name, table in sorted(METADATA.tables.items()):
        columns = {c["name"] for c in catalogue.get_columns(name)} if name in tables else set()
        lost = sorted({column.name for column in table.columns} - columns)
        if name not in tables:
            yield Problem("database", name, f"table `{name}` is gone", _REBUILD)
        elif lost:
            yield Problem("database", name, f"table `{name}` has no column `{lost[0]}`", _REBUILD)


def _rows(connection: Connection) -> Iterator[Problem]:
    columns = select(*_COPIES, ADAPTERS.c.id, ADAPTERS.c.name, ADAPTERS.c.manifest)
    uses = _uses(connection)
    following = next(uses, None)
    for row in connection.execute(columns.order_by(ADAPTERS.c.id)):
        own: list[tuple[str, str]] = []
        while following is not None and following[0] <= row.id:
            own += [following[1]] if following[0] == row.id else []
            following = next(uses, None)
        message = _row(row, own)
        if message:
            yield Problem(
                "record",
                row.digest,
                f"the record of `{row.name}@{row.digest[: digests.SHORT]}` {message}",
                "`ahl remove --force` it and add it again",
            )


_COPIES = [ADAPTERS.c[name] for name in ("digest", "kind", "method", "task", "dataset")]


def _uses(connection: Connection) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield key, tag and role of every adapter's languages as they are searched for, by key."""
    columns = (LANGUAGES.c.adapter_id, LANGUAGES.c.tag, LANGUAGES.c.role)
    query = select(*columns).order_by(LANGUAGES.c.adapter_id, LANGUAGES.c.position)
    for row in connection.execute(query):
        yield row.adapter_id, (row.tag, row.role)


def _row(row: Any, uses: list[tuple[str, str]]) -> str | None:
    if digests.of_bytes(row.manifest.encode()) != row.digest:
        return "was changed: its digest is another"
    try:
        manifest = rows.parse(row.digest, row.manifest)
    except AhlError as error:
        return f"cannot be read: {error.message}"
    for name in ("kind", "method", "task", "dataset"):
        if getattr(row, name) != getattr(manifest, name):
            return f"is indexed under another {name} than its manifest has"
    if uses != [(use.tag, use.role) for use in manifest.languages]:
        return "is indexed under other languages than its manifest has"
    return None


def _names(connection: Connection) -> Iterator[Problem]:
    known = select(ADAPTERS.c.id)
    dangling = select(NAMES.c.name).where(NAMES.c.adapter_id.not_in(known)).order_by(NAMES.c.name)
    for name in connection.scalars(dangling):
        yield Problem(
            "dangling-name",
            name,
            f"name `{name}` means an adapter that is not in the registry",
            f"{command('ahl', 'alias', name, 'REF')} gives it a meaning",
        )

"""`verify` and `gc`: what the registry says against what the object store holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, text

from adapterhub_lite import digests
from adapterhub_lite.errors import AhlError
from adapterhub_lite.foreign.text import command
from adapterhub_lite.registry import rows
from adapterhub_lite.registry.objects import ObjectStore, Problem
from adapterhub_lite.registry.tables import ADAPTERS, LANGUAGES, NAMES

if TYPE_CHECKING:
    from adapterhub_lite.registry.registry import Registry

_GC = "`ahl gc` removes it"


def verify(registry: Registry, store: ObjectStore) -> list[Problem]:
    """Read every record and every byte, and return what is wrong."""
    with store.cleaning():  # short: bytes are read after others may go on
        there = list(store.digests())
        leftovers = store.leftovers()
        with registry.database.read() as connection:
            problems = [*_database(connection), *_rows(connection), *_names(connection)]
            needed = _needed(connection)
        problems += [_leftover(place) for place in leftovers]
        problems += [_orphan(d) for d in there if d not in needed and store.abandoned(d)]
    checked = (store.check(digest) for digest in sorted(needed | set(there)))
    return [*problems, *(problem for problem in checked if problem is not None)]


def collect(registry: Registry, store: ObjectStore, *, dry_run: bool) -> list[str]:
    """Remove what no record needs, and return it; nothing else is touched."""
    with store.cleaning():
        with registry.database.read() as connection:
            needed = _needed(connection)
        orphans = [d for d in store.digests() if d not in needed and store.abandoned(d)]
        found = [*store.leftovers(), *orphans]
        for place in () if dry_run else found:
            store.discard(place)
    return found


def _needed(connection: Connection) -> set[str]:
    local = select(ADAPTERS.c.digest).where(ADAPTERS.c.remote.is_(False))
    return set(connection.scalars(local))


def _leftover(place: str) -> Problem:
    return Problem("leftover", place, f"`{place}` was left by an interrupted write", _GC)


def _orphan(digest: str) -> Problem:
    short = digest[: digests.SHORT]
    return Problem("orphan-object", digest, f"object {short} has no record in the registry", _GC)


def _database(connection: Connection) -> Iterator[Problem]:
    if connection.dialect.name != "sqlite":
        return
    for (line,) in connection.execute(text("PRAGMA integrity_check")):
        if line != "ok":
            yield Problem("database", "registry.db", line, "restore `registry.db` from a backup")


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

"""Changes to the registry.  Each function runs inside one write transaction of its caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from adapterhub_lite import digests
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import BaseIdentity, Score
from adapterhub_lite.errors import RegistryError
from adapterhub_lite.foreign.text import command
from adapterhub_lite.registry import rows
from adapterhub_lite.registry.bulk import ASK, insert_all, replace_all
from adapterhub_lite.registry.rows import Addition, BaseEntry
from adapterhub_lite.registry.tables import (
    ADAPTERS,
    BASES,
    LANGUAGES,
    NAMES,
    SCORES,
    UNDERNEATH,
)

T = TypeVar("T")

BATCH = 5_000


class Adder:
    """Adds adapters in batches; knows the bases and the next key as long as its transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.bases: dict[BaseIdentity, int] = {}
        self.next_key = _next_key(connection, ADAPTERS)

    def add(self, additions: Iterable[Addition]) -> int:
        """Add all, and return how many were new."""
        return sum(self._batch(batch) for batch in _batches(additions, BATCH))

    def _batch(self, batch: Sequence[Addition]) -> int:
        now = datetime.now(UTC)
        spelt = [rows.spell(addition.manifest) for addition in batch]
        for addition, (_, text) in zip(batch, spelt, strict=True):
            manifests.check(addition.manifest, text)
        known = self._known([digest for digest, _ in spelt])
        adapters: list[dict[str, Any]] = []
        languages: list[dict[str, Any]] = []
        underneath: list[dict[str, Any]] = []
        names: dict[str, dict[str, Any]] = {}
        for addition, (digest, text) in zip(batch, spelt, strict=True):
            row = known.get(digest)
            if row is None:
                base = self.base(addition.manifest.base)
                row = rows.adapter_row(addition, digest, text, base, now)
                row["id"] = self._key()
                known[digest] = row
                adapters.append(row)
                languages += rows.language_rows(row, addition.manifest)
                underneath += _underneath(row["id"], addition)
            elif row["remote"] and not addition.remote:
                self._arrived(row)
            for name in (addition.name, *addition.aliases):
                names[name] = {
                    "name": name,
                    "adapter_id": row["id"],
                    "is_alias": name != row["name"],
                }
        insert_all(self.connection, ADAPTERS, adapters)
        insert_all(self.connection, LANGUAGES, languages)
        insert_all(self.connection, UNDERNEATH, underneath)
        replace_all(self.connection, NAMES, "name", list(names.values()))
        return len(adapters)

    def _known(self, digests: Sequence[str]) -> dict[str, dict[str, Any]]:
        columns = select(ADAPTERS.c.digest, ADAPTERS.c.id, ADAPTERS.c.name, ADAPTERS.c.remote)
        return {
            row.digest: row._asdict()
            for some in _batches(digests, ASK)
            for row in self.connection.execute(columns.where(ADAPTERS.c.digest.in_(some)))
        }

    def _key(self) -> int:
        self.next_key += 1
        return self.next_key - 1

    def _arrived(self, row: dict[str, Any]) -> None:
        row["remote"] = False
        self.connection.execute(
            update(ADAPTERS).where(ADAPTERS.c.id == row["id"]).values(remote=False)
        )

    def base(self, identity: BaseIdentity) -> int:
        """Return the key of a base, which is added where it is new."""
        if identity not in self.bases:
            self.bases[identity] = _base_key(self.connection, identity)
        return self.bases[identity]


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(values)
    while batch := list(islice(remaining, size)):
        yield batch


def _next_key(connection: Connection, table: Table) -> int:
    return int(connection.scalar(select(func.max(table.c.id))) or 0) + 1


def _underneath(key: int, addition: Addition) -> list[dict[str, Any]]:
    manifest = addition.manifest
    found = {under.digest for under in (*manifest.trained_over, *manifest.seen) if under.digest}
    return [{"adapter_id": key, "digest": digest} for digest in sorted(found)]


def _base_key(connection: Connection, identity: BaseIdentity) -> int:
    row = rows.base_row(identity)
    same = [BASES.c[column] == value for column, value in row.items()]
    found = connection.scalar(select(BASES.c.id).where(*same))
    if found is not None:
        return int(found)
    key = _next_key(connection, BASES)
    connection.execute(insert(BASES), {"id": key, "location": None, "registered": False, **row})
    return key


def add_base(
    connection: Connection,
    identity: BaseIdentity,
    location: str | None,
    files: Mapping[str, str] | None,
) -> BaseEntry:
    """Register a base; one that is known gets the new location and digests, if they are given."""
    key = _base_key(connection, identity)
    change: dict[str, Any] = {"registered": True}
    if location is not None:
        change["location"] = location
    if files is not None:
        change["files"] = digests.canonical(dict(files)) if files else None
    connection.execute(update(BASES).where(BASES.c.id == key).values(**change))
    return rows.base_entry(connection.execute(select(BASES).where(BASES.c.id == key)).one())


def point(connection: Connection, name: str, row: Any) -> None:
    """Let a name mean the adapter of `row`, whatever it meant before."""
    connection.execute(delete(NAMES).where(NAMES.c.name == name))
    values = {"name": name, "adapter_id": row.id, "is_alias": name != row.name}
    connection.execute(insert(NAMES), values)


def trained_over(connection: Connection, digest: str) -> list[str]:
    """Return the refs of adapters that were trained over `digest`."""
    query = (
        select(ADAPTERS.c.name, ADAPTERS.c.digest)
        .join(UNDERNEATH, UNDERNEATH.c.adapter_id == ADAPTERS.c.id)
        .where(UNDERNEATH.c.digest == digest)
        .order_by(ADAPTERS.c.name, ADAPTERS.c.digest)
    )
    return [f"{row.name}@{row.digest[:12]}" for row in connection.execute(query)]


def remove(connection: Connection, row: Any, *, force: bool) -> None:
    """Remove an adapter, its names and a base that nothing else names.

    Raises:
        RegistryError: others were trained over it, and `force` is not given.
    """
    over = [] if force else trained_over(connection, row.digest)
    if over:
        shown = ", ".join(f"`{ref}`" for ref in over[:5])
        more = f" and {len(over) - 5} more" if len(over) > 5 else ""
        raise RegistryError(
            f"`{row.name}` is needed by {shown}{more}, trained over it",
            hint=f"remove those first, or {command('ahl', 'remove', '--force', row.name)}",
            needed_by=over,
        )
    base = connection.scalar(select(ADAPTERS.c.base_id).where(ADAPTERS.c.id == row.id))
    connection.execute(delete(ADAPTERS).where(ADAPTERS.c.id == row.id))
    used = select(ADAPTERS.c.id).where(ADAPTERS.c.base_id == base).limit(1)
    if connection.scalar(used) is None:
        connection.execute(delete(BASES).where(BASES.c.id == base, BASES.c.registered.is_(False)))


def replace_remote(connection: Connection, items: Iterable[Addition]) -> int:
    """Replace remote adapters by name, and return how many records changed.

    Aliases go over to the new records, and the moment of adding stays.
    """
    changed = []
    for item in items:
        digest, _ = rows.spell(item.manifest)
        query = _NAMED.where(NAMES.c.name == item.name, ADAPTERS.c.remote)
        old = connection.execute(query).one_or_none()
        if old is None or old.digest == digest:
            continue
        aliases = connection.scalars(
            select(NAMES.c.name).where(NAMES.c.adapter_id == old.id, NAMES.c.name != item.name)
        )
        kept = tuple(sorted({*item.aliases, *aliases}))
        changed.append(replace(item, aliases=kept, remote=True, added=old.added))
        connection.execute(delete(ADAPTERS).where(ADAPTERS.c.id == old.id))
    return Adder(connection).add(changed)


_NAMED = select(ADAPTERS.c.id, ADAPTERS.c.digest, ADAPTERS.c.added).join(
    NAMES, NAMES.c.adapter_id == ADAPTERS.c.id
)


def record_scores(connection: Connection, scores: Iterable[Score]) -> None:
    """Record scores; one with the identity of an earlier one replaces it."""
    latest = {row["identity"]: row for row in map(rows.score_row, scores)}
    for some in _batches(latest, ASK):
        connection.execute(delete(SCORES).where(SCORES.c.identity.in_(some)))
    if latest:
        connection.execute(insert(SCORES), list(latest.values()))


def remove_scores(connection: Connection, scores: Iterable[Score]) -> int:
    """Remove scores by their identity, and return how many there were."""
    identities = [row["identity"] for row in map(rows.score_row, scores)]
    removed = 0
    for some in _batches(identities, ASK):
        removed += connection.execute(delete(SCORES).where(SCORES.c.identity.in_(some))).rowcount
    return removed

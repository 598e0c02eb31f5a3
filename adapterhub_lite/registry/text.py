"""The registry as text, so that two of them can be compared whatever order they were filled in.

One JSON value a line, sorted.  Internal keys and columns that are copied from manifests are left
out: they follow from the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select

from adapterhub_lite import digests
from adapterhub_lite.registry import rows, scores
from adapterhub_lite.registry.tables import ADAPTERS, BASES, NAMES


def dump(connection: Connection) -> str:
    """Return every base, adapter, name and score as sorted lines of JSON."""
    lines = sorted(
        (*_bases(connection), *_adapters(connection), *_names(connection), *_scores(connection))
    )
    return "".join(f"{line}\n" for line in lines)


def _line(record: str, values: dict[str, Any]) -> str:
    return digests.canonical([record, values])


def _bases(connection: Connection) -> Iterator[str]:
    query = select(BASES).where(BASES.c.registered)
    for row in connection.execute(query):
        entry = rows.base_entry(row)
        files = {"files": dict(entry.files)} if entry.files else {}
        yield _line("base", asdict(entry.identity) | {"location": entry.location} | files)


def _adapters(connection: Connection) -> Iterator[str]:
    columns = (ADAPTERS.c.digest, ADAPTERS.c.name, ADAPTERS.c.remote, ADAPTERS.c.added)
    for row in connection.execute(select(*columns, ADAPTERS.c.manifest)):
        values = {
            "digest": row.digest,
            "name": row.name,
            "remote": row.remote,
            "added": row.added.isoformat(),
            "manifest": rows.READER.record(row.manifest, f"record of {row.digest}"),
        }
        yield _line("adapter", values)


def _names(connection: Connection) -> Iterator[str]:
    query = select(NAMES.c.name, NAMES.c.is_alias, ADAPTERS.c.digest).join(
        ADAPTERS, ADAPTERS.c.id == NAMES.c.adapter_id
    )
    for row in connection.execute(query):
        yield _line("name", {"name": row.name, "digest": row.digest, "alias": row.is_alias})


def _scores(connection: Connection) -> Iterator[str]:
    for score in scores.find(connection, {}, None):
        yield _line("score", asdict(score) | {"when": score.when.isoformat()})

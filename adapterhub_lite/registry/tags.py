"""Which languages there are adapters for: by an index, and never more than was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, or_, select

from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.registry.tables import AdapterRow, BaseRow, LanguageRow


def listed(
    connection: Connection, kind: str, base: BaseIdentity | None, limit: int | None
) -> list[str] | None:
    """Return every tag of the adapters of a kind on a base; `None` for more than `limit` adapters."""
    adapters = select(AdapterRow.id).where(AdapterRow.kind == kind, *_on(AdapterRow, base))
    if limit is not None:
        adapters = adapters.limit(limit + 1)
        if len(connection.scalars(adapters).all()) > limit:
            return None
    found = select(LanguageRow.tag).where(LanguageRow.adapter_id.in_(adapters)).distinct()
    return sorted(connection.scalars(found))


def among(
    connection: Connection, kind: str, base: BaseIdentity | None, tags: Sequence[str], language: str
) -> list[str]:
    """Return those of `tags` that there are adapters for, and the variants of `language`."""
    spelt = (LanguageRow.tag >= f"{language}-") & (LanguageRow.tag < f"{language}.")
    found = (
        select(LanguageRow.tag)
        .where(LanguageRow.kind == kind, *_on(LanguageRow, base))
        .where(or_(LanguageRow.tag.in_(tags), spelt))
        .distinct()
    )
    return sorted(connection.scalars(found))


def _on(
    table: type[AdapterRow] | type[LanguageRow], base: BaseIdentity | None
) -> list[ColumnElement[bool]]:
    if base is None:
        return []
    named = BaseRow.name == base.name
    if base.fingerprint:
        same = BaseRow.fingerprint == base.fingerprint
        named = same | (named & (BaseRow.fingerprint == ""))
    return [table.base_id.in_(select(BaseRow.id).where(named))]

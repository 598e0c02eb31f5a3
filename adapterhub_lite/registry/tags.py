"""Which languages there are adapters for: by an index, and never more than was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, CompoundSelect, Connection, Select, bindparam, select, union

from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.registry.search import base_values, same_base
from adapterhub_lite.registry.tables import ADAPTERS, BASES, LANGUAGES

_EVERY = (
    select(LANGUAGES.c.tag)
    .where(LANGUAGES.c.kind == bindparam("kind"))
    .distinct()
    .order_by(LANGUAGES.c.tag)
)


def every(connection: Connection, kind: str) -> list[str]:
    """Return every tag of the adapters of a kind, sorted."""
    return list(connection.scalars(_EVERY, {"kind": kind}))


def few(connection: Connection, kind: str, base: BaseIdentity, limit: int) -> list[str] | None:
    """Return every tag of the adapters of a kind on a base; `None` for over `limit` of them."""
    question = _few(known=bool(base.fingerprint))
    found = connection.execute(
        question, {"kind": kind, "limit": limit + 1, **base_values(base)}
    ).all()
    return None if len({key for key, _ in found}) > limit else sorted({tag for _, tag in found})


def among(
    connection: Connection, kind: str, base: BaseIdentity, tags: Sequence[str], language: str
) -> list[str]:
    """Return those of `tags` that there are adapters for, and the variants of `language`."""
    asked = {"kind": kind, "tags": list(tags), "low": f"{language}-", "high": f"{language}."}
    question = _among(known=bool(base.fingerprint))
    return sorted(connection.scalars(question, {**asked, **base_values(base)}))


@lru_cache(maxsize=2)
def _few(*, known: bool) -> Select[int, str]:
    bases = select(BASES.c.id).where(same_base(known=known))
    adapters = (
        select(ADAPTERS.c.id)
        .where(ADAPTERS.c.kind == bindparam("kind"), ADAPTERS.c.base_id.in_(bases))
        .limit(bindparam("limit"))
        .subquery()
    )
    return select(LANGUAGES.c.adapter_id, LANGUAGES.c.tag).join(
        adapters, LANGUAGES.c.adapter_id == adapters.c.id
    )


@lru_cache(maxsize=2)
def _among(*, known: bool) -> CompoundSelect[Any]:
    bases = select(BASES.c.id).where(same_base(known=known))
    spelt = (LANGUAGES.c.tag >= bindparam("low")) & (LANGUAGES.c.tag < bindparam("high"))
    tags: BindParameter[Any] = bindparam("tags", expanding=True)
    mine = select(LANGUAGES.c.tag).where(
        LANGUAGES.c.kind == bindparam("kind"), LANGUAGES.c.base_id.in_(bases)
    )
    # Two questions, not one with OR: for that SQLite would read each tag's adapters of all bases.
    return union(mine.where(LANGUAGES.c.tag.in_(tags)), mine.where(spelt))

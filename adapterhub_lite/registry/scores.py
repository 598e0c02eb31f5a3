"""Questions about recorded scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select

from adapterhub_lite import digests
from adapterhub_lite.adapter import Score
from adapterhub_lite.composition import Composition
from adapterhub_lite.registry.tables import SCORES

_FIELDS = tuple(Score.__dataclass_fields__)
_ORDER = (
    SCORES.c.task,
    SCORES.c.dataset,
    SCORES.c.split,
    SCORES.c.language,
    SCORES.c.source_language,
    SCORES.c.metric,
    SCORES.c.composition,
    SCORES.c.seed,
)


def find(
    connection: Connection,
    asked: Mapping[str, str | int | None],
    composition: Composition | str | None,
) -> list[Score]:
    """Return the scores that fit every filter, in the order of their identity."""
    given = {key: value for key, value in asked.items() if value is not None}
    if composition is not None:
        given["composition_digest"] = digests.of_bytes(str(composition).encode())
    return [_score(row) for row in connection.execute(_question(frozenset(given)), given)]


@lru_cache(maxsize=64)
def _question(columns: frozenset[str]) -> Select[Any]:
    """Return the query for one set of filters, built once (as in `search.py`)."""
    fits = [SCORES.c[column] == bindparam(column) for column in sorted(columns)]
    return select(SCORES).where(*fits).order_by(*_ORDER)


def count(connection: Connection, task: str, limit: int) -> int:
    """Return how many scores there are for a task, counting no further than `limit`."""
    return int(connection.scalar(_COUNT, {"task": task, "limit": limit}) or 0)


_COUNT = select(func.count()).select_from(
    select(SCORES.c.task)
    .where(SCORES.c.task == bindparam("task"))
    .limit(bindparam("limit"))
    .subquery()
)


def _score(row: Any) -> Score:
    return Score(**{field: getattr(row, field) for field in _FIELDS})

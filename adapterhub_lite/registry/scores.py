"""Questions about recorded scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from adapterhub_lite import digests
from adapterhub_lite.adapter import Score
from adapterhub_lite.composition import Composition
from adapterhub_lite.registry.tables import ScoreRow

_FIELDS = tuple(Score.__dataclass_fields__)
_ORDER = (
    ScoreRow.task,
    ScoreRow.dataset,
    ScoreRow.split,
    ScoreRow.language,
    ScoreRow.source_language,
    ScoreRow.metric,
    ScoreRow.composition,
    ScoreRow.seed,
)


def find(
    connection: Connection, asked: Mapping[str, str | None], composition: Composition | str | None
) -> list[Score]:
    """Return the scores that fit every filter, in the order of their identity."""
    fits = [getattr(ScoreRow, k) == v for k, v in asked.items() if v is not None]
    if composition is not None:
        key = digests.of_bytes(str(composition).encode())
        fits.append(ScoreRow.composition_digest == key)
    query = select(ScoreRow.__table__).where(*fits).order_by(*_ORDER)
    return [_score(row) for row in connection.execute(query)]


def count(connection: Connection, task: str, limit: int) -> int:
    """Return how many scores there are for a task, counting no further than `limit`."""
    some = select(ScoreRow.task).where(ScoreRow.task == task).limit(limit).subquery()
    return int(connection.scalar(select(func.count()).select_from(some)) or 0)


def _score(row: Any) -> Score:
    return Score(**{field: getattr(row, field) for field in _FIELDS})

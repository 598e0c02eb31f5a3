"""Track records in the resolver: how well an adapter did on other targets of the same task.

All scores of the task are read where they are few; else those on the languages around the target.
Task adapters are compared with task adapters, what is under them with what is under others.  Of an
average, no member gets the credit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapterhub_lite import facts
from adapterhub_lite.adapter import Score
from adapterhub_lite.composition import Ref, Stack, parse
from adapterhub_lite.errors import CompositionError
from adapterhub_lite.resolver.candidates import Pool
from adapterhub_lite.resolver.scores import LOWER_IS_BETTER
from adapterhub_lite.track_records import Measurement, track_records

FEW = 2000
"""Scores of a task that are all read."""

AROUND = 16
"""Languages around the target whose scores are read where a task has more."""


def adapter_records(pool: Pool) -> dict[str, float]:
    """Return the records of adapters by digest, in standard deviations above what else there is."""
    if pool.records is None:
        found = (m for score in _scores(pool) for m in _of_adapters(score))
        pool.records = track_records(pool.request.target, found)
    return pool.records


def _scores(pool: Pool) -> Iterable[Score]:
    registry, task = pool.registry, pool.request.task
    count = registry.count_scores(task=task, limit=FEW + 1)
    if count <= FEW:
        return registry.scores(task=task) if count else ()
    around = facts.near_in_tree(pool.request.target, AROUND)[: 4 * AROUND]
    return [score for tag in around for score in registry.scores(task=task, language=tag)]


def _of_adapters(score: Score) -> Iterator[Measurement]:
    try:
        composition = parse(score.composition)
    except CompositionError:
        return
    parts = composition.parts if isinstance(composition, Stack) else (composition,)
    value = -score.value if score.metric in LOWER_IS_BETTER else score.value
    for at, part in enumerate(parts, start=1):
        if isinstance(part, Ref):
            top = at == len(parts)
            data = (score.dataset, score.split, score.metric, top)
            yield Measurement(part.ref, score.language, data, value)

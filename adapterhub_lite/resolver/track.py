"""Track records in the resolver: how well something did on other targets of the same task.

All scores of the task are read where they are few; else those on the languages around the target.
An adapter's record is over the compositions that it stands in: task adapters are compared with task
adapters, what is under them with what is under others, and of an average no member gets the credit.
A source's record is over all that was trained on labels in it, compared within one kind of
composition.  Only the task's main metric counts, on each target's data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from adapterhub_lite import facts
from adapterhub_lite.adapter import Score
from adapterhub_lite.composition import Composition, Ref, Stack, parse
from adapterhub_lite.errors import CompositionError
from adapterhub_lite.resolver.scores import LOWER_IS_BETTER, comparable, main_metric
from adapterhub_lite.track_records import Measurement, track_records

if TYPE_CHECKING:
    from adapterhub_lite.registry import Registry
    from adapterhub_lite.resolver.candidates import Pool

FEW = 2000
"""Scores of a task that are all read."""

AROUND = 16
"""Languages around the target whose scores are read where a task has more."""


def adapter_records(pool: Pool) -> dict[str, float]:
    """Return the records of adapters by digest, in standard deviations above what else there is."""
    if pool.records is None:
        scores = scores_elsewhere(pool.request.task, pool.request.target, pool.registry)
        counted = comparable(scores, main_metric(pool)) if scores else ()
        found = (m for score in counted for m in _of_adapters(score))
        pool.records = track_records(pool.request.target, found)
    return pool.records


def source_records(target: str, scores: Iterable[Score]) -> dict[str, float]:
    """Return the records of languages as sources of labels, by tag."""
    found = (
        Measurement(score.source_language, score.language, _data(score, _shape(score)), _up(score))
        for score in comparable(scores)
        if score.source_language
    )
    return track_records(target, found)


def scores_elsewhere(task: str, target: str, registry: Registry) -> list[Score]:
    """Return a task's scores: all of few, else those on the target's nearest relatives."""
    count = registry.count_scores(task=task, limit=FEW + 1)
    if count <= FEW:
        return registry.scores(task=task) if count else []
    around = facts.near_in_tree(target, AROUND)
    return [score for tag in around for score in registry.scores(task=task, language=tag)]


def _of_adapters(score: Score) -> Iterator[Measurement]:
    composition = _parsed(score)
    parts = composition.parts if isinstance(composition, Stack) else (composition,)
    for at, part in enumerate(parts, start=1):
        if isinstance(part, Ref):
            data = _data(score, at == len(parts))
            yield Measurement(part.ref, score.language, data, _up(score))


def _shape(score: Score) -> str:
    """Return what stands under the labels, roughly: like is compared with like."""
    composition = _parsed(score)
    return f"{type(composition).__name__} {len(getattr(composition, 'parts', ()))}"


def _parsed(score: Score) -> Composition | None:
    try:
        return parse(score.composition)
    except CompositionError:
        return None


def _data(score: Score, group: object) -> tuple[object, ...]:
    return (score.dataset, score.split, score.metric, group)


def _up(score: Score) -> float:
    """Return the value, turned so that more is better."""
    return -score.value if score.metric in LOWER_IS_BETTER else score.value

"""Which language to take labels in, for a target and a task: by relatedness and by record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adapterhub_lite.relatedness import Ranked, rank
from adapterhub_lite.resolver.track import scores_elsewhere, source_records

if TYPE_CHECKING:
    from adapterhub_lite.registry import Registry


def rank_sources(
    target: str, tags: Iterable[str], *, task: str, registry: Registry
) -> list[Ranked]:
    """Return languages with labels for a task, the most promising for a target first.

    Places by relatedness and by record on other targets are added (`relatedness.rank`).
    """
    scores = scores_elsewhere(task, target, registry)
    return rank(target, tags, source_records(target, scores) if scores else None)


def recorded_sources(target: str, *, task: str, registry: Registry) -> set[str]:
    """Return the languages of labels that scores were recorded of, for a task."""
    scores = scores_elsewhere(task, target, registry)
    return {score.source_language for score in scores if score.source_language} - {target}

"""From predictions to scores: the tallies of examples, their sum, and the metrics of that.

A tally is a mapping from what is counted to a number, or a sequence of numbers of one length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from adapterhub_lite.tasks.base import Example, Prediction, TaskType

Tally: TypeAlias = Mapping[Any, float] | Sequence[float]


def tallies_of(
    task_type: TaskType,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    labels: Sequence[str],
) -> list[Tally]:
    """Return the tally of every example."""
    return [
        task_type.tally(example, prediction, labels)
        for example, prediction in zip(examples, predictions, strict=True)
    ]


def add_up(tallies: Sequence[Tally]) -> Tally:
    """Return the sum of tallies, in their own form; an empty mapping where there are none."""
    if tallies and not isinstance(tallies[0], Mapping):
        return [sum(column) for column in zip(*tallies, strict=True)]
    total: Counter[Hashable] = Counter()
    for tally in tallies:
        total.update(tally)
    return dict(total)


def columns(tallies: Sequence[Tally]) -> tuple[Sequence[Hashable] | None, list[list[float]]]:
    """Return tallies as rows of one length, and what each column counts (`None`: a position)."""
    if tallies and not isinstance(tallies[0], Mapping):
        return None, [list(tally) for tally in tallies]
    keys = list(dict.fromkeys(key for tally in tallies for key in tally))
    return keys, [
        [float(tally.get(key, 0)) for key in keys]  # type: ignore[union-attr]  # mappings
        for tally in tallies
    ]


def in_form(keys: Sequence[Hashable] | None, row: Sequence[float]) -> Tally:
    """Return a row of sums as the tally that its columns came from."""
    return row if keys is None else dict(zip(keys, row, strict=True))

"""Scores by label and the confusion matrix: what a single figure hides.

For spans the scores by label are those of whole spans by type, and the confusion is between words'
tags.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from adapterhub_lite.errors import UsageError
from adapterhub_lite.tasks import metrics
from adapterhub_lite.tasks.metrics import Count, LabelScore

if TYPE_CHECKING:
    from adapterhub_lite.tasks.base import Example, Prediction, TaskType


class Average(NamedTuple):
    """Precision, recall and F1 over labels: `micro`, `macro` or `weighted` by support."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was scored of each label, averages over labels, and what was taken for what.

    `confusion` has a count for each pair of a gold and a predicted label that occurred; what did
    not is 0.
    """

    labels: tuple[LabelScore, ...]
    averages: Mapping[str, Average]
    confusion: Counter[tuple[str, str]]

    @property
    def confused(self) -> tuple[str, ...]:
        """The labels of the confusion matrix, by name."""
        return tuple(sorted({label for pair in self.confusion for label in pair}))

    def matrix(self) -> list[list[int]]:
        """Return the confusion matrix: a row for each gold label, a column for each predicted."""
        names = self.confused
        return [[self.confusion[gold, said] for said in names] for gold in names]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "labels": [row._asdict() for row in self.labels],
            "averages": {name: row._asdict() for name, row in self.averages.items()},
            "confusion": {"labels": list(self.confused), "matrix": self.matrix()},
        }


def report(
    task_type: TaskType,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    labels: Sequence[str],
) -> Report:
    """Return the report on predictions for examples; `labels` are the head's.

    Raises:
        UsageError: the task type has no labels.
    """
    check(task_type)
    counts: Counter[tuple[str, Count]] = Counter()
    confusion: Counter[tuple[str, str]] = Counter()
    for example, prediction in zip(examples, predictions, strict=True):
        counts.update(dict(task_type.label_counts(example, prediction, labels)))
        confusion.update(task_type.pairs(example, prediction))
    return Report(tuple(metrics.label_scores(counts)), _averages(counts), confusion)


def check(task_type: TaskType) -> None:
    """Raise `UsageError` if a task type has no labels to report on."""
    if not task_type.labelled:
        raise UsageError(
            f"{task_type.name} has no labels, so no scores by label and no confusion matrix",
            hint="leave out `--report` and `--picture`",
        )


def _averages(counts: Counter[tuple[str, Count]]) -> dict[str, Average]:
    rows = metrics.label_scores(counts)
    support = sum(row.support for row in rows)
    right, predicted, gold = (
        sum(count for (_, kind), count in counts.items() if kind == name)
        for name in ("right", "predicted", "gold")
    )
    ratio = metrics.ratio
    micro = (ratio(right, predicted), ratio(right, gold), metrics.f1(right, predicted, gold))
    return {
        "micro": Average(*micro, support),
        "macro": _average(rows, [1] * len(rows), support),
        "weighted": _average(rows, [row.support for row in rows], support),
    }


def _average(rows: Sequence[LabelScore], weights: Sequence[int], support: int) -> Average:
    def mean(values: Iterable[float]) -> float:
        return metrics.ratio(sum(map(operator.mul, values, weights)), sum(weights))

    precision, recall = mean(row.precision for row in rows), mean(row.recall for row in rows)
    return Average(precision, recall, mean(row.f1 for row in rows), support)

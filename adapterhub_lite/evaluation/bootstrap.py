"""The bootstrap over examples: intervals of a score, and of the difference of two.

Examples are drawn with return.  Everything that is compared is drawn alike: the seeds of one
strategy, and two strategies on the same data (a paired bootstrap), so that a hard example that
lowers both does not blur their difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterhub_lite.errors import TaskTypeError
from adapterhub_lite.tasks.scoring import Tally, columns, in_form

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from adapterhub_lite.tasks.base import TaskType

DRAWS = 1000
"""Times that the examples are drawn again."""

LEVEL = 0.95
"""Share of the draws that an interval holds."""

_AT_ONCE = 50
"""Draws in one matrix: (draws, examples) numbers are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A score less another on the same examples: means, interval, and two-sided p.

    `p` is twice the share of draws in which the difference is on the other side of 0, or 0.
    """

    value: float
    low: float
    high: float
    p: float

    def to_json(self) -> dict[str, float]:
        """Return the difference as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def main_metric(task_type: TaskType, metrics: Mapping[str, float], labels: Sequence[str]) -> str:
    """Return the metric to compare by: the one that the task type names, else its first.

    Raises:
        TaskTypeError: it names one that it does not measure.
    """
    name = task_type.main_metric_for(labels) or next(iter(metrics))
    if name not in metrics:
        raise TaskTypeError(
            f"task type `{task_type.name}` names `{name}` as its main metric, but it measures "
            f"{', '.join(f'`{metric}`' for metric in metrics)}",
            hint="set `main_metric` in its plugin to one of these",
        )
    return name


def interval(
    runs: Sequence[Sequence[Tally]], task_type: TaskType, labels: Sequence[str]
) -> tuple[float, float]:
    """Return the 95 % interval of the mean over runs (seeds) of the main metric."""
    low, high = _interval(means(runs, task_type, labels))
    return low, high


def difference(
    runs: Sequence[Sequence[Tally]],
    others: Sequence[Sequence[Tally]],
    task_type: TaskType,
    labels: Sequence[str],
    other_labels: Sequence[str],
) -> Difference:
    """Return the mean over runs less the mean over others, all on the same examples.

    Args:
        runs: tallies of every example, for each seed.
        others: the same of what is compared with.
        task_type: of both.
        labels: of the heads of `runs`.
        other_labels: of the heads of `others`.
    """
    differences = means(runs, task_type, labels) - means(others, task_type, other_labels)
    value = _mean(runs, task_type, labels) - _mean(others, task_type, other_labels)
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (DRAWS + 1))
    return Difference(value, *_interval(differences), p)


def means(runs: Sequence[Sequence[Tally]], task_type: TaskType, labels: Sequence[str]) -> Tensor:
    """Return the main metric in every draw, the mean over runs: (draws,), float64."""
    import torch

    values = torch.zeros(DRAWS, dtype=torch.float64)
    for tallies in runs:
        keys, rows = columns(tallies)
        counts = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1)
        totals = torch.cat([drawn @ counts for drawn in _drawn(len(rows))]).tolist()
        measured = [task_type.metrics(in_form(keys, total), labels) for total in totals]
        metric = main_metric(task_type, measured[0], labels)
        values += torch.tensor([m[metric] for m in measured], dtype=torch.float64)
    return values / len(runs)


def _mean(runs: Sequence[Sequence[Tally]], task_type: TaskType, labels: Sequence[str]) -> float:
    from statistics import fmean

    from adapterhub_lite.tasks.scoring import add_up

    measured = [task_type.metrics(add_up(tallies), labels) for tallies in runs]
    return fmean(m[main_metric(task_type, m, labels)] for m in measured)


def _drawn(count: int) -> Iterator[Tensor]:
    """Yield how often each example is drawn, (some draws, examples); the same for equal counts."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for _ in range(0, DRAWS, _AT_ONCE):
        drawn = torch.randint(count, (_AT_ONCE, count), generator=generator)
        weights = torch.zeros(_AT_ONCE, count, dtype=torch.float64)
        yield weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))


def _interval(values: Tensor) -> tuple[float, float]:
    import torch

    tail = (1 - LEVEL) / 2
    low, high = values.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high

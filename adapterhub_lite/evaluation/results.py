"""What was measured, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapterhub_lite.adapter import Score
from adapterhub_lite.errors import TaskTypeError

if TYPE_CHECKING:
    from adapterhub_lite.tasks.base import TaskType

DRAWS = 1000
"""Times that the examples are drawn again for the interval."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one composition scored.  `low` to `high`: 95 % of draws of the examples with return."""

    composition: str
    task: str
    dataset: str
    split: str
    language: str
    source_language: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    seed: int
    metrics: Mapping[str, float]
    tallies: tuple[tuple[float, ...], ...] = field(default=(), repr=False, compare=False)
    labels: tuple[str, ...] = field(default=(), repr=False, compare=False)
    task_type: str = field(default="", repr=False, compare=False)

    def scores(self, when: datetime | None = None) -> list[Score]:
        """Return the scores to record, one a metric."""
        return [
            Score(
                composition=self.composition,
                task=self.task,
                dataset=self.dataset,
                split=self.split,
                language=self.language,
                metric=metric,
                value=value,
                n=self.n,
                seed=self.seed,
                when=when or datetime.now(UTC),
                source_language=self.source_language,
            )
            for metric, value in self.metrics.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        names = ("composition", "task", "dataset", "split", "language", "source_language")
        numbers = ("metric", "value", "low", "high", "n", "seed")
        values = {name: getattr(self, name) for name in (*names, *numbers)}
        return {**values, "metrics": dict(self.metrics)}


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
    runs: Sequence[Sequence[tuple[float, ...]]], task_type: TaskType, labels: Sequence[str]
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean over runs, examples drawn with return.

    The same examples are drawn for every run (seed), since it is the same data.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    count = len(runs[0])
    drawn = torch.randint(count, (DRAWS, count), generator=generator)
    weights = torch.zeros(DRAWS, count, dtype=torch.float64)
    weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
    values = torch.zeros(DRAWS, dtype=torch.float64)
    for tallies in runs:
        totals = weights @ torch.tensor(tallies, dtype=torch.float64)
        measured = [task_type.metrics(total, labels) for total in totals.tolist()]
        metric = main_metric(task_type, measured[0], labels)
        scores = [metrics[metric] for metrics in measured]
        values += torch.tensor(scores, dtype=torch.float64) / len(runs)
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high

"""What was measured, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapterhub_lite.adapter import Score
from adapterhub_lite.tasks.suitability import UnknownLabels

if TYPE_CHECKING:
    from adapterhub_lite.evaluation.report import Report
    from adapterhub_lite.tasks.scoring import Tally


@dataclass(frozen=True, slots=True)
class Result:
    """What one composition scored.

    `value` is of `metric`, the task's main one, `low` to `high` its 95 % bootstrap interval over
    the examples; `n` counts what was scored (words, texts).  `report` has the scores by label and
    the confusion matrix, if it was asked for.  `strategy` is how the composition was found,
    if a request or a lock says so.
    `cut` examples are longer than the base reads at once, and were scored without their ends.
    """

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
    tallies: tuple[Tally, ...] = field(default=(), repr=False, compare=False)
    labels: tuple[str, ...] = field(default=(), repr=False, compare=False)
    task_type: str = field(default="", repr=False, compare=False)
    cut: int = 0
    unknown: UnknownLabels = field(default_factory=lambda: UnknownLabels(0), compare=False)
    strategy: str = field(default="", compare=False)
    report: Report | None = field(default=None, repr=False, compare=False)

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
        """Return the result as JSON values, without the report."""
        names = (
            "composition",
            "strategy",
            "task",
            "dataset",
            "split",
            "language",
            "source_language",
        )
        numbers = ("metric", "value", "low", "high", "n", "seed", "cut")
        values = {name: getattr(self, name) for name in (*names, *numbers)}
        values["metrics"] = dict(self.metrics)
        return {**values, "unknown_labels": self.unknown.to_json()}

"""What is measured while a run trains, which weights are the best ones, and when to stop."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterhub_lite.errors import UsageError
from adapterhub_lite.training.settings import Settings

PREFIX = "eval_"
"""How `Trainer` marks what was measured on data that were not trained on."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is measured, and how often.

    Args:
        measure: measures the weights as they are, values by name.
        every: steps between measurements; after the last step there is always one.
        best: name of the value that decides which weights are kept; `None`: the last ones are.
        greater: whether more of it is better.
        patience: measurements in a row, none better than the best, after which training stops.
    """

    measure: Callable[[], Mapping[str, float]]
    every: int
    best: str | None = None
    greater: bool = False
    patience: int | None = None

    def stale(self, history: Sequence[Mapping[str, Any]]) -> int:
        """Return how many measurements came after the best one of a trainer's history."""
        name = f"{PREFIX}{self.best}"
        values = [entry[name] for entry in history if name in entry]
        better = operator.gt if self.greater else operator.lt
        best = 0
        for number, value in enumerate(values):
            if better(value, values[best]):
                best = number
        return max(0, len(values) - 1 - best)

    def is_over(self, history: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the patience is used up."""
        return self.patience is not None and self.stale(history) >= self.patience


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training loop did.

    Args:
        tokens: in the batches of all steps.
        steps: that were taken.
        best_step: whose weights are kept, where the best ones are.
        stopped: whether it stopped before the last step, because nothing got better.
    """

    tokens: int
    steps: int
    best_step: int | None = None
    stopped: bool = False

    def record(self) -> dict[str, Any]:
        """Return what is recorded with a run's settings, where the best weights were kept."""
        if self.best_step is None:
            return {}
        return {"best_step": self.best_step, "stopped_early": self.stopped}

    def words(self, steps: int) -> str | None:
        """Return what to say of it; `None` where the last weights are kept."""
        if self.best_step is None:
            return None
        kept = f"kept the weights of step {self.best_step}"
        if self.stopped:
            return f"{kept}; stopped after step {self.steps} of {steps}: nothing got better"
        return f"{kept} of {self.steps}"


def check_watched(settings: Settings, option: str) -> None:
    """Raise `UsageError` for settings that need measurements in a run that has none.

    Args:
        option: what would make it measure, for the message.
    """
    asked = {
        "--patience": settings.patience is not None,
        "--evaluate-every": settings.evaluate_every is not None,
        "keep_best=true": settings.keep_best is True,
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise UsageError(f"`{name}` needs something to measure on", hint=f"give `{option}`")

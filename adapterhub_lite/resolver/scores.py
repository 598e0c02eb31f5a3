"""Recorded scores: what was measured of the proposed compositions on this task and target.

Two compositions are compared only on the same data: dataset, split and metric.  A composition's
value there is the mean over its seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from adapterhub_lite.adapter import Score
from adapterhub_lite.resolver.proposals import Proposal
from adapterhub_lite.resolver.request import Request

if TYPE_CHECKING:
    from adapterhub_lite.registry import Registry

LOWER_IS_BETTER = frozenset({"loss", "perplexity"})
"""Metrics of which less is better; of all others more is."""

Data: TypeAlias = tuple[str, str, str]
"""Dataset, split and metric."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One composition on one set of data: mean over seeds, seeds, examples."""

    value: float
    seeds: int
    n: int


@dataclass(frozen=True, slots=True)
class Records:
    """What was measured, by composition (whole digests) and data."""

    request: Request
    by_composition: Mapping[str, Mapping[Data, Measured]] = field(default_factory=dict)

    def of(self, proposal: Proposal) -> Mapping[Data, Measured]:
        """Return what was measured of a proposal."""
        return self.by_composition.get(proposal.digests, {})

    def count(self, proposal: Proposal) -> int:
        """Return how many scores there are of a proposal, each seed counted."""
        return sum(measured.seeds for measured in self.of(proposal).values())

    def preferred(self, data: Iterable[Data]) -> list[Data]:
        """Return the data in order of trust: the dataset asked for, most examples, name."""
        size: dict[Data, int] = {}
        for measured in self.by_composition.values():
            for key, value in measured.items():
                size[key] = max(size.get(key, 0), value.n)
        return sorted(data, key=lambda d: (d[0] != self.request.dataset, -size[d], d))

    def better(self, data: Data, proposal: Proposal) -> float:
        """Return the value of a proposal on data, turned so that more is better."""
        value = self.of(proposal)[data].value
        return -value if data[2] in LOWER_IS_BETTER else value


def recorded(request: Request, registry: Registry) -> Records:
    """Return the records for a request's task and target, by one indexed query."""
    groups: dict[str, dict[Data, list[Score]]] = {}
    for score in registry.scores(task=request.task, language=request.target):
        data = (score.dataset, score.split, score.metric)
        groups.setdefault(score.composition, {}).setdefault(data, []).append(score)
    return Records(
        request,
        {
            composition: {data: _measured(scores) for data, scores in by_data.items()}
            for composition, by_data in groups.items()
        },
    )


def _measured(scores: list[Score]) -> Measured:
    from statistics import fmean  # 5 ms, which an answer without scores need not wait for

    values = sorted(score.value for score in scores)
    return Measured(fmean(values), len(values), max(score.n for score in scores))


def words(data: Data, measured: Measured) -> str:
    """Return a measured value as messages show it."""
    dataset, split, metric = data
    seeds = "1 seed" if measured.seeds == 1 else f"{measured.seeds} seeds"
    return f"{metric} {measured.value:.4g} on {dataset} {split} ({seeds}, n={measured.n})"

"""Recorded scores: what was measured of the proposed compositions on this task and target.

Two compositions are compared only on the same data (dataset and split) and by the task's main
metric, which its task type names.  Scores of other metrics are shown and decide nothing.  A
composition's value is the mean over its seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from adapterhub_lite.adapter import HeadSpec, Score
from adapterhub_lite.errors import TaskTypeError
from adapterhub_lite.resolver.proposals import Proposal
from adapterhub_lite.resolver.request import Request

if TYPE_CHECKING:
    from adapterhub_lite.registry import Registry
    from adapterhub_lite.resolver.candidates import Pool
    from adapterhub_lite.tasks.base import TaskType

LOWER_IS_BETTER = frozenset({"loss", "perplexity"})
"""Metrics of which less is better; of all others more is."""

_UNLISTED = "..."

GENERAL_ORDER = (
    "f1", "macro_f1", "micro_f1", "las", "uas", _UNLISTED, "exact_match", "accuracy",
    "perplexity", "loss",
)  # fmt: skip
"""Metrics in the order in which one is taken for a task whose type names none; `...` is any other.

What says least of a system comes last: accuracy where most labels are one label, a loss.
"""


class TaskTypes(Protocol):
    """Where task types are looked up: `Plugins`."""

    def task_type(self, name: str) -> TaskType:
        """Return a task type; raises `TaskTypeError` where there is none of this name."""
        ...


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
    """What was measured, by composition (whole digests) and data, in every metric.

    `metric` is the one that compares; empty where none is named and nothing was recorded.
    """

    request: Request
    by_composition: Mapping[str, Mapping[Data, Measured]] = field(default_factory=dict)
    metric: str = ""

    def of(self, proposal: Proposal) -> Mapping[Data, Measured]:
        """Return what was measured of a proposal in the metric that compares."""
        measured = self.by_composition.get(proposal.digests, {})
        return {data: value for data, value in measured.items() if data[2] == self.metric}

    def in_other_metrics(self, proposal: Proposal) -> Mapping[Data, Measured]:
        """Return what was measured of a proposal in metrics that compare nothing."""
        measured = self.by_composition.get(proposal.digests, {})
        return {data: value for data, value in measured.items() if data[2] != self.metric}

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


def recorded(
    request: Request, registry: Registry, main_metric: Callable[[], str] | None = None
) -> Records:
    """Return the records for a request's task and target, by one indexed query.

    Args:
        main_metric: returns the one that compares, asked only if there are scores, as it loads task
            types; left out, or empty, it is the first of `GENERAL_ORDER` that is recorded.
    """
    scores = registry.scores(task=request.task, language=request.target)
    if not scores:
        return Records(request)
    groups: dict[str, dict[Data, list[Score]]] = {}
    for score in scores:
        data = (score.dataset, score.split, score.metric)
        groups.setdefault(score.composition, {}).setdefault(data, []).append(score)
    return Records(
        request,
        {
            composition: {data: _measured(scores) for data, scores in by_data.items()}
            for composition, by_data in groups.items()
        },
        (main_metric() if main_metric else "") or first_in_general({s.metric for s in scores}),
    )


def first_in_general(metrics: Collection[str]) -> str:
    """Return the metric to compare by where no task type names one; empty where there is none."""
    rank = {metric: number for number, metric in enumerate(GENERAL_ORDER)}
    unlisted = rank[_UNLISTED]
    return min(metrics, key=lambda metric: (rank.get(metric, unlisted), metric), default="")


def comparable(scores: Iterable[Score], main_metric: str = "") -> list[Score]:
    """Return scores of the main metric; where none is named, one metric of each target's data."""
    kept = list(scores)
    if main_metric:
        return [score for score in kept if score.metric == main_metric]
    metrics: dict[tuple[str, str, str], set[str]] = {}
    for score in kept:
        key = (score.language, score.dataset, score.split)
        metrics.setdefault(key, set()).add(score.metric)
    chosen = {key: first_in_general(names) for key, names in metrics.items()}
    return [s for s in kept if s.metric == chosen[s.language, s.dataset, s.split]]


def main_metric(pool: Pool) -> str:
    """Return the main metric of what a pool's task adapters do; empty where nothing names one.

    Where heads differ (a tagger and a text classifier under one name), most of them decide.
    """
    heads = [candidate.adapter.manifest.head for candidate in pool.tasks]
    names = [_named(head, pool.judge.plugins) for head in heads if head is not None]
    counts = Counter(name for name in names if name)
    return min(counts, key=lambda name: (-counts[name], name), default="")


def _named(head: HeadSpec, task_types: TaskTypes) -> str:
    try:
        return task_types.task_type(head.type).main_metric_for(head.labels)
    except TaskTypeError:  # a head of a plugin that is not here
        return ""


def _measured(scores: list[Score]) -> Measured:
    from statistics import fmean  # 5 ms, which an answer without scores need not wait for

    values = sorted(score.value for score in scores)
    return Measured(fmean(values), len(values), max(score.n for score in scores))


def words(data: Data, measured: Measured) -> str:
    """Return a measured value as messages show it."""
    dataset, split, metric = data
    seeds = "1 seed" if measured.seeds == 1 else f"{measured.seeds} seeds"
    return f"{metric} {measured.value:.4g} on {dataset} {split} ({seeds}, n={measured.n})"

"""Track records: how well something did on other targets, as evidence for this one.

What is measured on one target and data set is compared only with what else was measured there: a
result becomes a standing, by how many standard deviations it is above the mean.  Standings on other
targets are averaged, and count the more, the more related their target is to the one asked about:

    record(x) = sum_t w(t) standing(x, t) / sum_t w(t),    w(t) = exp(score(target, t) / 0.4)

Results on the target itself are left out: they are compared directly (`resolver/scores.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from math import exp

from adapterhub_lite.relatedness import Level, relate

SHARPNESS = 0.4
"""How much more a related target's results count: a score higher by this much counts e times."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of `who` (a language, an adapter) on a target's data; more is better."""

    who: str
    target: str
    data: Hashable
    value: float


def track_records(target: str, measurements: Iterable[Measurement]) -> dict[str, float]:
    """Return the records, by who; those never compared with anything have none."""
    groups: dict[tuple[str, Hashable], dict[str, list[float]]] = {}
    for found in measurements:
        if relate(target, found.target).level > Level.MACRO:
            group = groups.setdefault((found.target, found.data), defaultdict(list))
            group[found.who].append(found.value)
    weighted: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (other, _), group in sorted(groups.items(), key=str):
        weight = exp(relate(target, other).score / SHARPNESS)
        for who, standing in _standings(group).items():
            weighted[who].append((weight, standing))
    return {who: _mean(pairs) for who, pairs in sorted(weighted.items())}


def _standings(group: dict[str, list[float]]) -> dict[str, float]:
    from statistics import fmean, pstdev  # an answer without scores need not wait for it

    values = {who: fmean(sorted(found)) for who, found in group.items()}
    if len(values) < 2:
        return {}
    middle, spread = fmean(values.values()), pstdev(values.values())
    return {who: (value - middle) / spread if spread else 0.0 for who, value in values.items()}


def _mean(pairs: list[tuple[float, float]]) -> float:
    return sum(w * v for w, v in pairs) / sum(w for w, _ in pairs)

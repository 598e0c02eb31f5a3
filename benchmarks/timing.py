"""Times of things that take turns in one process, and ratios of them round by round.

A shared machine is slow now and fast then.  So every round times every variant once, in an order
that rotates, and what is reported is the median of the ratios within rounds, never a ratio of
medians.  On the CPU the clock is the process's CPU time, which waiting for a core does not count
in; on a GPU it is wall time up to the end of the device's work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Times = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Variant:
    """Something to time.  `run` may return seconds that it measured itself (a worker does)."""

    run: Callable[[], float | None]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some values, with the 20th and the 80th percentile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of values."""
        ordered = sorted(values)
        last = len(ordered) - 1
        return cls(
            statistics.median(ordered), ordered[round(last * 0.2)], ordered[round(last * 0.8)]
        )


def fix_threads() -> None:
    """Use one CPU thread: two on a contended machine measure the contention."""
    torch.set_num_threads(1)


def device() -> torch.device:
    """Return the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seconds(run: Callable[[], float | None]) -> float:
    """Return how long one call takes: what it says itself, else by the clock."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        start = time.perf_counter()
        own = run()
        torch.cuda.synchronize()
        return own if own is not None else time.perf_counter() - start
    start = time.process_time()
    own = run()
    return own if own is not None else time.process_time() - start


def take_turns(variants: Mapping[str, Variant], rounds: int, *, warm_up: int = 1) -> Times:
    """Return the seconds of every variant in every round."""
    names = list(variants)
    times: Times = {name: [] for name in names}
    for number in range(rounds + warm_up):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            variants[name].prepare()
            found = seconds(variants[name].run)
            if number >= warm_up:
                times[name].append(found)
    return times


def ratio(times: Times, name: str, to: str) -> Spread:
    """Return the spread of `name` over `to`, round by round."""
    return Spread.of([a / b for a, b in zip(times[name], times[to], strict=True)])

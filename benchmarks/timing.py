"""Times of things that take turns in one process, and ratios of them round by round.

A shared machine is slow now and fast then.  So every round times every variant once, in an order
that rotates and turns round, and what is reported is the median of the ratios within rounds, never
a ratio of medians.  On the CPU the clock is the process's CPU time, which waiting for a core does
not count in; on a GPU it is wall time up to the end of the device's work.

Which of the two it is, `device`, `clock`, `peak_kib` and `half` decide, for our side and for that
of a peer, which is another process (`peer.py`).  So this file needs nothing but torch.
"""

from __future__ import annotations

import ctypes
import functools
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

Times = dict[str, list[float]]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of options in malloc.h."""


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


def keep_memory() -> None:
    """Let the C library keep what is freed, where it can be told to (glibc, mallopt(3)).

    Else a forward pass gives its buffers back and takes 20,000 to 35,000 page faults to get them
    again: a tenth of its time, and what made ratios of equal passes differ by 0.04.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, 2**25)  # the most that it takes
        set_option(_TRIM_THRESHOLD, 2**31 - 1)


@functools.cache
def device() -> torch.device:
    """Return the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half() -> AbstractContextManager[object]:
    """Return where a forward pass runs: in bfloat16 on a GPU (float32 weights), else as it is."""
    return torch.autocast("cuda", torch.bfloat16) if device().type == "cuda" else nullcontext()


def clock() -> float:
    """Return the seconds now: CPU time of this process, or wall time once the GPU is done."""
    if device().type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def peak_kib() -> float:
    """Return the most memory this process ever had, in KiB: of the GPU where there is one.

    The kernel's `VmHWM`, for `ru_maxrss` begins with what the parent had (Linux, getrusage(2)).
    """
    if device().type == "cuda":
        return torch.cuda.max_memory_allocated() / 1024
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1])


def seconds(run: Callable[[], float | None]) -> float:
    """Return how long one call takes: what it says itself, else by the clock."""
    start = clock()
    own = run()
    return own if own is not None else clock() - start


def take_turns(variants: Mapping[str, Variant], rounds: int, *, warm_up: int = 1) -> Times:
    """Return the seconds of every variant in every round."""
    names = list(variants)
    times: Times = {name: [] for name in names}
    for number in range(rounds + warm_up):
        turn = number % len(names)
        order = names[turn:] + names[:turn]
        for name in order if number % 2 else reversed(order):
            variants[name].prepare()
            found = seconds(variants[name].run)
            if number >= warm_up:
                times[name].append(found)
    return times


def ratio(times: Times, name: str, to: str) -> Spread:
    """Return the spread of `name` over `to`, round by round."""
    return Spread.of([a / b for a, b in zip(times[name], times[to], strict=True)])


def least(times: Times, name: str, to: str) -> str:
    """Say the least of `name` over the least of `to`: what is left when noise only adds time."""
    return f"{min(times[name]) / min(times[to]):.3f} for the fastest of each"

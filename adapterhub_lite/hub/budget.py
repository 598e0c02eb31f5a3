"""Bounds on what a Hub may answer: how many pages, how many bytes, how long, all together.

The client reads an answer whole before anybody can look at it, and follows `Link: rel="next"` as
long as there is one.  So hooks on its requests and answers count here.  Files are not counted: the
listing says how large they are, and `download.py` holds them to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from huggingface_hub.utils import httpx

from adapterhub_lite.errors import HubError

MOST_ANSWERS = 2_000
"""Answers to the questions of one step: pages of a listing, tries."""

MOST_BYTES = 64 << 20
"""Bytes of all these answers; a listing of 10,000 files has about 3 MB."""

MOST_SECONDS = 300.0
"""Seconds that the Hub may take for all of them, our own waits between tries not counted."""


@dataclass(slots=True)
class Budget:
    """What one step may still take, and where it goes, for messages."""

    endpoint: str
    answers: int
    bytes: int
    seconds: float

    def exceeded(self, found: str) -> HubError:
        """Return the error for an answer without end."""
        return HubError(
            f"{self.endpoint} answers without end: {found}",
            hint="look at HF_ENDPOINT; nothing was written",
            endpoint=self.endpoint,
        )


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def within(endpoint: str) -> Iterator[None]:
    """Count what the Hub answers in this block, in this thread; a block inside another goes on."""
    if _budget.get() is not None:
        yield
        return
    with _set(Budget(endpoint, MOST_ANSWERS, MOST_BYTES, MOST_SECONDS)):
        yield


@contextmanager
def uncounted() -> Iterator[None]:
    """Do not count answers: a file, whose size is known."""
    with _set(None):
        yield


@contextmanager
def _set(budget: Budget | None) -> Iterator[None]:
    token = _budget.set(budget)
    try:
        yield
    finally:
        _budget.reset(token)


def on_request(request: Any) -> None:
    """Count a question, and ask for an answer that is not packed: bytes are bytes then."""
    budget = _budget.get()
    if budget is None or request.method != "GET":
        return
    budget.answers -= 1
    if budget.answers < 0:
        raise budget.exceeded(f"more than {MOST_ANSWERS} pages")
    request.headers["accept-encoding"] = "identity"


def on_answer(response: Any) -> None:
    """Count the bytes and the time of an answer as they come."""
    budget = _budget.get()
    if budget is None or response.request.method == "HEAD":
        return
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        if response.request.method == "GET":
            raise budget.exceeded("it packs what was asked for as it is")
        return
    response.stream = _Counted(response.stream, budget)


class _Counted(httpx.SyncByteStream):
    """An answer's bytes, of which no more come than the budget has."""

    def __init__(self, stream: Any, budget: Budget) -> None:
        self.stream = stream
        self.budget = budget

    def __iter__(self) -> Iterator[bytes]:
        budget, start = self.budget, time.monotonic()
        for block in self.stream:
            budget.bytes -= len(block)
            now = time.monotonic()
            budget.seconds -= now - start
            start = now
            if budget.bytes < 0:
                raise budget.exceeded(f"more than {MOST_BYTES} bytes")
            if budget.seconds < 0:
                raise budget.exceeded(f"longer than {MOST_SECONDS:g} s")
            yield block
            start = time.monotonic()

    def close(self) -> None:
        """Close the answer's own stream."""
        self.stream.close()

"""What belongs to one call: the plan of the forward pass that this thread is in, and `rows` blocks.

Threads share an attachment, so nothing that only one forward pass needs may be kept on it.

- A `rows` block is a context variable: each thread has its own, and so has each asyncio task.
- A forward pass takes its plan once, when it begins at the model or its trunk, and keeps it to its
  end in a `threading.local`.  That, and not a context variable, because hooks read it at every
  site and `torch.compile` can trace and guard it.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from adapterhub_lite.errors import AttachError

if TYPE_CHECKING:
    from torch import nn

    from adapterhub_lite.model.attach import Attachment
    from adapterhub_lite.model.carrier import Hold
    from adapterhub_lite.model.rows import Plan

Names = tuple[str | None, ...]


@dataclass(eq=False, slots=True)
class Rows:
    """One `rows` block.  `names` is empty where one composition is for all rows."""

    attachment: Attachment
    names: Names
    plan: Plan
    outer: Rows | None
    ended: bool = False


_rows: ContextVar[Rows | None] = ContextVar("adapterhub_lite_rows", default=None)


def enter_rows(attachment: Attachment, names: Names, plan: Plan) -> Rows:
    """Begin a `rows` block in this context."""
    rows = Rows(attachment, names, plan, outer=_rows.get())
    _rows.set(rows)
    return rows


def leave_rows(rows: Rows) -> None:
    """End a `rows` block; contexts that were copied inside it see that it has ended."""
    rows.ended = True
    _rows.set(rows.outer)


def rows_of(attachment: Attachment) -> Rows | None:
    """Return the innermost `rows` block of an attachment in this context.

    Raises:
        AttachError: this context was copied in a block that has ended since.
    """
    rows = _rows.get()
    while rows is not None and rows.attachment is not attachment:
        rows = rows.outer
    if rows is not None and rows.ended:
        raise AttachError(
            "the `rows` block in which this task or thread was started has ended",
            hint="begin a `rows` block inside the task",
        )
    return rows


@dataclass(eq=False, slots=True)
class Call:
    """One forward pass from `root` on, and what the thread was doing when it began."""

    root: nn.Module
    hold: Hold
    outer: tuple[Attachment | None, Plan | None]


class _Thread(threading.local):
    """What this thread is computing.

    All is set in `__init__`, which runs once a thread: compiled code guards what is set on the
    object, and takes a default on the class for granted.
    """

    def __init__(self) -> None:
        self.attachment: Attachment | None = None
        """Whose plan the forward pass runs; `None` outside of one."""
        self.plan: Plan | None = None
        self.calls: list[Call] = []
        self.expansion = 0
        """Into how many rows `generate` makes each row of its input; 0 outside of it."""


thread = _Thread()


class OpenRows(threading.local):
    """The `rows` blocks of one attachment that are open in this thread, for compiled code.

    `torch.compile` cannot read context variables.  One block, or blocks in one another, are what
    the context variable says; blocks of several tasks side by side are not told apart.
    """

    def __init__(self) -> None:
        self.clash = False
        self.plan: Plan | None = None
        self._blocks: list[Rows] = []

    def add(self, rows: Rows) -> None:
        """Note a block that begins."""
        self._blocks.append(rows)
        self._settle()

    def discard(self, rows: Rows) -> None:
        """Note that a block ends, wherever that is."""
        if rows in self._blocks:
            self._blocks.remove(rows)
        self._settle()

    def _settle(self) -> None:
        blocks = self._blocks
        self.clash = any(not _inside(inner, outer) for outer, inner in pairwise(blocks))
        self.plan = blocks[-1].plan if blocks else None


def _inside(inner: Rows, outer: Rows) -> bool:
    rows = inner.outer
    while rows is not None and rows is not outer:
        rows = rows.outer
    return rows is not None

"""What is attached to one model, who made it, and which threads are computing with it now.

One record a model, found by its trunk, behind a lock of its own.  Nothing changes on a model while
another thread computes with what is attached there: the change is refused.  Detaching is refused as
well, and made up for when the last of those threads is done, so that the model is always clean
afterwards.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.calls import thread

if TYPE_CHECKING:
    from adapterhub_lite.model.attach import Attachment

_carriers: weakref.WeakKeyDictionary[nn.Module, Carrier] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@dataclass(eq=False, slots=True)
class Hold:
    """A thread that computes with an attachment: a forward pass, or a `rows` block."""

    attachment: Attachment
    block: bool
    thread: threading.Thread
    threads: frozenset[int | None] = frozenset()
    """Of a block: the threads that there were when it began."""

    def by_another(self) -> bool:
        """Whether a thread holds it that is alive and not this one."""
        return self.thread is not threading.current_thread() and self.thread.is_alive()


class Carrier:
    """The attachments on one model, the last on top, and the holds on them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.attachments: list[Attachment] = []
        self._holds: set[Hold] = set()
        self._leaving: list[Attachment] = []

    @property
    def top(self) -> Attachment | None:
        """The attachment that is at work."""
        return self.attachments[-1] if self.attachments else None

    def hold(self, attachment: Attachment, *, block: bool) -> Hold:
        """Note that this thread computes with an attachment, until `release`."""
        hold = Hold(attachment, block, threading.current_thread())
        if block:
            hold.threads = frozenset(other.ident for other in threading.enumerate())
        with self.lock:
            self._holds.add(hold)
        return hold

    def release(self, hold: Hold) -> None:
        """Note that it does so no longer; take off what was waiting for that."""
        with self.lock:
            self._holds.discard(hold)
            if self._leaving and not self._busy():
                self._take_off()

    def check_started(self, attachment: Attachment) -> None:
        """Raise `AttachError` where this thread was started inside another one's `rows` block."""
        ident = threading.get_ident()
        with self.lock:
            holds = [hold for hold in self._holds if hold.block and hold.attachment is attachment]
        if any(hold.by_another() and ident not in hold.threads for hold in holds):
            raise AttachError(
                "this thread was started inside a `rows` block of another thread, and a block "
                "does not reach other threads",
                hint="begin a `rows` block inside the thread, or start it with "
                "`Thread(target=contextvars.copy_context().run, args=(FUNCTION, ...))`",
            )

    def check_free(self, change: str) -> None:
        """Raise `AttachError` where another thread computes with what is attached."""
        forget_interrupted()
        if self._leaving:
            raise AttachError(
                "what was detached from this model is still coming off: a `rows` block is open",
                hint="leave the block, or wait for the thread that is in it",
            )
        if any(hold.by_another() for hold in self._holds):
            raise AttachError(
                f"another thread is computing with this model: {change} now would change its "
                "results",
                hint="attach once and predict from many threads with `rows`; change what is "
                "attached when they are done",
            )

    def check_mine(self, change: str) -> None:
        """Raise `AttachError` where what is attached belongs to another thread."""
        if self.top is not None:
            check_owner(self.top, change)
        self.check_free(change)

    def leave(self, attachment: Attachment) -> bool:
        """Take an attachment off now and return whether that was possible; else it waits."""
        forget_interrupted()
        self._leaving.append(attachment)  # after those above it, which may be waiting too
        if self._busy():
            return False
        self._take_off()
        return True

    def _busy(self) -> bool:
        """Whether what waits has a `rows` block open, or another thread in a forward pass."""
        return any(
            hold.block or hold.by_another()
            for hold in self._holds
            if hold.attachment in self._leaving
        )

    def _take_off(self) -> None:
        while self._leaving:
            self._leaving.pop(0).take_off()


def check_owner(attachment: Attachment, change: str) -> None:
    """Raise `AttachError` where another thread attached it, and is still alive."""
    owner = attachment.owner
    if owner is not threading.current_thread() and owner.is_alive():
        raise AttachError(
            f"{attachment.title} belongs to thread `{owner.name}`, and {change} in another thread "
            "would change what that one computes",
            hint="in this thread `with attachment.rows(NAMES): ...` says what runs, for its own "
            "forward passes only",
        )


def forget_interrupted() -> None:
    """Forget forward passes of this thread that an interrupt (Ctrl-C) ended without a word.

    Called where none can be in progress.
    """
    while thread.calls:
        call = thread.calls.pop()
        thread.attachment, thread.plan = call.outer
        call.hold.attachment.carrier.release(call.hold)


def carrier_of(trunk: nn.Module) -> Carrier:
    """Return the record of a model's trunk."""
    with _lock:
        return _carriers.setdefault(trunk, Carrier())

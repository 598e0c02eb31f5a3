"""Locks between processes, by filelock: `flock` on a file, dropped by the system when one dies.

A file system without `flock` (some network mounts) refuses, and says that `AHL_LOCKS=soft` takes
locks that are files: they exclude as well, and one whose process is gone from this machine is taken
over; one of a process on another machine stays until somebody removes it.
"""

from __future__ import annotations

import errno
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite import disk
from adapterhub_lite.errors import HomeError, UsageError

if TYPE_CHECKING:
    from filelock import BaseFileLock

VARIABLE = "AHL_LOCKS"
"""Environment variable: `system` (the default) or `soft`."""

_SOFT = ".soft"
_GATE = "gate.lock"
_SHARED = "adding-"
_POLL = 0.02
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY}


@contextmanager
def exclusive(
    path: Path, subject: str, *, timeout: float = 30.0, transient: bool = False
) -> Iterator[None]:
    """Hold the lock in the file `path`, whose folder must exist.

    Args:
        path: lock file; it stays, with its last holder, and means nothing by itself.
        subject: what is locked, as messages name it.
        timeout: seconds to wait; 0 asks once.
        transient: remove the lock file at the end.

    Raises:
        HomeError: it is held (by which process, where, since when), or cannot be taken here.
        UsageError: `AHL_LOCKS` is neither `system` nor `soft`.
    """
    lock = _acquire(path, subject, timeout)
    try:
        _sign(lock)
        yield
    finally:
        _release(lock, remove=transient)


@contextmanager
def shared(folder: Path, subject: str, *, timeout: float = 30.0) -> Iterator[None]:
    """Hold a share of the locks in `folder`, together with others who do."""
    with exclusive(folder / _GATE, subject, timeout=timeout):
        lock = _acquire(folder / f"{_SHARED}{uuid.uuid4().hex}.lock", subject, timeout)
    try:
        yield
    finally:
        _release(lock, remove=True)


@contextmanager
def alone(folder: Path, subject: str, *, timeout: float = 30.0) -> Iterator[None]:
    """Hold the locks in `folder` with nobody else; those who come later wait.

    A share that a killed process left is free by itself: the system, or its process number, tells.
    """
    end = time.monotonic() + timeout
    with exclusive(folder / _GATE, subject, timeout=timeout):
        for path in sorted(folder.glob(f"{_SHARED}*.lock*")):
            share = path.with_name(path.name.removesuffix(_SOFT))
            lock = _acquire(share, subject, max(0.0, end - time.monotonic()))
            _release(lock, remove=True)
        yield


def is_lock_of(name: str, lock: str) -> bool:
    """Whether a file `name` is the lock file `lock`, of either kind."""
    return name.removesuffix(_SOFT) == lock


def _acquire(path: Path, subject: str, timeout: float) -> BaseFileLock:
    import filelock

    soft = _is_soft()
    file = path.with_name(path.name + _SOFT) if soft else path
    kind = filelock.SoftFileLock if soft else filelock.FileLock
    mode = 0o600 | (_mode_of(path.parent) & 0o066)  # who may write there may lock there
    lock: BaseFileLock = kind(
        file, timeout=timeout, mode=mode, poll_interval=_POLL, fallback_to_soft=False
    )
    try:
        lock.acquire()
    except filelock.Timeout:
        raise HomeError(
            f"{subject} is in use by {_holder(file)}",
            hint="wait until it has finished, or end it, and try again",
        ) from None
    except OSError as error:
        raise _refused(error, path) from error
    return lock


def _release(lock: BaseFileLock, *, remove: bool) -> None:
    if remove and not lock.lock_file.endswith(_SOFT):
        # Removed while it is held: whoever waits for it notices, and makes a file of its own.
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _refused(error: OSError, path: Path) -> HomeError:
    if error.errno not in _UNSUPPORTED:
        return disk.refused(error, path)
    return HomeError(
        f"the file system of `{path.parent}` has no locks ({error.strerror or error})",
        hint=f"`export {VARIABLE}=soft` in every shell that works there uses lock files instead",
    )


def _is_soft() -> bool:
    kind = os.environ.get(VARIABLE) or "system"
    if kind not in {"system", "soft"}:
        raise UsageError(
            f"`{VARIABLE}={kind}`: there is no such kind of locks",
            hint="`system` (the default) or `soft`",
        )
    return kind == "soft"


def _mode_of(folder: Path) -> int:
    try:
        return folder.stat().st_mode
    except OSError:
        return 0


def _sign(lock: BaseFileLock) -> None:
    """Write who holds a lock into its file; a soft lock's file says so already."""
    if lock.lock_file.endswith(_SOFT):
        return
    text = f"{os.getpid()}\n{socket.gethostname()}\n{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n"
    try:
        Path(lock.lock_file).write_text(text, encoding="utf-8")
    except OSError:  # a full disk: the lock is held all the same, only its holder stays unnamed
        return


def _holder(file: Path) -> str:
    """Return in words who holds a lock, as far as its file tells."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
        since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except (OSError, ValueError):
        return "another process"
    if len(lines) < 3 or not lines[0].isdecimal():
        return "another process"
    return f"process {lines[0]} on {lines[1]} since {since:%Y-%m-%d %H:%M:%S} UTC"

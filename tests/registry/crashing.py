"""Kills a process at every step of `Home.add`, and prints what is left each time.

Run as `python -m tests.registry.crashing steps|bytes TEMPLATE ADAPTER SCRATCH`.  Each attempt works
on a copy of the home TEMPLATE, in a forked child that is killed

- `steps`: before or after its n-th call into the operating system or the database, n = 1, 2, ...
- `bytes`: in the middle of a write, when a file grows past n bytes (the system sends SIGXFSZ).

The parent then reads the home as the next command would.  One JSON object a line.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Adapter
from adapterhub_lite.errors import RefError
from adapterhub_lite.home import Home

_STEPS = frozenset(
    {
        "mkdir", "rename", "open", "fsync", "write", "flush", "close", "flock", "rmdir", "unlink",
        "stat", "connect", "execute", "executemany", "commit",
    }
)  # fmt: skip


def _kill_at_step(number: int) -> None:
    left = number

    def step(_frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        if event in {"c_call", "c_return"} and getattr(argument, "__name__", "") in _STEPS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(step)


def _kill_at_byte(number: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))


def _die_adding(home: Path, adapter: Path, arm: Callable[[], None]) -> int:
    """Return the signal that ended a process that added, 0 if it got through."""
    child = os.fork()
    if child == 0:
        try:
            opened = Home.find(home)
            arm()
            opened.add(adapter, name="new", aliases=("other",))
            opened.registry.close()
        finally:
            sys.setprofile(None)
            os._exit(0 if sys.exc_info()[0] is None else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _known(home: Home, ref: str) -> Adapter | None:
    try:
        return home.registry.get(ref)
    except RefError:
        return None


def _observe(path: Path, adapter: Path) -> dict[str, Any]:
    home = Home.find(path)
    try:
        added, alias = _known(home, "new"), _known(home, "other")
        seen: dict[str, Any] = {
            "added": added is not None,
            "aliased": alias is not None,
            "whole": added is None or (home.folder_of(added) / manifests.WEIGHTS).is_file(),
            "problems": sorted({problem.kind for problem in home.verify()}),
        }
        seen["collected"] = [item.place for item in home.gc()]
        seen["after"] = [str(problem) for problem in home.verify()]
        seen["kept"] = _known(home, "kept") is not None
        home.add(adapter, name="new")
        seen["again"] = [str(problem) for problem in home.verify()]
    finally:
        home.registry.close()
    return seen


def attempts(how: str, template: Path, adapter: Path, scratch: Path) -> Iterator[dict[str, Any]]:
    """Return what was left after each death, until one attempt got through."""
    arm = {"steps": _kill_at_step, "bytes": _kill_at_byte}[how]
    stride = {"steps": 1, "bytes": 4096}[how]
    number, signalled = 0, -1
    while signalled != 0:
        number += stride
        home = scratch / str(number)
        shutil.copytree(template, home)
        signalled = _die_adding(home, adapter, lambda: arm(number))  # noqa: B023  # called at once
        yield {"at": number, "signal": -signalled, **_observe(home, adapter)}
        shutil.rmtree(home)


if __name__ == "__main__":
    for line in attempts(sys.argv[1], *map(Path, sys.argv[2:])):
        print(json.dumps(line), flush=True)

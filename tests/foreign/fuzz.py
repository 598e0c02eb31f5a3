"""Fuzz every reader of foreign data: `python -m tests.foreign.fuzz --inputs 100000 --seed 0`.

Mutated sound data and broken pieces go through each reader in turn, in a process with a bound on
its memory, whose own watchdog ends an input that takes too long.  One line a fault is printed, with
the input; the exit code says whether there were any.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

SECONDS = 5
"""Seconds of the processor that an input may take; twelve times as many by the clock."""

MEMORY = 1 << 30
"""Bytes that readers may take beyond what the process has once everything is loaded."""


class TooLong(BaseException):
    """An input took longer than `SECONDS`; no `except Exception` of a reader may swallow it."""


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise TooLong


def watch() -> None:
    """Let both clocks end an input that takes too long."""
    signal.signal(signal.SIGALRM, _end)
    signal.signal(signal.SIGPROF, _end)


def mutated(data: bytes, choose: random.Random, pieces: list[bytes]) -> bytes:
    """Return data after one to four changes of the sorts that readers meet."""
    for _ in range(choose.randint(1, 4)):
        start = choose.randint(0, len(data))
        end = min(len(data), start + choose.choice([0, 1, 2, 8, 64]))
        kind = choose.randrange(5)
        if kind == 0:
            data = data[:start] + choose.choice(pieces) + data[end:]
        elif kind == 1:
            data = data[:start] + data[end:]
        elif kind == 2 and data:
            at = min(start, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ (1 << choose.randrange(8))]) + data[at + 1 :]
        elif kind == 3:
            data = data[:start] + data[start:end] * choose.choice([2, 3, 500]) + data[end:]
        else:
            data = _other_value(data, choose)
    return data


def _other_value(data: bytes, choose: random.Random) -> bytes:
    """Return a JSON document with another value somewhere in it, else the data cut short."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data[: choose.randint(0, len(data))]
    holders: list[Any] = []
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list) and value:
            holders.append(value)
            waiting += value.values() if isinstance(value, dict) else value
    if holders:
        holder = choose.choice(holders)
        key = choose.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        values: list[Any] = [None, True, -1, 0, 2**63, 10**25, -0.0, "", "\x1b[2J\n", "a/b", [], {}]
        holder[key] = choose.choice([*values, [[]], {"a": 1}, 1.5, "gv", holder[key]])
        if isinstance(holder, dict) and choose.random() < 0.2:
            holder.pop(key)
    try:
        return json.dumps(document, ensure_ascii=choose.random() < 0.5).encode(errors="replace")
    except (ValueError, RecursionError):
        return data


def run(inputs: int, seed: int, *, only: str | None = None) -> list[str]:
    """Return the faults that so many inputs show, shared among all readers."""
    from adapterhub_lite.errors import AhlError
    from tests.foreign.readers import READERS
    from tests.foreign.seeds import PIECES, SEEDS

    choose = random.Random(seed)
    names = [name for name in READERS if only in (None, name)]
    faults: dict[tuple[str, str], str] = {}
    with tempfile.TemporaryDirectory(prefix="ahl-fuzz-") as outer:
        os.environ["XDG_CONFIG_HOME"] = outer + "/folder"
        folder = Path(outer) / "folder"
        for name in names:  # once each before the bound: what they load stays
            _read(READERS[name], SEEDS[name][0], folder, AhlError)
        _bound_memory()
        watch()
        for number in range(inputs):
            name = names[number % len(names)]
            data = mutated(choose.choice(SEEDS[name]), choose, PIECES)
            fault = _read(READERS[name], data, folder, AhlError)
            if fault is not None:
                faults.setdefault((name, fault), f"{name}: {fault} on {data[:300]!a}")
    return list(faults.values())


def _read(reader: Any, data: bytes, folder: Path, expected: type[Exception]) -> str | None:
    """Return what is wrong with how a reader took an input; `None`: nothing."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(12 * SECONDS)
    try:
        reader(data, folder)
    except expected as error:
        text = str(error)
        return "an error that a terminal obeys" if set(text) & set("\x1b\r\x85\u202e") else None
    except TooLong:
        return f"longer than {SECONDS} s"
    except MemoryError:
        return "memory"
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        source = f"{Path(frame.filename).name}:{frame.lineno}"
        return f"{type(error).__name__} in {source}: {error}"[:200]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    return None


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one reader")
    arguments = parser.parse_args()
    faults = run(arguments.inputs, arguments.seed, only=arguments.only)
    for fault in faults:
        print(fault)
    print(f"{arguments.inputs} inputs, {len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())

"""Measure everything, or some of it, and write `benchmarks/results/*.json` and docs/benchmarks.md.

    python -m benchmarks.run [--full] [--adapters PYTHON] [NAME...]

`--adapters` is the interpreter of an environment with `adapters` (and accelerate, for training) in
it, which cannot live beside the transformers that we use. Left out, it is that of `.venv-peer`,
which `make bench` makes; where that could not be made, those columns stay empty.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch, which reads it once

from benchmarks import lines as report
from benchmarks import tables
from benchmarks.compiled import compiled_lines
from benchmarks.forward import run_lines
from benchmarks.memory import memory_lines
from benchmarks.peer import Peer
from benchmarks.predicting import predicting_lines
from benchmarks.registry import registry_lines
from benchmarks.rows import row_lines
from benchmarks.setting import FULL, SMALL, Size
from benchmarks.startup import startup_lines
from benchmarks.task_training import task_lines
from benchmarks.timing import fix_threads
from benchmarks.training import training_lines

Measure = Callable[[Size, str | None], list[report.Line]]


def _with_peer(measure: Callable[[Size, Peer | None], list[report.Line]]) -> Measure:
    def run(size: Size, python: str | None) -> list[report.Line]:
        peer = Peer(python) if python else None
        try:
            return measure(size, peer)
        finally:
            if peer:
                peer.close()

    return run


BENCHMARKS: dict[str, Measure] = {
    "startup": startup_lines,
    "registry": lambda size, _: registry_lines(size),
    "forward": _with_peer(run_lines),
    "rows": _with_peer(row_lines),
    "compiled": lambda size, _: compiled_lines(size),
    "memory": lambda size, _: memory_lines(size),
    "predicting": _with_peer(predicting_lines),
    "training": training_lines,
    "tasks": task_lines,
}


def _interpreter() -> str | None:
    folder = Path(__file__).resolve().parent.parent / ".venv-peer"
    found = folder / "bin" / "python"
    return str(found) if found.exists() and not (folder / "unavailable.txt").exists() else None


def main() -> None:
    """Run what is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the documented size")
    parser.add_argument("--adapters", metavar="PYTHON", default=_interpreter())
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    arguments = parser.parse_args()
    unknown = set(arguments.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}"
        )
    names = arguments.names or list(BENCHMARKS)
    if len(names) > 1:
        _each_by_itself(names)
    else:
        _measure(names[0], FULL if arguments.full else SMALL, arguments.adapters)
    tables.write_docs()


def _each_by_itself(names: list[str]) -> None:
    """Run each in a process of its own: what one leaves in memory costs the next time."""
    options = [word for word in sys.argv[1:] if word not in names]
    for name in names:
        subprocess.run([sys.executable, "-m", "benchmarks.run", *options, name], check=True)


def _measure(name: str, size: Size, adapters: str | None) -> None:
    print(f"{name} ({size.name})", file=sys.stderr)
    fix_threads()
    path = report.write(name, size.name, BENCHMARKS[name](size, adapters))
    print(tables.text(path), flush=True)


if __name__ == "__main__":
    main()

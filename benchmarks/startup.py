"""How long `ahl` takes to start, beside a Python that does nothing.

    python benchmarks/startup.py [--runs 15]

Each command runs in a fresh process; commands take turns, so that a busy machine hurts all alike.
Printed: the median, what it adds to an empty Python start, and the ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AHL = (sys.executable, "-m", "adapterhub_lite")


def commands(home: Path) -> dict[str, tuple[str, ...]]:
    """Return the commands to time, by label."""
    where = ("--home", str(home))
    return {
        "python -c pass": (sys.executable, "-c", "pass"),
        "import adapterhub_lite": (sys.executable, "-c", "import adapterhub_lite"),
        "ahl --help": (*AHL, "--help"),
        "ahl list": (*AHL, *where, "list", "--limit", "10"),
        "ahl resolve": (*AHL, *where, "resolve", "en", "gv", "--task", "pos"),
        "import torch": (sys.executable, "-c", "import torch"),
    }


def seconds(command: tuple[str, ...]) -> float:
    """Return how long one run takes, start to end."""
    start = time.perf_counter()
    subprocess.run(command, check=False, capture_output=True, env={**os.environ, "COLUMNS": "100"})
    return time.perf_counter() - start


def main() -> None:
    """Time all commands and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        home = _home(Path(folder))
        times: dict[str, list[float]] = {label: [] for label in commands(home)}
        for _ in range(runs + 1):
            for label, command in commands(home).items():
                times[label].append(seconds(command))
    floor = statistics.median(times["python -c pass"][1:])
    print(f"{'command':<24}{'median':>9}{'added':>9}{'ratio':>8}")
    for label, values in times.items():
        median = statistics.median(values[1:])
        print(f"{label:<24}{median:>8.3f}s{median - floor:>8.3f}s{median / floor:>8.1f}")


def _home(folder: Path) -> Path:
    """Return a copy of the repository's home, or an empty home where it has none yet."""
    from adapterhub_lite import Home

    registry = ROOT / "registry.db"
    if registry.exists():
        (folder / "registry.db").write_bytes(registry.read_bytes())
    else:
        _ = Home.init(folder).registry
    return folder


if __name__ == "__main__":
    main()

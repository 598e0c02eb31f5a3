"""How long `ahl` takes to start, beside a Python that does nothing, and beside peers' imports.

Each command runs in a fresh process; commands take turns, so that a busy machine hurts all alike.
Counted is the CPU time of the process, which waiting for a core does not lengthen, less that of an
empty Python in the same round.  Python may keep compiled files, as after any installation, and
`ahl` is the script that an installation makes.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.lines import Line
from benchmarks.setting import Size
from benchmarks.timing import Spread

ROOT = Path(__file__).resolve().parent.parent
AHL = (sys.executable, str(Path(sys.executable).with_name("ahl")))
NOTHING = (sys.executable, "-c", "pass")
UNIT = "s of CPU above an empty start"


def startup_lines(size: Size, python: str | None) -> list[Line]:
    """Return a line a command; `python` is the interpreter that has `adapters`."""
    rounds = 15 if size.name == "full" else 5
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(Path(folder), python)
        taken = {name: _added(command, rounds) for name, command in commands.items()}
    peers = {name: taken[f"import {name}"] for name in ("peft", "adapters") if _has(taken, name)}
    return [
        Line("import adapterhub_lite", UNIT, taken["import adapterhub_lite"], peers=peers),
        Line("ahl --help", UNIT, taken["ahl --help"], reach=0.15),
        Line(
            "ahl resolve",
            UNIT,
            taken["ahl resolve"],
            reach=0.35,
            floor=taken["import sqlalchemy"].median,
            note="floor: importing SQLAlchemy",
        ),
        Line(
            "ahl resolve, with the six plugin files of this repository",
            UNIT,
            taken["ahl resolve with plugins"],
            floor=taken["import sqlalchemy"].median,
            note="they are run, and compiled anew every time, since only their text is trusted",
        ),
        Line("import torch, to compare", UNIT, taken["import torch"]),
    ]


def _has(taken: dict[str, Spread], peer: str) -> bool:
    return f"import {peer}" in taken


def _commands(folder: Path, python: str | None) -> dict[str, tuple[str, ...]]:
    plain, plugins = folder / "plain", folder / "plugins"
    for home in (plain, plugins):
        home.mkdir()
        shutil.copy(ROOT / "registry.db", home)
    shutil.copytree(ROOT / "plugins", plugins / "plugins")
    request = ("resolve", "en", "gv", "--task", "pos", "--base", "e5-mmt-6")
    found: dict[str, tuple[str, ...]] = {
        f"import {name}": (sys.executable, "-c", f"import {name}")
        for name in ("adapterhub_lite", "sqlalchemy", "torch", "peft")
    }
    found["ahl --help"] = (*AHL, "--help")
    found["ahl resolve"] = (*AHL, "--home", str(plain), *request)
    found["ahl resolve with plugins"] = (*AHL, "--home", str(plugins), *request)
    if python:
        found["import adapters"] = (python, "-c", "import adapters")
    return found


def _added(command: tuple[str, ...], rounds: int) -> Spread:
    _seconds(command)
    return Spread.of([_seconds(command) - _seconds(NOTHING) for _ in range(rounds)])


def _seconds(command: tuple[str, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "COLUMNS": "100", "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(command, check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

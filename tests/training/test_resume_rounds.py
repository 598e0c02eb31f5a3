"""A run in two rounds, stopped dead in each of them and between them: the same bytes as without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from adapterhub_lite.home import Home
from adapterhub_lite.model.base import load_base
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import TaskSettings, train_task

PLUGIN = Path(__file__).resolve().parents[2] / "plugins" / "sft.py"
DIED = 9
RUN = """
import os, sys
from itertools import count
from pathlib import Path
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import load_base
from adapterhub_lite.training import TaskSettings, rounds, train_task
from adapterhub_lite.training.batches import Numbered

where, data, base, home = sys.argv[1:]
calls, whole, rewind = count(1), Numbered.__getitem__, rounds._rewind
def batch(self, number):
    if next(calls) == {"in round 1": 12, "between": 0, "in round 2": 32}[where]:
        os._exit(9)
    return whole(self, number)
def between(*given):
    if where == "between":
        os._exit(9)
    rewind(*given)
Numbered.__getitem__, rounds._rewind = batch, between
settings = TaskSettings(steps=20, save_every=5, batch_size=4, dropout=True)
train_task("pos", train=data, source="en", settings=settings, method="sft",
           base=load_base(Path(base)), home=Home.find(home), quiet=True)
"""
LEFT = {
    "in round 1": {"round-1": 10},
    "between": {"round-1": 20},
    "in round 2": {"round-1": 20, "round-2": 10},
}
"""The last checkpoints that are left; batches are drawn one ahead of the step."""


def new_home(path: Path) -> Home:
    Home.init(path)
    (path / "plugins").mkdir()
    shutil.copy(PLUGIN, path / "plugins")
    return Home.find(path)


def trained(home: Home, base: Path, data: Path) -> bytes:
    """Train, or go on with it, and return the file of weights."""
    adapter = train_task(
        "pos",
        train=data,
        source="en",
        settings=TaskSettings(steps=20, save_every=5, batch_size=4, dropout=True),
        method="sft",
        base=load_base(base),
        home=home,
        quiet=True,
    )
    return (home.folder_of(adapter) / "weights.safetensors").read_bytes()


def test_resumed_equals_uninterrupted(tmp_path: Path, tagged: Path) -> None:
    base = save_tiny_base(tmp_path / "tiny", "xlm-roberta")
    expected = trained(new_home(tmp_path / "whole"), base, tagged)
    for where, left in LEFT.items():
        home = new_home(tmp_path / where.replace(" ", "-"))
        done = subprocess.run(
            [sys.executable, "-c", RUN, where, str(tagged), str(base), str(home.path)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == DIED, done.stderr
        (run,) = home.path.glob("runs/*")
        found = {
            folder.name: max(int(p.name.rpartition("-")[2]) for p in folder.iterdir())
            for folder in run.glob("round-*")
        }
        assert found == left, where
        assert home.registry.count() == 0
        assert trained(home, base, tagged) == expected, where
        assert not list(run.glob("round-*"))

"""Killed outright, started again: the weights are those of a run that was never interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from adapterhub_lite.adapter import Adapter
from adapterhub_lite.errors import TrainingError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import LanguageSettings, TaskSettings, train_language, train_task

STEPS = 60
SLOWED = """
import sys, time
from pathlib import Path
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import load_base
from adapterhub_lite.training import LanguageSettings, TaskSettings, train_language, train_task
from adapterhub_lite.training.batches import Numbered

whole = Numbered.__getitem__
def slowly(self, number):
    time.sleep(0.03)
    return whole(self, number)
Numbered.__getitem__ = slowly

what, data, base, home = sys.argv[1:]
arguments = dict(base=load_base(Path(base)), home=Home.find(home), steps=60, quiet=True)
if what == "task":
    settings = TaskSettings(save_every=5, batch_size=4, dropout=True)
    train_task("pos", train=data, source="en", settings=settings, method="lora",
               config={"dropout": 0.1}, **arguments)
else:
    settings = LanguageSettings(save_every=5, batch_size=4, block=20)
    train_language("fo", data, settings=settings, **arguments)
"""


def weights(home: Home, adapter: Adapter) -> dict[str, bytes]:
    tensors = load_file(home.folder_of(adapter) / "weights.safetensors")
    return {key: value.numpy().tobytes() for key, value in tensors.items()}


@pytest.mark.parametrize("what", ["task", "language"])
def test_resumed_equals_uninterrupted(
    tmp_path: Path, base: Base, tagged: Path, text: Path, what: str
) -> None:
    folder = save_tiny_base(tmp_path / "tiny", "xlm-roberta")
    data = tagged if what == "task" else text

    def train(home: Home, **more: bool) -> Adapter:
        common = {"base": base, "home": home, "steps": STEPS, "quiet": True, **more}
        if what == "task":
            settings = TaskSettings(save_every=5, batch_size=4, dropout=True)
            return train_task(
                "pos",
                train=data,
                source="en",
                settings=settings,
                method="lora",
                config={"dropout": 0.1},
                **common,  # type: ignore[arg-type]
            )
        other = LanguageSettings(save_every=5, batch_size=4, block=20)
        return train_language("fo", data, settings=other, **common)  # type: ignore[arg-type]

    killed = Home.init(tmp_path / "killed")
    command = [sys.executable, "-c", SLOWED, what, str(data), str(folder), str(killed.path)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        wait_for(lambda: any(killed.path.glob("runs/*/checkpoint-*/trainer_state.json")), process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (run,) = killed.path.glob("runs/*")
    assert killed.registry.count() == 0
    steps = [int(p.name.rpartition("-")[2]) for p in run.glob("checkpoint-*")]
    assert steps
    assert max(steps) < STEPS

    resumed = train(killed)
    whole = Home.init(tmp_path / "whole")
    assert weights(killed, resumed) == weights(whole, train(whole))
    assert not list(run.glob("checkpoint-*"))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if condition():
            return
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    raise AssertionError("no checkpoint in a minute")


def test_a_finished_run_is_not_run_again(
    home: Home, base: Base, text: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = LanguageSettings(steps=2, batch_size=2, block=20)
    first = train_language("fo", text, base=base, home=home, settings=settings, quiet=True)
    with caplog.at_level("INFO"):
        second = train_language("fo", text, base=base, home=home, settings=settings, quiet=True)
    assert second == first
    assert f"`fo` is already trained: {first.ref}" in caplog.messages
    again = train_language(
        "fo", text, base=base, home=home, settings=settings, resume=False, quiet=True
    )
    assert again.digest == first.digest  # same data, same seed, same bytes


def test_another_run_is_refused_the_folder_of_an_unfinished_one(
    home: Home, base: Base, text: Path
) -> None:
    folder = home.path / "runs" / "fo"
    settings = LanguageSettings(steps=2, batch_size=2, block=20)
    train_language("fo", text, base=base, home=home, settings=settings, quiet=True)
    changed = settings.changed(lr=0.5)
    (folder / "finished.json").unlink()
    (folder / "checkpoint-1").mkdir()
    with pytest.raises(TrainingError, match="holds an unfinished run with settings = ") as caught:
        train_language("fo", text, base=base, home=home, settings=changed, quiet=True)
    assert "--no-resume" in (caught.value.hint or "")
    train_language("fo", text, base=base, home=home, settings=changed, resume=False, quiet=True)

"""A new language from scratch, as a user would: train, killed, resumed, resolve, predict.

The text is Django's Ido interface, so that nothing third-party is in the tree.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adapterhub_lite.testing.homes import copy_home
from names import django_strings

ROOT = Path(__file__).resolve().parent.parent
STEPS = 14


def ahl(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "adapterhub_lite", "--home", str(home), *arguments]


def run(home: Path, *arguments: str) -> str:
    done = subprocess.run(ahl(home, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(ROOT, tmp_path_factory.mktemp("new-pair") / "home").path


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [
        line.replace("\n", " ").strip()
        for locale, strings in django_strings()
        if locale == "io"
        for line in strings
    ]
    path = tmp_path_factory.mktemp("text") / "io.txt"
    path.write_text("\n".join(line for line in lines if line) + "\n", encoding="utf-8")
    return path


def test_a_new_language_from_text_to_tags(home: Path, text: Path) -> None:
    train = ahl(
        home, "--json", "train", "language", "io", "--text", str(text), "--base", "e5-mmt-6",
        "--steps", str(STEPS), "--batch-size", "4", "--setting", "block=64",
        "--setting", "save_every=3",
    )  # fmt: skip
    started = subprocess.Popen(train, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = home / "runs" / "io" / "checkpoint-3"
    deadline = time.monotonic() + 300
    while not (checkpoint / "trainer_state.json").exists():
        assert started.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.05)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert json.loads(run(home, "--json", "list", "--lang", "io")) == []

    done = subprocess.run(train, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trained = json.loads(done.stdout)
    shown = json.loads(run(home, "--json", "show", trained["ref"]))
    assert shown["manifest"]["training"]["steps"] == STEPS

    answer = json.loads(run(home, "--json", "resolve", "en", "io", "--task", "pos"))
    assert answer["strategy"] == "mad-x"
    assert trained["ref"] in answer["composition"]

    tagged = run(home, "predict", "en", "io", "--task", "pos", "La pueri lektas libro .")
    assert "libro" in tagged

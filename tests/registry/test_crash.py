"""kill -9 at any point of `add`: there or not there, and nothing that `verify` or `gc` misses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from adapterhub_lite.home import Home
from tests.registry.making import folder

ROOT = Path(__file__).parents[2]
WORDS = {"leftover", "orphan-object"}
"""All that a crash may leave, as `verify` calls it."""


def _attempts(how: str, tmp_path: Path, size: int) -> list[dict[str, Any]]:
    template = Home.init(tmp_path / "template")
    template.add(folder(tmp_path / "kept", "kept"), name="kept")
    template.registry.close()
    new = folder(tmp_path / "new", "new", size=size)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.registry.crashing", how, template.path, new, scratch],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _check(left: dict[str, Any]) -> None:
    assert left["whole"], left
    assert left["aliased"] == left["added"], left
    assert set(left["problems"]) <= WORDS, left
    assert not (left["added"] and "orphan-object" in left["problems"]), left
    assert bool(left["collected"]) == bool(left["problems"]), left
    assert left["after"] == [], left
    assert left["kept"], left
    assert left["again"] == [], left


def test_killed_at_every_step(tmp_path: Path) -> None:
    found = _attempts("steps", tmp_path, size=3000)
    for left in found:
        _check(left)
    assert {left["signal"] for left in found[:-1]} == {signal.SIGKILL}
    assert found[-1]["signal"] == 0
    assert found[-1]["problems"] == []
    assert len(found) > 100
    seen = {word for left in found for word in left["problems"]}
    assert seen == WORDS  # deaths before and after the rename were both met
    assert any(left["added"] for left in found[:-1])  # and after the registry's commit


def test_killed_in_the_middle_of_a_write(tmp_path: Path) -> None:
    found = _attempts("bytes", tmp_path, size=300_000)
    for left in found:
        _check(left)
    assert {left["signal"] for left in found[:-1]} == {signal.SIGXFSZ}
    assert found[-1]["signal"] == 0
    assert len(found) > 50

"""`ahl plugins new`: what it writes passes the kit unedited."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapterhub_lite import Home
from adapterhub_lite.cli import main

RUFF_IGNORED = "ANN,INP,S101,D,ARG002,ERA001,RUF012"
"""Annotations and docstrings are left to the author; the rest of the project's rules hold."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Home.init(tmp_path)
    return tmp_path


def new(home: Path, name: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["--home", str(home), "plugins", "new", name])
    return result.exit_code, result.output


def test_the_new_plugin_passes_the_kit_unedited(home: Path) -> None:
    code, printed = new(home, "scaled_shift")
    assert code == 0, printed
    plugin, test = home / "plugins" / "scaled_shift.py", home / "plugins/tests/test_scaled_shift.py"
    assert printed.splitlines()[:2] == [str(plugin), str(test)]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(test), "-k", "bert and not roberta or worked"],
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


def test_the_new_plugin_is_offered_and_every_step_is_explained(home: Path) -> None:
    new(home, "scaled_shift")
    method = Home.find(home).plugins().method("scaled_shift")
    assert type(method).__name__ == "ScaledShift"
    text = (home / "plugins" / "scaled_shift.py").read_text()
    assert [f"Step {n}:" in text for n in range(1, 7)] == [True] * 6
    assert "METHOD_NAME" not in text
    assert "MethodName" not in text
    shown = CliRunner().invoke(main, ["--home", str(home), "methods", "scaled_shift"]).output
    assert "learn a shift as well" in shown


def test_the_new_files_hold_the_rules_of_style(home: Path) -> None:
    new(home, "scaled_shift")
    root = Path(__file__).resolve().parents[2]
    command = ["ruff", "check", "--no-cache", "--config", str(root / "pyproject.toml")]
    run = subprocess.run(
        [sys.executable, "-m", *command, "--extend-ignore", RUFF_IGNORED, str(home / "plugins")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lora", "method `lora` is already provided by"),
        ("Bit-Fit", "`Bit-Fit` is no name for a plugin"),
        ("class", "`class` is no name for a plugin"),
        ("../up", "is no name for a plugin"),
    ],
)
def test_names_that_cannot_be_are_refused(home: Path, name: str, said: str) -> None:
    code, printed = new(home, name)
    assert code != 0
    assert said in printed
    assert not (home / "plugins").exists()


def test_nothing_is_overwritten(home: Path) -> None:
    new(home, "mine")
    path = home / "plugins" / "mine.py"
    path.write_text("# broken, but mine\n")
    code, printed = new(home, "mine")
    assert code == 1
    assert "there is" in printed
    assert path.read_text() == "# broken, but mine\n"

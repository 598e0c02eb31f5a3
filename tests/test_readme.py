"""The README runs: every block is executed on a copy of the repository's home."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from adapterhub_lite.cli import main
from adapterhub_lite.testing.homes import copy_home

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
CONSOLE = [
    (command.strip(), [line for line in expected.splitlines() if line not in ("", "...")])
    for language, text in BLOCKS
    if language == "console"
    for command, _, expected in (part.partition("\n") for part in text.split("$ ")[1:])
]
SHELL = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(ROOT, tmp_path_factory.mktemp("readme") / "home").path


def run(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"}
    environment.pop("AHL_HOME", None)
    return subprocess.run(
        command, cwd=home, capture_output=True, text=True, check=False, env=environment
    )


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {language for language, _ in BLOCKS} <= {"python", "console", "sh"}
    assert PYTHON
    assert CONSOLE


@pytest.mark.parametrize("code", PYTHON)
def test_python_runs(code: str, home: Path) -> None:
    result = run([sys.executable, "-W", "error", "-c", code], home)
    assert result.returncode == 0, result.stderr
    assert result.stdout


@pytest.mark.parametrize(("command", "expected"), CONSOLE, ids=[c for c, _ in CONSOLE])
def test_commands_run_and_print_what_is_shown(
    command: str, expected: list[str], home: Path
) -> None:
    result = run(["bash", "-c", command], home)
    failed = any(line.startswith("error:") for line in expected)
    assert (result.returncode != 0) == failed, result.stderr
    for line in expected:
        assert line in (result.stdout + result.stderr).splitlines()


@pytest.mark.parametrize("line", SHELL)
def test_the_first_commands_are_there(line: str) -> None:
    """Not executed here: `make test` is what runs this, in the environment that `make` made."""
    program, target = line.partition("#")[0].split()
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    if program == "source":
        folder = next(row.partition(":= ")[2] for row in rules.splitlines() if "VENV :=" in row)
        assert target == f"{folder}/bin/activate"
        return
    assert program == "make"
    assert re.search(rf"^{target}:", rules, re.MULTILINE)


def test_activating_the_environment_puts_ahl_on_the_path(home: Path) -> None:
    activate = Path(sys.prefix) / "bin" / "activate"
    script = f"source {shlex.quote(str(activate))} && command -v ahl && ahl list --kind language"
    environment = {**os.environ, "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"}
    for name in ("AHL_HOME", "VIRTUAL_ENV"):
        environment.pop(name, None)
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=home, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{sys.prefix}/bin/ahl\n")


def test_the_demo_ends_with_how_to_go_on() -> None:
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    demo = rules.partition("\ndemo:")[2].partition("\n\n")[0]
    assert "source $(BIN)/activate" in demo.splitlines()[-1]


def test_the_table_of_commands_is_complete() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(?:ahl )?([a-z]+)", " ".join(row.split("|")[1] for row in rows)))
    assert named - {"language", "bilingual", "task"} == set(main.built_in())


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target

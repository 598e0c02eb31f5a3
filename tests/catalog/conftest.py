"""The repository's home with all it ships, copied, and a way to call `ahl` on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import adapterhub_lite
from adapterhub_lite import Home
from adapterhub_lite.cli import main

ROOT = Path(adapterhub_lite.__file__).resolve().parent.parent
Ahl = Callable[..., Result]


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The registry and plugins that the repository ships, in a home that is named outright."""
    return _copy(tmp_path_factory.mktemp("shipped") / "home")


@pytest.fixture
def own(tmp_path: Path) -> Home:
    """A copy of it that a test may change."""
    return _copy(tmp_path / "home")


def _copy(path: Path) -> Home:
    path.mkdir(parents=True)
    shutil.copy2(ROOT / "registry.db", path / "registry.db")
    plugins = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "plugins", path / "plugins", ignore=plugins)
    return Home.find(path)


@pytest.fixture
def ahl() -> Ahl:
    """Call `ahl` in this process on a home: `ahl(home, "list", "--json")`."""

    def call(home: Home, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(home.path), *arguments])
        assert result.exit_code == code, result.output
        return result

    return call


@pytest.fixture
def ahl_json(ahl: Ahl) -> Callable[..., Any]:
    """Call `ahl ... --json` and return what it printed, which must be one JSON document."""

    def call(home: Home, *arguments: str, code: int = 0) -> Any:
        return json.loads(ahl(home, *arguments, "--json", code=code).stdout)

    return call

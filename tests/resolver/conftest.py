"""Homes for the resolver's tests: made once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adapterhub_lite.home import Home


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resolver") / "home"
    Home.init(folder).registry.close()
    return folder


@pytest.fixture
def blank_home(made_home: Path, tmp_path: Path) -> Path:
    """An empty home of one test's own."""
    return Path(shutil.copytree(made_home, tmp_path / "home"))

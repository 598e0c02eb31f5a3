"""Tiny random bases and a batch, as the kit has them, for what the kit does not ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterhub_lite.plugins import Plugins, load
from adapterhub_lite.testing.kit import Bases, Batch, small_batch, tiny_bases

FOLDER = Path(__file__).resolve().parents[2] / "plugins"


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    """Return the files of the top-level `plugins/`, loaded as a home loads its own."""
    return load(FOLDER, entry_points=False)


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    """Return a function from model type to its tiny base."""
    return tiny_bases(tmp_path_factory.mktemp("bases"))


@pytest.fixture
def batch() -> Batch:
    """Return the kit's batch."""
    return small_batch()

"""Homes, and a real PostgreSQL server for the tests of this room."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapterhub_lite.home import Home
from adapterhub_lite.registry import Registry
from benchmarks import postgres

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    """Run a PostgreSQL server on a socket in a temporary folder, and return that folder."""
    with postgres.server() as place:
        if place is None:
            pytest.fail(
                "PostgreSQL's server is not on this machine: `apt-get install postgresql` (the "
                "package's server is not started; these tests run their own)"
            )
        yield place


@pytest.fixture
def postgres_url(server: Path) -> str:
    """Make an empty database, and return its URL."""
    return postgres.new_database(server, f"test_{os.getpid()}_{next(_NUMBERS)}")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database, of each kind."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    """Open an empty registry."""
    with Registry(url, create=True) as opened:
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Make a home."""
    made = Home.init(tmp_path / "home")
    yield made
    made.registry.close()

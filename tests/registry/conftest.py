"""Homes, and a real PostgreSQL server for the tests of this room."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from adapterhub_lite.home import Home
from adapterhub_lite.registry import Registry

_NUMBERS = itertools.count(1)


def _binary(name: str) -> Path:
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        pytest.fail(
            f"PostgreSQL's `{name}` is not on this machine: `apt-get install postgresql` (the "
            "package's server is not started; these tests run their own)"
        )
    return found[-1]


def _user() -> str | None:
    """Return the user to run the server as: PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Run a PostgreSQL server on a socket in a temporary folder, and return that folder."""
    initdb, postgres = _binary("initdb"), _binary("postgres")
    user = _user()
    place = Path(tempfile.mkdtemp(prefix="ahl-pg-"))
    try:
        if user:
            shutil.chown(place, user)
        data = str(place / "data")
        subprocess.run(
            [initdb, "-D", data, "-U", "ahl", "--auth=trust", "-E", "UTF8", "--locale=C", "-N"],
            user=user, cwd=place, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with (place / "log").open("wb") as log:
            running = subprocess.Popen(
                [postgres, "-D", data, "-k", str(place), "-h", "", "-F"],
                user=user, cwd=place, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            _wait(place, running)
            yield str(place)
        finally:
            running.send_signal(signal.SIGQUIT)  # its data is thrown away
            running.wait(timeout=30)
    finally:
        shutil.rmtree(place)


def _wait(place: Path, running: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            psycopg.connect(f"host={place} user=ahl dbname=postgres").close()
        except psycopg.OperationalError:
            assert running.poll() is None, (place / "log").read_text()
            time.sleep(0.1)
        else:
            return
    pytest.fail("the PostgreSQL server did not start: " + (place / "log").read_text())


@pytest.fixture
def postgres_url(server: str) -> str:
    """Make an empty database, and return its URL."""
    name = f"test_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(f"host={server} user=ahl dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql+psycopg://ahl@/{name}?host={server}"


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

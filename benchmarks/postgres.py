"""A PostgreSQL server for as long as it is needed, on a socket in a temporary folder.

The tests of the registry run it too.  Where a machine has none, they fail, and the benchmark leaves
its lines out.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


@contextmanager
def server() -> Iterator[Path | None]:
    """Yield the folder of a running server's socket; `None` where there is no server to run."""
    initdb, postgres = _binary("initdb"), _binary("postgres")
    if initdb is None or postgres is None:
        yield None
        return
    place = Path(tempfile.mkdtemp(prefix="ahl-pg-"))
    user = _user()
    if user:
        shutil.chown(place, user)
    data = str(place / "data")
    made = (initdb, "-D", data, "-U", "ahl", "--auth=trust", "-E", "UTF8", "--locale=C", "-N")
    subprocess.run(made, user=user, cwd=place, check=True, stdout=subprocess.DEVNULL)
    with (place / "log").open("wb") as log:
        started = (postgres, "-D", data, "-k", str(place), "-h", "", "-F")
        running = subprocess.Popen(started, user=user, cwd=place, stdout=log, stderr=log)
    try:
        _wait(place, running)
        yield place
    finally:
        running.send_signal(signal.SIGQUIT)  # its data is thrown away
        running.wait(timeout=30)
        shutil.rmtree(place)


def new_database(place: Path, name: str) -> str:
    """Make an empty database, and return its URL."""
    with psycopg.connect(f"host={place} user=ahl dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql+psycopg://ahl@/{name}?host={place}"


def _binary(name: str) -> Path | None:
    on_path = shutil.which(name)
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return Path(on_path) if on_path else places[-1] if places else None


def _user() -> str | None:
    """Return the user to run the server as: PostgreSQL refuses to be run by root."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return None if os.geteuid() else "postgres" if "postgres" in known else "nobody"


def _wait(place: Path, running: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            psycopg.connect(f"host={place} user=ahl dbname=postgres").close()
        except psycopg.OperationalError:
            if running.poll() is not None:
                break
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {(place / 'log').read_text()}")

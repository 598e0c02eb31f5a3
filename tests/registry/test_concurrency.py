"""Several processes on one home at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapterhub_lite.errors import HomeError
from adapterhub_lite.home import Home
from adapterhub_lite.registry import Registry
from adapterhub_lite.registry.garbage import Garbage
from adapterhub_lite.registry.local import LocalStore
from tests.registry.making import folder, manifest

ROOT = Path(__file__).parents[2]
ADD = """
import sys
from adapterhub_lite.home import Home
home, *folders = sys.argv[1:]
opened = Home.find(home)
sys.stdin.readline()
for folder in folders:
    name = folder.rsplit("/", 1)[1]
    opened.add(folder, name=name, aliases=("last",))
opened.registry.close()
"""
MIGRATE = """
import sys
from pathlib import Path
from adapterhub_lite.registry import Registry
target = sys.argv[1]
sys.stdin.readline()
with Registry(target if ":" in target else Path(target), create=True) as opened:
    print(opened.count())
"""


def _at_once(script: str, arguments: Sequence[Sequence[object]]) -> list[str]:
    """Run a script in several processes that all start working at the same moment."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, *map(str, given)],
            cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for given in arguments
    ]  # fmt: skip
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=120) for process in running]
    for process, (_, errors) in zip(running, ended, strict=True):
        assert process.returncode == 0, errors
    return [output for output, _ in ended]


def test_processes_that_add_at_once_all_succeed(home: Home, tmp_path: Path) -> None:
    parts = [
        [folder(tmp_path / f"n{process}-{number}", f"{process}-{number}") for number in range(8)]
        for process in range(3)
    ]
    _at_once(ADD, [[home.path, *part] for part in parts])
    assert home.registry.count() == 24
    assert home.registry.names() == sorted([f.name for part in parts for f in part] + ["last"])
    assert home.verify() == []
    assert home.gc() == []


def test_the_same_adapter_added_twice_at_once_is_one(home: Home, tmp_path: Path) -> None:
    same = [folder(tmp_path / f"same-{number}", str(number)) for number in range(6)]
    _at_once(ADD, [[home.path, *same]] * 3)
    assert home.registry.count() == 6
    assert home.verify() == []


def test_processes_that_add_to_postgres_at_once(postgres_url: str, tmp_path: Path) -> None:
    team = Home.init(tmp_path / "team", database=postgres_url)
    same = [folder(tmp_path / f"same-{number}", str(number)) for number in range(6)]
    _at_once(ADD, [[team.path, *same], [team.path, *same[::-1]]])
    assert team.registry.count() == 6
    assert team.verify() == []
    team.registry.close()


def test_a_new_database_is_migrated_once(url: str, tmp_path: Path) -> None:
    target = url if url.startswith("postgres") else str(tmp_path / "registry.db")
    assert _at_once(MIGRATE, [[target]] * 4) == ["0\n"] * 4


def test_gc_waits_for_whoever_adds(home: Home, tmp_path: Path) -> None:
    """Between rename and the registry's commit an object has no record; `gc` must not see it."""
    stored = folder(tmp_path / "x", "x")
    removed: list[Garbage] = []
    cleaner = threading.Thread(target=lambda: removed.extend(Home.find(home.path).gc()))
    with home.store.adding():
        home.store.put(stored, manifest("x"))
        cleaner.start()
        cleaner.join(0.3)
        assert cleaner.is_alive()
        home.registry.add(manifest("x"), name="x")
    cleaner.join(20)
    assert not cleaner.is_alive()
    assert removed == []
    assert home.verify() == []


def test_a_store_in_use_for_too_long_is_an_error(tmp_path: Path) -> None:
    store, other = (LocalStore(tmp_path, timeout=0.1) for _ in range(2))
    with (
        store.adding(),
        pytest.raises(HomeError, match="in use by another process") as error,
        other.cleaning(),
    ):
        pass
    assert "try again" in str(error.value.hint)


def test_readers_do_not_wait_for_a_writer(registry: Registry, url: str) -> None:
    registry.add(manifest(), name="x")
    with Registry(url, timeout=0.2) as other, registry.database.write():
        assert other.get("x").name == "x"

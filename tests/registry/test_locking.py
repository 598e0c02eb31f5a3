"""Locks on file systems that have none, soft locks, and who holds what."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapterhub_lite import disk, locking
from adapterhub_lite.errors import AhlError, HomeError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.hub import seen
from adapterhub_lite.registry.local import LocalStore
from tests.registry.making import folder

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from adapterhub_lite import locking
with getattr(locking, sys.argv[2])(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def _without(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY])
def test_a_file_system_without_locks_is_named_with_a_way_out(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    made = folder(tmp_path / "x", "x")
    home.add(made, name="x")
    _without(monkeypatch, code)
    remembered = seen.Seen("https://hub", "a/b", "0" * 40, "main", ())
    calls = (
        lambda: home.add(folder(tmp_path / "y", "y"), name="y"),
        home.verify,
        home.gc,
        lambda: Home.lost(home.path).rebuild(),
        lambda: seen.remember(home.path, remembered),
    )
    for call in calls:
        with pytest.raises(HomeError, match="has no locks") as error:
            call()
        assert "AHL_LOCKS=soft" in str(error.value.hint)
    monkeypatch.setenv("AHL_LOCKS", "soft")
    for call in calls:
        call()
    assert home.verify() == []
    assert home.registry.names() == ["x", "y"]
    assert not list(home.path.rglob("*.soft"))


def test_another_kind_of_locks_does_not_exist(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.path / "objects").mkdir()
    monkeypatch.setenv("AHL_LOCKS", "none")
    with pytest.raises(UsageError, match="`AHL_LOCKS=none`") as error:
        home.gc()
    assert "`soft`" in str(error.value.hint)


def test_this_package_needs_no_fcntl() -> None:
    script = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import adapterhub_lite, adapterhub_lite.registry.local, adapterhub_lite.hub.seen\n"
        "import adapterhub_lite.hub.download, adapterhub_lite.training.runs"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


@pytest.mark.parametrize("kind", ["system", "soft"])
@pytest.mark.parametrize("held", ["shared", "alone"])
def test_a_store_is_held_until_its_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, held: str
) -> None:
    monkeypatch.setenv("AHL_LOCKS", kind)
    store = LocalStore(tmp_path / "store", timeout=0.2)
    with store.adding(), store.adding():  # shares do not exclude each other
        pass
    command = [sys.executable, "-c", HOLD, str(store.path / ".locks"), held]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HomeError, match="is in use by"), store.cleaning():
            pass
        if held == "alone":
            words = f"in use by process {holder.pid} on"
            with pytest.raises(HomeError, match=words), store.adding():
                pass
        holder.kill()
        holder.wait()
    with LocalStore(store.path).cleaning():
        assert not list((store.path / ".locks").glob("adding-*"))


def test_who_comes_later_does_not_get_in_before_gc(tmp_path: Path) -> None:
    """Under constant adds there is always somebody who adds; `gc` must get its turn."""
    store = LocalStore(tmp_path / "store", timeout=0.3)
    with store.adding():
        with pytest.raises(HomeError), store.cleaning():
            pass
        with store.adding():
            pass


def test_files_and_folders_are_there_whole_or_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    disk.write_whole(path, "one")
    with pytest.raises(UnicodeEncodeError):
        disk.write_whole(path, "\udcff")
    assert path.read_text() == "one"
    with pytest.raises(FileNotFoundError), disk.whole_folder(tmp_path / "out") as part:
        (part / "nowhere" / "half").write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    with disk.whole_folder(tmp_path / "a" / "out") as part:
        (part / "inner").mkdir()
        (part / "inner" / "whole").write_text("x")
        assert not (tmp_path / "a" / "out").exists()
    assert (tmp_path / "a" / "out" / "inner" / "whole").read_text() == "x"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["out"]
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for place in (tmp_path / "a" / "out", path, tmp_path / "link"):
        with pytest.raises(AhlError, match="is not an empty folder"), disk.whole_folder(place):
            pass


def test_only_what_a_dead_process_marked_is_swept(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = os.uname().nodename
    parts = {
        "dead": f'{{"pid": {gone.pid}, "host": "{host}"}}',
        "alive": f'{{"pid": {os.getpid()}, "host": "{host}"}}',
        "elsewhere": f'{{"pid": {gone.pid}, "host": "another machine"}}',
        "torn": "{",
        "unmarked": None,
    }
    for name, mark in parts.items():
        part = tmp_path / f".out.{name}.ahl-part"
        part.mkdir()
        if mark is not None:
            (part / "mark.json").write_text(mark)
    with disk.whole_folder(tmp_path / "out"):
        pass
    left = {p.name.split(".")[2] for p in tmp_path.glob(".out.*")}
    assert left == set(parts) - {"dead"}
    assert locking.is_lock_of("run.lock.soft", "run.lock")

"""What a disk, a server or somebody else's version does to a home ends in one clear error."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapterhub_lite.errors import AhlError, HomeError, RegistryError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.registry import Registry
from tests.registry.making import fill, folder, manifest

ROOT = Path(__file__).parents[2]


def _run(*words: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.registry.failing", *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A home with one adapter that nobody but root can write, in a folder that all can reach."""
    place = Path(tempfile.mkdtemp(prefix="ahl-ro-"))
    made = Home.init(place / "home")
    made.add(folder(place / "one", "one"), name="one")
    made.registry.close()
    folder(place / "new", "new")
    for path in place.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    place.chmod(0o555)
    yield place
    for path in (place, *place.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(place)


def test_a_read_only_home_can_be_read(read_only: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in read_only.rglob("*")}
    code, output = _run(read_only / "home", "read")
    assert (code, "['one']" in output) == (0, True), output
    assert _run(read_only / "home", "verify") == (0, "[]\n")
    assert {path: path.stat().st_mtime_ns for path in read_only.rglob("*")} == before


@pytest.mark.parametrize("call", ["add", "alias", "init"])
def test_a_read_only_home_cannot_be_changed(read_only: Path, call: str) -> None:
    words = {"add": ("add", read_only / "new"), "alias": ("alias", "x", "one"), "init": ("init",)}
    given: tuple[object, ...] = words[call]
    code, output = _run(read_only / "home", *given)
    assert code == 1
    assert output.startswith("HomeError: ")
    assert "read-only" in output
    assert str(read_only / "home") in output
    assert "hint: " in output


def test_a_read_only_object_store_keeps_the_registry_as_it_was(read_only: Path) -> None:
    home = read_only / "home"
    home.chmod(0o777)
    (home / "registry.db").chmod(0o666)
    code, output = _run(home, "add", read_only / "new")
    assert code == 1
    assert output.startswith(f"HomeError: cannot write `{home / 'objects'}`: it is read-only")
    assert Home.find(home).registry.names() == ["one"]


def test_a_full_disk_while_weights_are_stored(home: Home, tmp_path: Path) -> None:
    big = folder(tmp_path / "big", "big", size=400_000)
    home.registry.close()
    code, output = _run("--limit", 200_000, home.path, "add", big)
    assert code == 1
    assert output.startswith(f"HomeError: no space left to write `{home.path / 'objects'}`")
    assert "hint: free some space" in output
    after = Home.find(home.path)
    assert after.registry.count() == 0
    assert after.verify() == []
    after.registry.close()


def test_a_full_disk_while_the_registry_is_written(home: Home) -> None:
    home.registry.close()
    code, output = _run("--limit", 150_000, home.path, "fill", 500)
    assert code == 1
    assert output.startswith("HomeError: ")
    assert "registry.db" in output
    assert "hint: free some space" in output
    after = Home.find(home.path)
    names = after.registry.names()
    assert 0 < len(names) == after.registry.count() < 500
    assert [kind for kind in {p.kind for p in after.verify()} if kind != "missing-object"] == []
    after.registry.close()


def _registry(path: Path) -> None:
    with Registry(path, create=True) as made:
        fill(made)


def _newer(path: Path) -> None:
    _registry(path)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0099'")
    raw.close()


def _no_database(path: Path) -> None:
    path.write_text("this is not a database, but long enough to look at " * 10)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE adapters (id INTEGER)")
    raw.close()


def _overwritten(path: Path) -> None:
    _registry(path)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def _cut(path: Path) -> None:
    _registry(path)
    path.write_bytes(path.read_bytes()[:10_000])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_newer, "has format 0099, this version reads up to"),
        (_no_database, "is damaged"),
        (_foreign, "is another program's database (tables `adapters`)"),
        (_overwritten, "is damaged"),
        (_cut, "is damaged"),
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "cannot open"),
    ],
)
def test_a_database_that_cannot_be_used(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / "registry.db"
    spoil(path)
    with pytest.raises(RegistryError) as error:
        Registry(path).get("sw-wiki")
    assert words in str(error.value)
    assert str(path) in str(error.value)
    assert error.value.hint


def test_a_newer_format_on_postgres(postgres_url: str) -> None:
    with Registry(postgres_url, create=True) as made, made.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(RegistryError, match="has format 0099, this version reads up to"):
        Registry(postgres_url)


def test_a_registry_that_is_locked_for_too_long(registry: Registry, url: str) -> None:
    with (
        Registry(url, timeout=0.2) as other,
        registry.database.write(),
        pytest.raises(RegistryError, match="is locked") as error,
    ):
        other.add(manifest(), name="x")
    assert "wait for it" in str(error.value.hint)
    assert registry.count() == 0


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://ahl:hush-hush@127.0.0.1:1/ahl",
        "postgresql://ahl:hush-hush@/ahl?host=/nowhere",
    ],
)
def test_a_server_that_is_not_there(url: str) -> None:
    with pytest.raises(RegistryError, match="cannot reach the database") as error:
        Registry(url, timeout=2)
    assert "hush-hush" not in str(error.value)
    assert "is the server running" in str(error.value)


def test_a_database_of_that_server_that_is_not_there(server: str) -> None:
    with pytest.raises(RegistryError, match=r'"nothing" does not exist'):
        Registry(f"postgresql://ahl@/nothing?host={server}")


@pytest.mark.parametrize("allowed", ["SELECT", "SELECT, INSERT"], ids=["read", "insert bases"])
def test_no_right_in_that_database(postgres_url: str, allowed: str) -> None:
    with Registry(postgres_url, create=True) as made, made.database.write() as connection:
        guest = f"guest_of_{made.database.url.database}"  # roles belong to the whole server
        connection.exec_driver_sql(f"CREATE ROLE {guest} LOGIN")
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {guest}")
        connection.exec_driver_sql(f"GRANT {allowed} ON bases TO {guest}")
    with Registry(postgres_url.replace("ahl@", f"{guest}@")) as opened:
        assert opened.count() == 0
        with pytest.raises(RegistryError, match="no right to do this") as error:
            opened.add(manifest(), name="x")
    assert "GRANT" in str(error.value.hint)


@pytest.mark.parametrize(
    "url", ["mysql://host/x", "no url at all", "sqlite://", "sqlite:///:memory:", "://"]
)
def test_urls_that_cannot_be(url: str) -> None:
    with pytest.raises(UsageError) as error:
        Registry(url)
    assert error.value.hint


def test_a_server_that_goes_away_and_comes_back(registry: Registry, url: str) -> None:
    """A connection that died in between is replaced, without the caller knowing."""
    registry.add(manifest(), name="x")
    if url.startswith("postgres"):
        with Registry(url) as other, other.database.read() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    assert registry.get("x").name == "x"


def test_every_error_is_one_of_ours(home: Home, tmp_path: Path) -> None:
    for spoiled in (
        "",
        "{",
        "[]",
        '{"format": 2}',
        '{"format": 1, "kind": "x"}',
        '{"format": NaN}',
    ):
        place = folder(tmp_path / "spoiled")
        (place / "adapter.json").write_text(spoiled)
        with pytest.raises(AhlError) as error:
            home.add(place, name="x")
        assert str(place) in str(error.value)
    with pytest.raises(HomeError, match="no home at"):
        Home.find(tmp_path / "nowhere")

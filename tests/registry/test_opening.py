"""Only `init` makes a registry; whatever else is in the way is named, and keeps every byte."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapterhub_lite.cli import main
from adapterhub_lite.errors import RegistryError
from adapterhub_lite.home import Home
from adapterhub_lite.registry import Registry
from tests.registry.making import fill, folder, manifest


def content(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(place.iterdir()) if path.is_file()}


def _sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as raw:
        for statement in statements:
            raw.execute(statement)
        raw.commit()


def _ours(path: Path, *statements: str) -> None:
    with Registry(path, create=True) as made:
        fill(made)
    _sql(path, *statements)


def _of_a_browser(path: Path) -> None:
    _sql(path, "CREATE TABLE moz_places (id INTEGER)", "INSERT INTO moz_places VALUES (1)")


def _of_a_program_with_alembic(path: Path) -> None:
    """Another program's migrations have the same table, and may have the same number."""
    _sql(
        path,
        "CREATE TABLE alembic_version (version_num TEXT)",
        "INSERT INTO alembic_version VALUES ('0001')",
        "CREATE TABLE users (id INTEGER)",
    )


def _with_tables_of_our_names(path: Path) -> None:
    _sql(path, "CREATE TABLE adapters (id INTEGER)", "CREATE TABLE scores (id INTEGER)")


def _marked_by_another_program(path: Path) -> None:
    _sql(path, "PRAGMA application_id=1252006990", "CREATE TABLE tiles (id INTEGER)")  # MBTiles


def _marked_and_empty(path: Path) -> None:
    _sql(path, "PRAGMA application_id=1252006990")


def _in_the_middle_of_a_change(path: Path) -> None:
    """A stranger's database that was copied while it was in use: opening would roll it back."""
    _of_a_browser(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("INSERT INTO moz_places VALUES (2)")
        copies = {end: Path(f"{path}{end}").read_bytes() for end in ("", "-wal")}
    for end, data in copies.items():
        Path(f"{path}{end}").write_bytes(data)
    assert copies["-wal"]


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.touch(), "is an empty file, not a registry"),
    "text": (lambda path: path.write_text("# notes\n" * 50), "it is not an SQLite database"),
    "short": (lambda path: path.write_bytes(b"SQLite format 3\0"), "it is not an SQLite database"),
    "no tables": (lambda path: _sql(path, "VACUUM"), "is a database without tables"),
    "browser": (_of_a_browser, "is another program's database (tables `moz_places`)"),
    "alembic": (_of_a_program_with_alembic, "is another program's database"),
    "our names": (_with_tables_of_our_names, "is another program's database"),
    "marked": (_marked_by_another_program, "is another program's database (tables `tiles`)"),
    "in use": (_in_the_middle_of_a_change, "is another program's database"),
    "format row": (lambda path: _ours(path, "DELETE FROM alembic_version"), "number is gone"),
    "format rows": (
        lambda path: _ours(path, "INSERT INTO alembic_version VALUES ('0000')"),
        "its format number is `0",
    ),
    "format text": (
        lambda path: _ours(path, "UPDATE alembic_version SET version_num = 'ae1027a6acf'"),
        "its format number is `ae1027a6acf`",
    ),
    "format table": (
        lambda path: _ours(path, "DROP TABLE alembic_version"),
        "its table `alembic_version` is gone",
    ),
    "scores table": (lambda path: _ours(path, "DROP TABLE scores"), "its table `scores` is gone"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_no_registry_is_named_and_keeps_every_byte(tmp_path: Path, what: str) -> None:
    make, words = FOREIGN[what]
    path = tmp_path / "registry.db"
    make(path)
    before = content(tmp_path)
    calls: list[Callable[[], object]] = [
        lambda: Registry(path),
        lambda: Registry(f"sqlite:///{path}"),
        lambda: Home.find(tmp_path).registry,
        lambda: Home.find(tmp_path).gc(),
        lambda: Home.find(tmp_path).verify(),
        lambda: Home.find(tmp_path).add(folder(tmp_path.parent / "new"), name="x"),
    ]
    if what not in {"empty", "no tables"}:
        calls.append(lambda: Home.init(tmp_path))
    for call in calls:
        with pytest.raises(RegistryError) as error:
            call()
        assert words in error.value.message
        assert str(path) in error.value.message
        assert "ahl init" in str(error.value.hint) or "ahl rebuild" in str(error.value.hint)
    after = content(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not (tmp_path / "objects").exists() or not list((tmp_path / "objects").glob("??/*"))


@pytest.mark.parametrize("what", ["empty", "no tables"])
def test_init_makes_a_registry_of_an_empty_file(tmp_path: Path, what: str) -> None:
    """An interrupted `init` leaves such a file."""
    FOREIGN[what][0](tmp_path / "registry.db")
    assert Home.init(tmp_path).registry.count() == 0


def test_an_empty_file_does_not_take_its_log_with_it(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with Registry(path, create=True) as made:
        fill(made)
        shutil.copy(f"{path}-wal", tmp_path / "kept")
    for spoil in (path.unlink, path.touch):
        spoil()
        log = tmp_path / "registry.db-wal"
        shutil.copy(tmp_path / "kept", log)
        with pytest.raises(RegistryError, match=r"`registry\.db-wal` beside it holds"):
            Home.init(tmp_path)
        assert log.read_bytes() == (tmp_path / "kept").read_bytes()


def test_every_new_registry_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with Registry(path, create=True) as made:
        fill(made)
        assert path.read_bytes()[68:72] == b"AHL1"  # while the tables are in the log
        with Registry(path) as other:
            assert other.count() == made.count()
    killed = tmp_path / "killed.db"
    for end in ("", "-wal"):
        assert Path(f"{path}{end}").exists() or end
    shutil.copy(path, killed)
    with Registry(killed) as opened:
        assert opened.count() == 6


def test_a_registry_of_before_the_mark_opens_also_after_a_crash(tmp_path: Path) -> None:
    """Its tables may be in the log only."""
    path, crashed = tmp_path / "registry.db", tmp_path / "crashed.db"
    with Registry(path, create=True) as made:
        with made.database.read() as connection:
            connection.exec_driver_sql("SELECT 1")
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("PRAGMA application_id=0")
        fill(made)
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{crashed}{end}")
    with Registry(crashed) as opened:
        assert opened.count() == 6


def test_a_postgres_database_is_made_a_registry_by_init_only(
    postgres_url: str, tmp_path: Path
) -> None:
    with pytest.raises(RegistryError, match="is a database without tables") as error:
        Registry(postgres_url)
    assert "ahl init" in str(error.value.hint)
    with Registry(postgres_url, create=True) as made, made.database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
        for table in ("underneath", "languages", "names", "adapters", "bases", "scores"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    with pytest.raises(RegistryError, match=r"another program's database \(tables `alembic_ver"):
        Registry(postgres_url)
    with pytest.raises(RegistryError, match="another program's database"):
        Home.init(tmp_path / "team", database=postgres_url)
    assert not (tmp_path / "team").exists()


def test_a_postgres_database_that_others_use_too(postgres_url: str, tmp_path: Path) -> None:
    with Registry(postgres_url, create=True) as made, made.database.write() as connection:
        for table in ("underneath", "languages", "names", "adapters", "bases", "scores"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("DROP TABLE alembic_version")
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
    with pytest.raises(RegistryError, match=r"another program's database \(tables `customers`\)"):
        Registry(postgres_url)
    team = Home.init(tmp_path / "team", database=postgres_url)
    team.registry.add(manifest(), name="x")
    assert Home.find(team.path).registry.names() == ["x"]
    with Registry(postgres_url) as opened, opened.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    with pytest.raises(RegistryError, match="its format number is gone"):
        Registry(postgres_url)
    team.registry.close()


def test_the_command_line_says_it_in_two_lines(tmp_path: Path) -> None:
    (tmp_path / "registry.db").touch()
    for words in (["list"], ["gc"], ["verify"], ["resolve", "en", "sw", "--task", "ner"]):
        result = CliRunner().invoke(main, ["--home", str(tmp_path), *words])
        assert result.exit_code == 1
        errors = result.stderr.splitlines()
        assert [line.partition(":")[0] for line in errors] == ["error", "hint"]
        assert "is an empty file, not a registry" in errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["registry.db"]

"""`gc` takes nothing on the word of a registry that is lost, damaged, new or not the only one."""

from __future__ import annotations

import json
import shutil
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapterhub_lite import manifest as manifests
from adapterhub_lite.cli import main
from adapterhub_lite.errors import AhlError, HomeError
from adapterhub_lite.home import Home
from adapterhub_lite.registry import elsewhere
from adapterhub_lite.registry.objects import ObjectStore, Trashed
from tests.registry.making import folder


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let stores elsewhere take what is new for abandoned, and cache in the test's folder."""
    monkeypatch.setattr(elsewhere.RemoteStore.__init__, "__kwdefaults__", {"grace": timedelta(0)})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def filled(home: Home, tmp_path: Path) -> Home:
    for name in ("a", "b", "c"):
        home.add(folder(tmp_path / name, name), name=name)
    home.registry.close()
    return home


def objects(home: Home) -> list[str]:
    return list(home.store.digests())


def _sql(home: Home, statement: str) -> None:
    with closing(sqlite3.connect(home.path / "registry.db")) as raw:
        raw.execute(statement)
        raw.commit()


def _zero_a_page(home: Home) -> None:
    path = home.path / "registry.db"
    data = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as raw:
        (page,) = raw.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'scores_task'"
        ).fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    data[(page - 1) * size : page * size] = bytes(size)
    path.write_bytes(data)


def _begin_again(home: Home) -> None:
    (home.path / "registry.db").unlink()
    Home.init(home.path).registry.close()


def _another_registry(home: Home) -> None:
    """A registry that was copied over from another home."""
    other = Home.init(home.path.parent / "other")
    other.add(folder(home.path.parent / "z", "z"), name="z")
    other.registry.close()
    shutil.copy(other.path / "registry.db", home.path / "registry.db")


LOSSES: dict[str, tuple[Callable[[Home], object], str]] = {
    "emptied": (lambda home: (home.path / "registry.db").write_bytes(b""), "is an empty file"),
    "deleted, init": (_begin_again, "names none of the 3 objects"),
    "another": (_another_registry, "names none of the 3 objects"),
    "rows gone": (lambda home: _sql(home, "DELETE FROM adapters"), "does not pass its check"),
    "digest edited": (
        lambda home: _sql(home, "UPDATE adapters SET digest = 'x' || digest WHERE name = 'a'"),
        "does not pass its check",
    ),
    "manifest edited": (
        lambda home: _sql(home, "UPDATE adapters SET manifest = '{}' WHERE name = 'a'"),
        "does not pass its check",
    ),
    "page zeroed": (_zero_a_page, "does not pass its check"),
    "table gone": (lambda home: _sql(home, "DROP TABLE languages"), "`languages` is gone"),
    "column gone": (
        lambda home: _sql(home, "ALTER TABLE languages DROP COLUMN role"),
        "does not pass its check",
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_registry_that_was_lost_empties_no_store(filled: Home, loss: str) -> None:
    before = objects(filled)
    lose, words = LOSSES[loss]
    lose(filled)
    for keep_days in (None, 0):
        with pytest.raises(AhlError) as error:
            Home.find(filled.path).gc(keep_days=keep_days)
        assert words in error.value.message
        assert "ahl rebuild" in str(error.value.hint)
    assert objects(filled) == before


def test_verify_names_what_gc_refuses(filled: Home) -> None:
    _zero_a_page(filled)
    problems = Home.find(filled.path).verify()
    assert {problem.kind for problem in problems} == {"database"}
    assert all("ahl rebuild" in problem.fix for problem in problems)


def test_init_says_that_objects_have_no_record(filled: Home) -> None:
    (filled.path / "registry.db").unlink()
    result = CliRunner().invoke(main, ["init", str(filled.path)])
    assert result.exit_code == 0
    assert "holds 3 objects without record: `ahl rebuild`" in result.stderr


def test_what_is_confirmed_goes_to_the_trash_first(filled: Home, tmp_path: Path) -> None:
    before = objects(filled)
    for name in ("a", "b", "c"):
        filled.registry.remove(name)
    with pytest.raises(HomeError, match="names none of the 3 objects") as error:
        filled.gc()
    assert "`ahl gc --yes`" in str(error.value.hint)
    assert [item.action for item in filled.gc(dry_run=True)] == ["set aside"] * 3
    assert [item.action for item in filled.gc(confirmed=True)] == ["set aside"] * 3
    assert objects(filled) == []
    assert [item.digest for item in filled.store.trash()] == before
    assert filled.verify() == []
    assert filled.gc() == []
    filled.add(tmp_path / "a", name="a")  # one is needed again, and lost from its place
    shutil.rmtree(filled.folder_of(filled.registry.get("a")))
    (problem,) = filled.verify()
    assert (problem.kind, problem.fix) == (
        "missing-object",
        "it is in the trash: `ahl gc` puts it back",
    )
    assert [item.action for item in filled.gc()] == ["put back"]
    assert filled.verify() == []


def test_the_trash_is_emptied_by_age(filled: Home) -> None:
    removed = filled.registry.remove("a").digest
    filled.gc()
    today = datetime.now(UTC).date()
    (item,) = filled.store.trash()
    assert item == Trashed(removed, today)
    assert filled.gc() == []
    place = filled.path / "objects" / ".trash"
    (place / today.isoformat()).rename(place / (today - timedelta(days=14)).isoformat())
    (place / "notes.txt").write_text("mine")
    (place / "2020-01-01").mkdir()
    (place / "2020-01-01" / "mine").write_text("mine")
    assert filled.gc(keep_days=15) == []
    assert [(i.action, i.size > 3000) for i in filled.gc()] == [("removed", True)]
    assert filled.store.trash() == []
    assert (place / "2020-01-01" / "mine").exists()
    removed = filled.registry.remove("b").digest
    assert [(i.action, i.place) for i in filled.gc(keep_days=0)] == [("removed", removed)]
    assert len(objects(filled)) == 1


def test_most_of_a_large_store_has_to_be_confirmed(home: Home, tmp_path: Path) -> None:
    for number in range(20):
        home.add(folder(tmp_path / str(number), str(number)), name=f"n{number}")
    for number in range(11):
        home.registry.remove(f"n{number}")
    with pytest.raises(HomeError, match="11 of the 20 objects in"):
        home.gc()
    home.add(tmp_path / "0", name="n0")
    assert len(home.gc()) == 10


STORES = ["path", "inside", "memory://"]


def _two_homes(tmp_path: Path, kind: str) -> tuple[Home, Home]:
    if kind == "inside":  # the second uses the `objects` folder of the first
        first = Home.init(tmp_path / "first")
        second = Home.init(tmp_path / "second", objects=str(first.path / "objects"))
    else:
        url = {"path": str(tmp_path / "store"), "memory://": f"memory://{uuid.uuid4().hex}"}[kind]
        first, second = (Home.init(tmp_path / n, objects=url) for n in ("first", "second"))
    for home in (first, second):
        home.add(folder(tmp_path / f"of-{home.path.name}", home.path.name), name="x")
    return first, second


@pytest.mark.parametrize("kind", STORES)
def test_a_store_of_two_homes_keeps_the_objects_of_both(tmp_path: Path, kind: str) -> None:
    first, second = _two_homes(tmp_path, kind)
    before = objects(first)
    assert len(before) == 2
    for home, other in ((first, second), (second, first)):
        for dry_run in (True, False):
            with pytest.raises(HomeError, match="serves other homes too") as error:
                home.gc(confirmed=True, keep_days=0, dry_run=dry_run)
            assert f"`{other.path}`" in error.value.message
            assert "--shared" in str(error.value.hint)
        assert home.gc(shared=True) == []
    second.registry.remove("x")
    third = second.add(folder(tmp_path / "third", "third"), name="y")
    (garbage,) = first.gc(shared=True)
    assert garbage.place in before
    assert third.digest in objects(first)
    for home in (first, second):
        home.registry.close()
    with closing(sqlite3.connect(second.path / "registry.db")) as raw:
        raw.execute("DELETE FROM adapters")
        raw.commit()
    with pytest.raises(HomeError, match="cannot tell what the home"):
        Home.find(first.path).gc(shared=True)


@pytest.mark.parametrize("kind", ["path", "memory://"])
def test_a_home_that_vanished_is_named_and_can_be_forgotten(tmp_path: Path, kind: str) -> None:
    first, second = _two_homes(tmp_path, kind)
    second.registry.close()
    shutil.rmtree(second.path)
    words = f"`{second.path}` (not there any more)"
    for shared in (False, True):
        with pytest.raises(HomeError) as error:
            first.gc(shared=shared)
        assert words in error.value.message
        assert "ahl gc --forget" in str(error.value.hint)
    with pytest.raises(HomeError, match="is not on the list"):
        first.forget_owner(tmp_path / "nobody")
    first.forget_owner(second.path)
    assert [item.action for item in first.gc()] == ["set aside"]


def test_a_damaged_list_is_an_owner(tmp_path: Path) -> None:
    first, _ = _two_homes(tmp_path, "path")
    for file in (tmp_path / "store" / ".homes").iterdir():
        file.write_text("{")
    with pytest.raises(HomeError, match="serves other homes too"):
        first.gc()


def test_homes_of_one_database_are_one_owner(tmp_path: Path, postgres_url: str) -> None:
    url = str(tmp_path / "store")
    one, two = (Home.init(tmp_path / n, database=postgres_url, objects=url) for n in ("1", "2"))
    one.add(folder(tmp_path / "x", "x"), name="x")
    one.add(folder(tmp_path / "y", "y"), name="y")
    two.registry.remove("x")
    assert [item.action for item in two.gc()] == ["set aside"]
    for home in (one, two):
        home.registry.close()


def test_a_home_that_was_moved_or_copied_is_itself(filled: Home, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    filled.path.rename(moved)
    shutil.copytree(moved, tmp_path / "copy")
    for path in (moved, tmp_path / "copy"):
        home = Home.find(path)
        home.registry.remove("a")
        assert [item.action for item in home.gc()] == ["set aside"]
        home.registry.close()
    assert not (moved / "objects" / ".homes").exists()


@pytest.mark.parametrize("url", ["path", "memory://", "local://"])
def test_every_kind_of_store_has_a_trash(tmp_path: Path, url: str) -> None:
    place = {"path": tmp_path / "s", "local://": f"local://{tmp_path / 's'}"}
    home = Home.init(tmp_path / "h", objects=str(place.get(url, f"memory://{uuid.uuid4().hex}")))
    for name in ("x", "y"):
        home.add(folder(tmp_path / name, name), name=name)
    digest, size = home.registry.remove("x").digest, 0
    for action in ("set aside", "removed"):
        if action == "removed":
            _age(home.store)
        (item,) = home.gc(dry_run=True)
        assert home.gc() == [item]
        assert item.action == action
        assert item.size == (size or item.size) > 3000
        size = item.size
        assert digest not in objects(home)
    home.registry.remove("y")
    home.gc(confirmed=True)
    back = home.registry.add(manifests.read(tmp_path / "y"), name="y")
    assert [p.kind for p in home.verify()] == ["missing-object"]
    assert [item.action for item in home.gc()] == ["put back"]
    assert (home.folder_of(back) / "weights.safetensors").is_file()
    assert home.verify() == []
    assert home.store.leftovers() == []


def _age(store: ObjectStore) -> None:
    """Let everything in the trash have come there a year ago."""
    day = date.today() - timedelta(days=365)  # noqa: DTZ011
    for item in store.trash():
        store.put_back(item)
        store.set_aside(item.digest, day)


def test_digests_of_records_never_become_paths(filled: Home) -> None:
    (filled.path / "mine").mkdir()
    for text in ("../../mine", "..", "", "a" * 63, "/etc", "A" * 64):
        for call in (filled.store.check, filled.store.manifest):
            with pytest.raises(AhlError, match="is not a digest"):
                call(text)
        with pytest.raises(AhlError, match="is not a digest"):
            filled.store.put_back(Trashed(text, date(2026, 1, 1)))
    assert (filled.path / "mine").is_dir()


def test_the_command_says_what_and_how_much(filled: Home) -> None:
    digest = filled.registry.remove("a").digest
    filled.registry.close()

    def run(*words: str) -> str:
        result = CliRunner().invoke(main, ["--home", str(filled.path), "gc", *words])
        assert result.exit_code == 0, result.stderr
        return result.output

    values = json.loads(run("--dry-run", "--json"))
    (item,) = values["done"]
    assert (item["place"], item["action"], values["dry_run"]) == (digest, "set aside", True)
    assert values["bytes"] == {"set aside": item["size"]}
    assert values["removed"] == [digest]
    assert "would have set aside 1 (0.00 MB)" in run("--dry-run")
    assert f"set aside {digest}" in run()
    assert "nothing to remove" in run()
    result = CliRunner().invoke(
        main, ["--home", str(filled.path), "gc", "--forget", "x", "--shared"]
    )
    assert result.exit_code == 2

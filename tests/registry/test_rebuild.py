"""A registry is made again from what objects carry, and from what is left of the old one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Kind, Source
from adapterhub_lite.cli import main
from adapterhub_lite.errors import HomeError, RegistryError
from adapterhub_lite.home import Home
from adapterhub_lite.registry import Registry
from tests.registry.making import BASE, folder, manifest, pair, score, task, weights

ADAPTERS = {
    "sw-wiki": manifest("1"),
    "ner": task("2"),
    "both": pair("en", "sw", "3"),
    "sw-other": manifest("4", citation="another"),
    "lab/de": manifest("5", "de", source=Source("lab/de", format="adapterhub")),
}


def _fill(home: Home, tmp_path: Path) -> None:
    for seed, (name, made) in enumerate(ADAPTERS.items(), 1):
        place = tmp_path / "given" / str(seed)
        place.mkdir(parents=True)
        (place / "weights.safetensors").write_bytes(weights(str(seed)))
        (place / "adapter.json").write_text(manifests.dumps(made))
        home.add(place, name=name)
    home.registry.alias("best", "sw-wiki")
    home.registry.add_base(BASE, "bases/mini", {"config.json": "0" * 64})
    home.registry.record_scores([score(), score(seed=1)])
    home.registry.add(manifest("far", "fo"), name="far", remote=True)


@pytest.fixture
def filled(home: Home, tmp_path: Path) -> Home:
    _fill(home, tmp_path)
    home.registry.close()
    return home


def _dump(path: Path) -> str:
    with Registry(path / "registry.db") as opened:
        return opened.dump()


def _sql(home: Home, statement: str) -> None:
    with closing(sqlite3.connect(home.path / "registry.db")) as raw:
        raw.execute(statement)
        raw.commit()


def _spoil_page(home: Home) -> None:
    """Overwrite the root page of an index that nothing is read through here."""
    path = home.path / "registry.db"
    with closing(sqlite3.connect(path)) as raw:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'scores_composition'"
        (page,) = raw.execute(query).fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    data[(page - 1) * size : page * size] = b"\xa5" * size
    path.write_bytes(data)


NOTHING_LOST: dict[str, Callable[[Home], object]] = {
    "format row": lambda home: _sql(home, "DELETE FROM alembic_version"),
    "format table": lambda home: _sql(home, "DROP TABLE alembic_version"),
    "page": _spoil_page,
    "languages": lambda home: _sql(home, "DROP TABLE languages"),
    "underneath": lambda home: _sql(home, "DELETE FROM underneath"),
}


@pytest.mark.parametrize("loss", NOTHING_LOST)
def test_what_can_be_read_of_the_old_registry_is_taken_over(filled: Home, loss: str) -> None:
    before = _dump(filled.path)
    NOTHING_LOST[loss](filled)
    spoiled = (filled.path / "registry.db").read_bytes()
    rebuilt = Home.lost(filled.path).rebuild()
    assert _dump(filled.path) == before
    assert Home.find(filled.path).verify() == []
    if loss != "underneath":  # that one passes the check: nothing needs it
        assert rebuilt.kept
        assert rebuilt.kept.read_bytes() == spoiled
        assert (rebuilt.scores, rebuilt.bases, rebuilt.remote) == (2, 1, 1)
    assert Home.lost(filled.path).rebuild().added == {}


GONE: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no database " * 100),
    "half": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "zeros": lambda path: path.write_bytes(bytes(50_000)),
}


@pytest.mark.parametrize("loss", GONE)
def test_a_registry_from_objects_alone(filled: Home, loss: str) -> None:
    names = {a.digest: a.name for a in filled.registry.find(remote=False)}
    filled.registry.close()
    GONE[loss](filled.path / "registry.db")
    (filled.path / "runs" / "x").mkdir(parents=True)
    digest = next(digest for digest, name in names.items() if name == "sw-other")
    record = json.dumps({"adapter": digest, "name": "sw-other"})
    (filled.path / "runs" / "x" / "finished.json").write_text(record)
    rebuilt = Home.lost(filled.path).rebuild()
    assert set(rebuilt.added) == set(names)
    again = Home.find(filled.path)
    assert again.verify() == []
    assert again.gc() == []
    got = {a.name for a in again.registry.find()}
    assert got == {"sw", "ner-en", "en-sw", "sw-other", "lab/de"}
    assert set(rebuilt.guessed) == {"sw", "ner-en", "en-sw"}
    assert rebuilt.scores == 0
    again.registry.close()
    if loss != "deleted":
        assert rebuilt.kept
        assert rebuilt.kept.exists()


def test_adapters_that_would_have_one_name_get_two(home: Home, tmp_path: Path) -> None:
    digests = [home.add(folder(tmp_path / s, s), name=s).digest for s in "ab"]
    home.registry.close()
    (home.path / "registry.db").unlink()
    rebuilt = Home.lost(home.path).rebuild()
    (conflict,) = rebuilt.conflicts
    assert conflict.name == "sw"
    assert conflict.instead == f"sw-{conflict.digest[:12]}"
    found = {a.digest for a in Home.find(home.path).registry.find()}
    assert found == set(digests)


def test_a_sound_registry_gets_what_it_lacks_and_keeps_what_it_has(filled: Home) -> None:
    before = _dump(filled.path)
    shutil.copy(filled.path / "registry.db", filled.path / "backup")
    removed = filled.registry.remove("ner").digest
    filled.registry.close()
    rebuilt = Home.lost(filled.path).rebuild()
    assert rebuilt.added == {removed: "ner-en"}
    assert (rebuilt.new_file, rebuilt.kept) == (False, None)
    assert len(_dump(filled.path).splitlines()) == len(before.splitlines())


def test_an_object_without_a_sound_manifest_is_left_out_and_named(filled: Home) -> None:
    digest = filled.registry.get("ner").digest
    filled.registry.close()
    (filled.path / "registry.db").unlink()
    (filled.path / "objects" / digest[:2] / digest / "adapter.json").write_text("{")
    rebuilt = Home.lost(filled.path).rebuild()
    assert len(rebuilt.added) == 4
    (message,) = rebuilt.unreadable
    assert digest in message
    assert (filled.path / "objects" / digest[:2] / digest).is_dir()


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE moz_places (id INTEGER)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0099'")
        raw.commit()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(_foreign, "another program's database"), (_newer, "has format 0099")],
)
def test_what_is_no_damage_is_not_rebuilt(
    filled: Home, spoil: Callable[[Path], object], words: str
) -> None:
    path = filled.path / "registry.db"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(RegistryError) as error:
        Home.lost(filled.path).rebuild()
    assert words in error.value.message
    assert path.read_bytes() == before
    assert not list(filled.path.glob("registry.db.damaged-*"))


def test_nothing_to_rebuild(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="nothing to rebuild"):
        Home.lost(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_registry_of_a_server(tmp_path: Path, postgres_url: str) -> None:
    team = Home.init(tmp_path / "team", database=postgres_url)
    added = team.add(folder(tmp_path / "x", "x"), name="x")
    team.registry.remove("x")
    assert Home.lost(team.path).rebuild().added == {added.digest: "sw"}
    with team.registry.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE names")
    with pytest.raises(RegistryError, match="its table `names` is gone") as error:
        Home.lost(team.path).rebuild()
    assert "ahl init NEW" in str(error.value.hint)
    team.registry.close()


def test_the_command_brings_the_catalogue_and_says_what_is_lost(filled: Home) -> None:
    (filled.path / "registry.db").unlink()

    def run(*words: str) -> str:
        result = CliRunner().invoke(main, ["--home", str(filled.path), *words])
        assert result.exit_code == 0, result.output
        return result.output

    output = run("rebuild")
    assert "no scores were recovered" in output
    assert "names were made from manifests" in output
    assert "5 adapters of" in output
    assert Home.find(filled.path).registry.count() > 500
    assert json.loads(run("rebuild", "--no-catalog", "--json", "--quiet"))["added"] == {}
    assert Kind.LANGUAGE.value in run("list", "--local")

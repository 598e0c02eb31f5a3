"""Objects, `verify` and `gc`: each kind of damage is found and named, each leftover removed."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest

from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Adapter
from adapterhub_lite.errors import WeightsError
from adapterhub_lite.home import Home
from adapterhub_lite.registry.elsewhere import RemoteStore
from adapterhub_lite.registry.local import LocalStore
from adapterhub_lite.registry.objects import ObjectStore
from adapterhub_lite.registry.places import open_store
from tests.registry.making import folder, manifest, task, weights


@pytest.fixture
def added(home: Home, tmp_path: Path) -> Adapter:
    return home.add(folder(tmp_path / "given", "sw"), name="sw-wiki")


def _object(home: Home, adapter: Adapter) -> Path:
    return home.path / "objects" / adapter.digest[:2] / adapter.digest


def test_an_object_is_manifest_and_weights(home: Home, added: Adapter) -> None:
    place = home.folder_of(added)
    assert place == _object(home, added)
    assert {path.name for path in place.iterdir()} == {"adapter.json", "weights.safetensors"}
    assert manifests.read(place) == added.manifest
    assert (place / "weights.safetensors").read_bytes() == weights("sw")
    assert list((home.path / "objects" / ".staging").iterdir()) == []


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "object gone": ("missing-object", shutil.rmtree),
    "weights gone": ("unreadable-object", lambda p: (p / "weights.safetensors").unlink()),
    "manifest gone": ("unreadable-object", lambda p: (p / "adapter.json").unlink()),
    "weights cut": ("wrong-weights", lambda p: (p / "weights.safetensors").write_bytes(b"x")),
    "weights grown": (
        "wrong-weights",
        lambda p: (p / "weights.safetensors").write_bytes(weights("sw") + b"x"),
    ),
    "one bit": (
        "wrong-weights",
        lambda p: (p / "weights.safetensors").write_bytes(weights("sw")[:-1] + b"\0"),
    ),
    "other manifest": ("wrong-manifest", lambda p: _edit(p / "adapter.json", '"sw"', '"de"')),
    "no manifest": ("wrong-manifest", lambda p: (p / "adapter.json").write_text("{")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_kept_and_mended_by_adding_again(
    home: Home, added: Adapter, tmp_path: Path, damage: str
) -> None:
    kind, spoil = DAMAGE[damage]
    spoil(_object(home, added))
    assert [(p.kind, p.subject) for p in home.verify()] == [(kind, added.digest)]
    assert home.gc() == []  # what a record needs is never removed
    home.add(tmp_path / "given", name="sw-wiki")
    assert home.verify() == []
    assert list((home.path / "objects" / ".staging").iterdir()) == []


@pytest.mark.parametrize("damage", ["object gone", "weights gone", "weights cut", "weights grown"])
def test_what_is_not_whole_is_not_handed_out(home: Home, added: Adapter, damage: str) -> None:
    DAMAGE[damage][1](_object(home, added))
    with pytest.raises(WeightsError, match="object") as error:
        home.folder_of(added)
    assert "ahl verify" in str(error.value.hint)


def test_gc_takes_orphans_only(home: Home, added: Adapter, tmp_path: Path) -> None:
    other = home.add(folder(tmp_path / "b", "b"), name="b")
    home.registry.remove("b")
    staging = home.path / "objects" / ".staging"
    (staging / "half").mkdir()
    (staging / "file").write_text("x")
    problems = home.verify()
    left = ["orphan-object", "leftover", "leftover"]
    assert sorted(p.kind for p in problems) == sorted(left)
    assert all("ahl gc" in str(p) for p in problems)
    todo = [
        (
            other.digest,
            3000 + len((_object(home, other) / "adapter.json").read_bytes()),
            "set aside",
        ),
        (".staging/file", 1, "removed"),
        (".staging/half", 0, "removed"),
    ]
    for call in (home.gc(dry_run=True), home.gc()):
        assert [(item.place, item.size, item.action) for item in call] == todo
    assert home.verify() == []
    assert home.gc() == []
    assert home.folder_of(added).is_dir()


def test_strangers_files_are_left_alone(home: Home, added: Adapter) -> None:
    stray = home.path / "objects" / "README"
    stray.write_text("mine")
    (home.path / "objects" / "zz").mkdir()
    (home.path / "objects" / "zz" / "notes.txt").write_text("mine")
    assert home.verify() == []
    assert home.gc() == []
    assert stray.exists()


def _spoil(home: Home, *statements: str) -> None:
    home.registry.close()
    raw = sqlite3.connect(home.path / "registry.db")
    for statement in statements:
        raw.execute(statement)
    raw.commit()
    raw.close()


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE adapters SET manifest = replace(manifest, '\"sw\"', '\"de\"')", "record"),
        ("UPDATE adapters SET manifest = '{'", "record"),
        ("UPDATE adapters SET task = 'pos'", "record"),
        ("UPDATE adapters SET kind = 'task'", "record"),
        ("UPDATE languages SET tag = 'de'", "record"),
        ("UPDATE names SET adapter_id = 99", "dangling-name"),
        ("DELETE FROM adapters", "dangling-name"),
    ],
)
def test_a_registry_that_somebody_edited(
    home: Home, added: Adapter, statement: str, kind: str
) -> None:
    _spoil(home, statement)
    problems = Home.find(home.path).verify()
    assert kind in {problem.kind for problem in problems}
    assert all(problem.fix for problem in problems)


def test_verify_hashes_every_byte(home: Home, added: Adapter) -> None:
    """Each single byte of the weights matters."""
    file = _object(home, added) / "weights.safetensors"
    for at in (0, 1500, 2999):
        data = bytearray(weights("sw"))
        data[at] ^= 1
        file.write_bytes(bytes(data))
        assert [p.kind for p in home.verify()] == ["wrong-weights"]
    file.write_bytes(weights("sw"))
    assert home.verify() == []


@pytest.fixture(params=["path", "file://", "memory://", "local://"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = tmp_path / "elsewhere"
    url = {
        "path": str(place),
        "file://": place.as_uri(),
        "memory://": f"memory://{uuid.uuid4().hex}/objects",
        "local://": f"local://{place}",
    }[request.param]
    opened = open_store(url)
    if isinstance(opened, RemoteStore):
        opened = RemoteStore(url, opened.cache, grace=timedelta(0))
    return opened


def test_every_kind_of_store(store: ObjectStore, tmp_path: Path) -> None:
    given, digest = folder(tmp_path / "x", "x"), manifests.digest(manifest("x"))
    with pytest.raises(WeightsError, match="object"):
        store.folder(digest, manifest("x"))
    for _ in range(2):
        with store.adding():
            store.put(given, manifest("x"))
    assert list(store.digests()) == [digest]
    assert store.check(digest) is None
    assert store.leftovers() == []
    place = store.folder(digest, manifest("x"))
    assert (place / "weights.safetensors").read_bytes() == weights("x")
    assert manifests.read(place) == manifest("x")
    wrong = task("x", citation="another manifest")
    missing = store.check(manifests.digest(wrong))
    assert missing is not None
    assert missing.kind == "missing-object"
    (given / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(WeightsError, match="truncated"):
        store.put(given, wrong)
    for leftover in store.leftovers():
        store.discard(leftover)
    assert list(store.digests()) == [digest]
    with store.cleaning():
        assert store.abandoned(digest)
        store.discard(digest)
    assert list(store.digests()) == store.leftovers() == []


def test_an_upload_that_was_cut_off_is_a_leftover(tmp_path: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    store = RemoteStore(url, LocalStore(tmp_path / "cache"), grace=timedelta(0))
    digest = manifests.digest(manifest("x"))
    files = fsspec.filesystem("memory")
    files.pipe(f"{store.root}/{digest[:2]}/{digest}/weights.safetensors", weights("x"))
    files.pipe(f"{store.root}/.staging/abc/weights", b"half")
    assert list(store.digests()) == []
    assert store.leftovers() == [".staging/abc", f"{digest[:2]}/{digest}"]
    young = RemoteStore(url, LocalStore(tmp_path / "cache"))
    assert young.leftovers() == []  # somebody may be at it
    store.put(folder(tmp_path / "x", "x"), manifest("x"))
    assert store.check(digest) is None
    assert store.leftovers() == [".staging/abc"]


def test_a_remote_object_that_was_changed(tmp_path: Path) -> None:
    store = RemoteStore(f"memory://{uuid.uuid4().hex}", LocalStore(tmp_path / "cache"))
    digest = manifests.digest(manifest("x"))
    store.put(folder(tmp_path / "x", "x"), manifest("x"))
    weights_at = f"{store.root}/{digest[:2]}/{digest}/weights.safetensors"
    fsspec.filesystem("memory").pipe(weights_at, weights("y"))
    problem = store.check(digest)
    assert problem is not None
    assert problem.kind == "wrong-weights"
    with pytest.raises(WeightsError, match="is not the file that the manifest records"):
        store.folder(digest, manifest("x"))
    assert list(store.cache.digests()) == []

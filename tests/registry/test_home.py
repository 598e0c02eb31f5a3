"""Which home it is, what is in it, and whose plugins may run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapterhub_lite.errors import HomeError, ManifestError, UsageError, WeightsError
from adapterhub_lite.home import Home
from tests.registry.making import WHEN, folder, manifest

PLUGIN = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a user of its own: folders for data, settings and cache."""
    place = tmp_path / "user"
    for kind in ("DATA", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(place / kind.lower()))
    monkeypatch.delenv("AHL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return place


def test_the_order_in_which_a_home_is_found(
    tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HomeError, match="no home in") as error:
        Home.find()
    assert "ahl init" in str(error.value.hint)
    data = Home.init(user / "data" / "adapterhub_lite").path
    assert (Home.find().path, Home.find().named) == (data, False)
    above = Home.init(tmp_path / "above").path
    (above / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(above / "a" / "b")
    assert (Home.find().path, Home.find().named) == (above, False)
    inner = Home.init(above / "a").path
    assert Home.find().path == inner
    by_variable = Home.init(tmp_path / "variable").path
    monkeypatch.setenv("AHL_HOME", str(by_variable))
    assert (Home.find().path, Home.find().named) == (by_variable, True)
    assert (Home.find(above).path, Home.find(above).named) == (above, True)


def test_a_named_home_is_never_looked_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Home.init(tmp_path)
    (tmp_path / "empty").mkdir()
    for path, words in (("empty", "holds no registry"), ("nowhere", "does not exist")):
        with pytest.raises(HomeError, match=words) as error:
            Home.find(tmp_path / path)
        assert f"ahl init {tmp_path / path}" in str(error.value.hint)
    monkeypatch.setenv("AHL_HOME", "nowhere")
    with pytest.raises(HomeError, match="does not exist"):
        Home.find()


def test_finding_a_home_touches_no_database(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_text("no database")
    assert Home.find().path == tmp_path
    script = (
        "import sys; from adapterhub_lite.home import Home; Home.find()\n"
        "print(*sorted({'sqlalchemy', 'alembic', 'fsspec', 'torch', 'pluggy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "\n"


def test_init_twice_is_the_same_home(tmp_path: Path) -> None:
    first = Home.init(tmp_path / "h")
    first.add(folder(tmp_path / "x"), name="x")
    assert Home.init(tmp_path / "h").registry.names() == ["x"]
    with pytest.raises(HomeError, match="is a home with other settings"):
        Home.init(tmp_path / "h", objects="memory://elsewhere")
    first.registry.close()


def test_a_home_with_its_parts_elsewhere(tmp_path: Path, postgres_url: str) -> None:
    made = Home.init(tmp_path / 'te"am', database=postgres_url, objects="memory://te/am")
    assert not (made.path / "registry.db").exists()
    found = Home.find(made.path)
    assert (found.database_url, found.objects_url) == (postgres_url, "memory://te/am")
    added = found.add(folder(tmp_path / "x"), name="x", aliases=("y",), added=WHEN)
    assert Home.find(made.path).registry.get("y") == added
    assert (found.folder_of(added) / "weights.safetensors").is_file()
    assert found.verify() == []
    found.registry.close()
    made.registry.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("database = 3", "`database` must be a URL, found 3"),
        ("databse = 'x'", "no setting `databse`\nhint: did you mean `database`?"),
        ("database", "cannot read"),
    ],
)
def test_settings_are_read_strictly(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "home.toml").write_text(text)
    with pytest.raises(HomeError) as error:
        Home.find()
    assert words in str(error.value)


def test_settings_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "home.toml").write_text("objects = 'nosuchscheme://x'\ndatabase = 'mysql://x/y'")
    with pytest.raises(UsageError, match="cannot be kept in `mysql`"):
        _ = Home.find(tmp_path).registry
    with pytest.raises(UsageError, match="not an object store that can be used here"):
        _ = Home.find(tmp_path).store


@pytest.mark.parametrize("name", ["a b", "ü?x=1#y%20", "quo'te\"d"])
def test_a_home_in_a_folder_with_an_odd_name(tmp_path: Path, name: str) -> None:
    home = Home.init(tmp_path / name)
    home.add(folder(tmp_path / "x"), name="x")
    assert (home.path / "registry.db").is_file()
    assert Home.find(tmp_path / name).registry.names() == ["x"]
    assert home.verify() == []
    home.registry.close()


def test_add_refuses_before_it_stores(home: Home, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"has no `adapter.json`"):
        home.add(tmp_path, name="x")
    with pytest.raises(UsageError, match="cannot be the name"):
        home.add(folder(tmp_path / "x"), name="-x")
    with pytest.raises(ManifestError, match="records no weights"):
        home.add(folder(tmp_path / "y", weights=None), name="x")
    cut = folder(tmp_path / "z") / "weights.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="truncated: it has 2999 of 3000 bytes"):
        home.add(cut.parent, name="x")
    cut.write_bytes(b"x" * 3000)
    with pytest.raises(WeightsError, match="is not the file that the manifest records"):
        home.add(cut.parent, name="x")
    cut.unlink()
    with pytest.raises(WeightsError, match="cannot read"):
        home.add(cut.parent, name="x")
    assert home.verify() == []
    assert home.registry.count() == 0


def test_a_remote_adapter_has_no_folder(home: Home) -> None:
    remote = home.registry.add(manifest(), name="x", remote=True)
    with pytest.raises(WeightsError, match="is remote"):
        home.folder_of(remote)
    assert home.verify() == []


def _plugin(home: Home, text: str = PLUGIN) -> Path:
    path = home.path / "plugins" / "mine.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_plugins_of_a_named_home_run(home: Home) -> None:
    assert Home.find(home.path).plugin_folder is None
    path = _plugin(home)
    assert Home.find(home.path).plugin_folder == path.parent
    assert "mine" in Home.find(home.path).plugins().infos
    assert path.with_name("ran").exists()


def test_plugins_of_a_home_that_was_found_ask_first(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _plugin(home)
    monkeypatch.chdir(home.path)
    assert Home.find().plugin_folder is None
    assert "mine" not in Home.find().plugins().infos
    assert not path.with_name("ran").exists()
    assert Home.find().trust_plugins() == (path,)
    assert Home.find().plugin_folder == path.parent
    assert "mine" in Home.find().plugins().infos


@pytest.mark.parametrize("change", ["changed", "more", "inside", "gone"])
def test_trust_ends_when_a_file_changes(
    home: Home, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = _plugin(home)
    path.with_name("other.py").write_text("")
    monkeypatch.chdir(home.path)
    Home.find().trust_plugins()
    assert Home.find().plugin_folder
    (path.parent / "inner").mkdir()
    changes: dict[str, Callable[[], object]] = {
        "changed": lambda: path.write_text(PLUGIN + "\n"),
        "more": lambda: path.with_name("_new.py").write_text(""),
        "inside": lambda: (path.parent / "inner" / "x.py").write_text(""),
        "gone": lambda: path.with_name("other.py").unlink(),
    }
    changes[change]()
    assert Home.find().plugin_folder is None
    Home.find().trust_plugins()
    assert Home.find().plugin_folder


def test_trust_is_for_one_home(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _plugin(home)
    home.trust_plugins()
    copy = Home.init(tmp_path / "copy")
    _plugin(copy)
    monkeypatch.chdir(copy.path)
    assert Home.find().plugin_folder is None
    monkeypatch.chdir(home.path)
    assert Home.find().plugin_folder
    copy.registry.close()


def test_planted_bytecode_does_not_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled file beside a trusted one could hold other code; it must not be used."""
    import importlib.util
    import py_compile

    path = _plugin(home, "")
    home.trust_plugins()
    evil = home.path / "evil.py"
    evil.write_text(PLUGIN)
    planted = importlib.util.cache_from_source(str(path))
    py_compile.compile(
        str(evil), planted, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    evil.unlink()
    monkeypatch.chdir(home.path)
    assert "mine" in Home.find().plugins().infos
    assert not list(home.path.rglob("ran"))


def test_nothing_to_trust(home: Home, user: Path) -> None:
    with pytest.raises(HomeError, match="has no plugin files"):
        home.trust_plugins()
    _plugin(home)
    record = user / "config" / "adapterhub_lite" / "trusted.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    with pytest.raises(HomeError, match="cannot read"):
        home.trust_plugins()

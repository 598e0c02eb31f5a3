"""The two ways in: files of a home that may run, and installed packages."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from shutil import make_archive, rmtree

import pytest

from adapterhub_lite import Home, plugin_sources, plugins
from adapterhub_lite.errors import MethodError
from tests.plugins.conftest import METHOD, Install, Write, info


@pytest.fixture
def home(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with `folder` as its plugins, found from the working directory, nothing trusted."""
    Home.init(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AHL_HOME", raising=False)
    monkeypatch.chdir(folder)
    return tmp_path


def test_a_plugin_in_an_archive_on_the_path_is_found(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only folders are looked into quickly; for all else the standard library is asked."""
    install("my-method", METHOD.format(name="mine"))
    archive = make_archive(str(tmp_path / "packed"), "zip", tmp_path / "site")
    rmtree(tmp_path / "site")
    monkeypatch.syspath_prepend(archive)
    assert "mine" in plugins.load().methods


def test_an_installed_plugin_is_loaded_with_its_version(install: Install) -> None:
    install("my-method", METHOD.format(name="mine"), version="3.1")
    loaded = plugins.load()
    assert "mine" in loaded.methods
    provider = loaded.provider("mine")
    assert (provider.plugin, provider.version) == ("my-method", "3.1")
    assert info(loaded, "my-method").origin == "installed: my-method"
    assert "mine" not in plugins.load(entry_points=False).methods


def test_an_installed_plugin_that_fails_harms_only_itself(install: Install) -> None:
    install("broken", "import nowhere_at_all\n")
    install("sound", METHOD.format(name="sound"))
    loaded = plugins.load()
    assert "sound" in loaded.methods
    assert "nowhere_at_all" in info(loaded, "broken").failures[0]


def test_a_files_version_is_its_own_or_its_digest(folder: Path, write: Write) -> None:
    write("one", '__version__ = "0.3"\n' + METHOD.format(name="one"))
    path = write("two", method="two")
    loaded = plugins.load(folder, entry_points=False)
    assert loaded.provider("one").version == "0.3"
    before = loaded.provider("two").version
    assert before.startswith("sha256:")
    path.write_text(path.read_text() + "# changed\n")
    assert plugins.load(folder, entry_points=False).provider("two").version != before


@pytest.mark.parametrize(
    ("head", "version"),
    [
        ('__version__ = "0.3"\n', "0.3"),
        ('__version__: str = "0.3"\n', "0.3"),
        ("", None),
        ("__version__ = str(1 + 1)\n", "unknown until it runs"),
        ("def :\n", None),
        ("def : __version__\n", None),
    ],
)
def test_the_version_of_a_file_that_may_not_run_is_read(
    home: Path, folder: Path, write: Write, head: str, version: str | None
) -> None:
    write("one", head + METHOD.format(name="mine"))
    untrusted = info(Home.find().plugins(), "one")
    assert "not run" in untrusted.failures[0]
    if version is None:
        version = f"sha256:{sha256((folder / 'one.py').read_bytes()).hexdigest()[:12]}"
    assert untrusted.version == version
    known = plugins.load(folder, entry_points=False)
    if "mine" in known.methods and "until it runs" not in version:
        assert known.provider("mine").version == version


def test_files_with_an_underscore_and_tests_are_no_plugins(folder: Path, write: Write) -> None:
    write("_helper", "raise SystemExit\n")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_one.py").write_text("raise SystemExit\n")
    names = {i.name for i in plugins.load(folder, entry_points=False).report()}
    assert names == set(plugin_sources.BUILT_IN)


def test_a_found_homes_code_does_not_run_unasked(home: Path, write: Write) -> None:
    ran = home / "ran"
    write("one", f"open({str(ran)!r}, 'w').close()\n" + METHOD.format(name="mine"))
    found = Home.find()
    assert not found.named
    loaded = found.plugins()
    (failure,) = info(loaded, "one").failures
    assert "nobody has trusted its files" in failure
    assert "`ahl plugins trust`" in failure
    with pytest.raises(MethodError, match="not run: this home was found"):
        loaded.method("mine")
    assert not ran.exists()
    assert "mine" in Home.find(home).plugins().methods, "a home named outright runs its own"
    assert ran.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "one.py").write_text("x = 1\n"), "`one.py` changed"),
        (lambda folder: (folder / "two.py").write_text("x = 1\n"), "`two.py` is new"),
        (lambda folder: (folder / "tests" / "test_one.py").unlink(), "`tests/test_one.py` is gone"),
    ],
    ids=["changed", "new", "gone"],
)
def test_trust_lasts_until_a_file_changes(
    home: Path, folder: Path, write: Write, change: object, said: str
) -> None:
    write("one", method="mine")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_one.py").write_text("")
    Home.find().trust_plugins()
    assert "mine" in Home.find().plugins().methods
    assert callable(change)
    change(folder)
    loaded = Home.find().plugins()
    assert "mine" not in loaded.methods
    (failure,) = info(loaded, "one").failures
    assert f"not run: {said} since the files were trusted" in failure


def test_files_of_one_name_in_two_homes_do_not_meet(tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "same.py").write_text(METHOD.format(name="mine") + f"\nPLACE = {name!r}\n")
        found.append(plugins.load(folder, entry_points=False).method("mine"))
    places = [vars(__import__("sys").modules[type(m).__module__])["PLACE"] for m in found]
    assert places == ["first", "second"]

"""A home that was merely found has no power outside its folder until it is trusted."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner, Result

from adapterhub_lite import Home
from adapterhub_lite.cli import main
from adapterhub_lite.errors import AhlError, HomeError, UsageError
from adapterhub_lite.registry import Registry
from adapterhub_lite.registry.places import open_store
from tests.registry.making import folder

COMMANDS = (
    ("list",),
    ("list", "--bases"),
    ("verify",),
    ("gc",),
    ("gc", "--dry-run"),
    ("resolve", "en", "sw", "--task", "pos"),
    ("search", "swahili"),
    ("show", "sw"),
    ("scores", "list"),
    ("gaps", "--task", "pos"),
)
PLUGIN = "from pathlib import Path\nPath(__file__).with_name('ran').write_text('')\n"


class Listener:
    """A server that answers nothing and remembers that it was asked."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def asked(self) -> bool:
        try:
            connection, _ = self.socket.accept()
        except BlockingIOError:
            return False
        connection.close()
        return True


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.socket.close()


@pytest.fixture(autouse=True)
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home as an archive might bring it, found from the working directory."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.delenv("AHL_HOME", raising=False)
    home = Home.init(tmp_path / "archive")
    home.close()
    (home.path / "plugins").mkdir()
    (home.path / "plugins" / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(home.path)
    return home.path


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Home]:
    home = Home.init(tmp_path / "victim")
    home.add(folder(tmp_path / "given", "sw"), name="sw")
    (home.path / "objects" / ".staging" / "work").mkdir(exist_ok=True)
    yield home
    home.close()


def ahl(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def everything(path: Path) -> dict[str, bytes | None]:
    """Return every path below, and every file's bytes."""
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(path.rglob("*"))}


def settings(home: Path, **values: str) -> None:
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    (home / "home.toml").write_text("".join(lines))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://127.0.0.1:{port}/x?sslmode=disable",
        "postgresql://user:secret@127.0.0.1:{port}/x",
    ],
)
def test_no_database_elsewhere_is_asked(stranger: Path, listener: Listener, url: str) -> None:
    settings(stranger, database=url.format(port=listener.port))
    for command in COMMANDS:
        result = ahl(*command)
        assert result.exit_code == 1, (command, result.output)
        assert result.stderr.count("error:") == 1
        assert "puts the database of this home outside its folder, at `postgresql" in result.stderr
        assert "secret" not in result.output
        assert "`ahl trust`" in result.stderr
    assert not listener.asked()
    assert not (stranger / "plugins" / "ran").exists()


def test_a_database_of_a_named_home_is_asked(stranger: Path, listener: Listener) -> None:
    """The test above could not fail if nobody would ever come."""
    url = f"postgresql+psycopg://127.0.0.1:{listener.port}/x?sslmode=disable&connect_timeout=2"
    settings(stranger, database=url)
    assert ahl("--home", str(stranger), "list").exit_code == 1
    assert listener.asked()


@pytest.mark.parametrize("scheme", ["ftp", "http", "s3", "sftp", "simplecache::ftp"])
def test_no_object_store_elsewhere_is_asked(
    stranger: Path, listener: Listener, scheme: str
) -> None:
    settings(stranger, objects=f"{scheme}://user:secret@127.0.0.1:{listener.port}/objects")
    for command in (("verify",), ("gc",), ("gc", "--dry-run")):
        result = ahl(*command)
        assert result.exit_code == 1, (command, result.output)
        assert "puts the objects of this home outside its folder" in result.stderr
        assert "secret" not in result.output
    assert ahl("list").exit_code == 0, "what is inside may be looked at"
    assert not listener.asked()


def by_path(home: Path, target: Path) -> None:
    settings(home, objects=str(target / "objects"))


def by_url(home: Path, target: Path) -> None:
    settings(home, objects=f"file://{target}/objects")


def by_dots(home: Path, _target: Path) -> None:
    settings(home, objects=f"{home}/../victim/objects")


def by_relative_path(home: Path, _target: Path) -> None:
    settings(home, objects="../victim/objects")


def by_link(home: Path, target: Path) -> None:
    (home / "objects").symlink_to(target / "objects")


def by_inner_link(home: Path, target: Path) -> None:
    (home / "objects").mkdir()
    for inner in (target / "objects").glob("??"):
        (home / "objects" / inner.name).symlink_to(inner)


def by_staging(home: Path, target: Path) -> None:
    (home / "objects").mkdir()
    (home / "objects" / ".staging").symlink_to(target / "objects" / ".staging")


def by_setting_through_a_link(home: Path, target: Path) -> None:
    (home / "deep").symlink_to(target)
    settings(home, objects=str(home / "deep" / "objects"))


WAYS = [
    by_path,
    by_url,
    by_dots,
    by_relative_path,
    by_link,
    by_inner_link,
    by_staging,
    by_setting_through_a_link,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nothing_outside_is_deleted(stranger: Path, victim: Home, way: object) -> None:
    assert callable(way)
    way(stranger, victim.path)
    victim.close()
    before = everything(victim.path)
    for command in COMMANDS:
        result = ahl(*command)
        if command[0] in {"gc", "verify"}:
            assert result.exit_code == 1, (command, result.output)
            assert "puts the objects of this home outside its folder" in result.stderr
    assert everything(victim.path) == before


def test_a_linked_database_is_not_opened(stranger: Path, victim: Home) -> None:
    victim.close()
    (stranger / "registry.db").unlink()
    (stranger / "registry.db").symlink_to(victim.path / "registry.db")
    before = everything(victim.path)
    result = ahl("list")
    assert result.exit_code == 1
    assert "puts the database of this home outside its folder" in result.stderr
    assert everything(victim.path) == before


def test_trust_is_given_by_the_same_command_and_ends_with_a_change(
    stranger: Path, victim: Home
) -> None:
    by_path(stranger, victim.path)
    assert ahl("verify").exit_code == 1
    result = ahl("trust", "--json")
    files = {Path(path).name for path in json.loads(result.stdout)["trusted"]}
    assert files == {"mine.py", "home.toml"}
    assert "orphan-object" in ahl("verify").stdout, "now it is looked at"
    settings(stranger, objects=str(victim.path / "objects") + "/")
    assert "`home.toml` changed since the files were trusted" in ahl("verify").stderr
    assert Home.find().plugin_folder is not None, "the plugins are what they were"
    ahl("plugins", "trust")
    assert "orphan-object" in ahl("verify").stdout


def test_a_link_that_turns_elsewhere_ends_the_trust(stranger: Path, victim: Home) -> None:
    by_link(stranger, victim.path)
    ahl("trust")
    Home.find().verify()
    (stranger / "objects").unlink()
    (stranger / "objects").symlink_to(victim.path)
    with pytest.raises(HomeError, match="`objects` changed since the files were trusted"):
        Home.find().gc()


def test_what_was_trusted_before_settings_counted_stays(stranger: Path, tmp_path: Path) -> None:
    """A record of an earlier version names plugin files only."""
    ahl("trust")
    record = tmp_path / "config" / "adapterhub_lite" / "trusted.json"
    assert list(json.loads(record.read_text())[str(stranger)]) == ["mine.py"]
    assert Home.find().plugin_folder is not None


def test_who_makes_a_home_trusts_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.init(tmp_path / "team", objects=str(tmp_path / "shared"))
    (home.path / "plugins").mkdir()
    (home.path / "plugins" / "x.py").write_text(PLUGIN)
    monkeypatch.chdir(home.path)
    assert Home.find().verify() == []
    assert Home.find().plugin_folder is None, "plugins that came later are not"


def test_places_inside_need_no_trust(stranger: Path) -> None:
    settings(stranger, objects=str(stranger / "weights"), database=f"sqlite:///{stranger}/x.db")
    shutil.copy(stranger / "registry.db", stranger / "x.db")
    assert ahl("verify").exit_code == 0


def odd_urls() -> list[str]:
    """Return URLs of what fsspec knows and no network is needed for, and of what it does not."""
    protocols = {"arrow_hdfs", "asyncwrapper", "async_wrapper", "dask", "data", "dir", "ftp", "git"}
    protocols |= {"generic", "libarchive", "reference", "tar", "zip"}
    assert protocols - {"arrow_hdfs"} <= set(fsspec.available_protocols())
    return [
        *(f"{protocol}://127.0.0.1:9/x" for protocol in sorted(protocols)),
        *("zip://", "zip://x.zip", "zip://x.zip::file:///nowhere", "reference://", "://"),
        *("simplecache::reference://x", "file://host/x", "nonsense://x", "1://x"),
    ]


@pytest.mark.parametrize("url", odd_urls())
def test_an_odd_store_ends_in_one_error(url: str) -> None:
    """Opening or the first question fails in our words, or it is a store."""
    with contextlib.suppress(AhlError):
        store = open_store(url)
        list(store.digests())
        store.leftovers()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host:port/x",
        "postgresql://[::1",
        "sqlite:///\0",
        "",
        "x",
        "zip://x",
        "sqlite://",
    ],
)
def test_an_odd_database_ends_in_one_error(url: str) -> None:
    with pytest.raises(AhlError):
        Registry(url)


def test_a_store_of_another_kind_of_archive_is_refused(stranger: Path) -> None:
    for url in ("zip://x.zip", "reference://"):
        settings(stranger, objects=url)
        result = ahl("--home", str(stranger), "verify")
        assert result.exit_code == UsageError.exit_code
        assert "is not an object store that can be used here" in result.stderr

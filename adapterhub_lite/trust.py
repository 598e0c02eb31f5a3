"""What of a home that was merely found may act: remembered by digest in the user's config folder.

A home above the working directory may have come with somebody else's archive.  Two things in it
have power beyond its folder: plugins, which are programs, and whatever keeps its database or its
objects elsewhere (`home.toml`, symbolic links): opening those contacts a host with the user's
credentials, and `gc` deletes there.  Both act only as the user has seen them: every Python file
below `plugins/` counts, `home.toml` and every link that leads out, and a change ends the trust.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from adapterhub_lite import digests, disk
from adapterhub_lite.errors import HomeError
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.foreign.text import command

FILE = "trusted.json"
SETTINGS = "home.toml"
DATABASE = "registry.db"
OBJECTS = "objects"

_LINK = "-> "
_PASSWORD = re.compile(r"(?<=//)([^:/@]*):.*@")
_READER = Reader(HomeError, hint="delete it and trust again")


def is_trusted(home: Path, folder: Path) -> bool:
    """Whether the files below `folder` are those that the user trusted for this home."""
    files = _plugins(folder)
    return bool(files) and _part(_remembered(home), plugins=True) == files


def difference(home: Path, folder: Path) -> str:
    """Return, in words, why the files below `folder` are not trusted for this home."""
    return _difference(_part(_remembered(home), plugins=True), _plugins(folder))


def check_reach(home: Path, part: str, url: str) -> None:
    """Raise `HomeError` if a found home keeps a part elsewhere and nobody has trusted that.

    Args:
        home: the home's folder.
        part: `DATABASE` or `OBJECTS`.
        url: where the home's settings say that it is.
    """
    reach = _reach(home, url)
    if not reach:
        return
    known = _part(_remembered(home), plugins=False)
    if all(known.get(name) == value for name, value in reach.items()):
        return
    name, value = next(iter(reach.items()))
    target = label(url) if name == SETTINGS else value.removeprefix(_LINK)
    what = "database" if part == DATABASE else "objects"
    raise HomeError(
        f"`{home / name}` puts the {what} of this home outside its folder, at `{target}`, and "
        f"{_difference({n: known[n] for n in reach if n in known}, reach)}",
        hint=f"look at it, then `ahl trust`; or name the home: {command('ahl', '--home', home)}",
    )


def remember(home: Path, folder: Path, urls: Mapping[str, str]) -> tuple[Path, ...]:
    """Trust plugin files, settings and links as they are now, and return them.

    Args:
        home: the home's folder.
        folder: its plugins.
        urls: where its database and objects are.

    Raises:
        HomeError: there is nothing that needs trust, or the config folder cannot be written.
    """
    plugins = _plugins(folder)
    reach = _reaches(home, urls)
    if not plugins and not reach:
        raise HomeError(
            f"nothing in `{home}` needs trust: it has no plugin files, and keeps nothing elsewhere",
            hint=f"put a `.py` file into `{folder}` first",
        )
    _write(home, {**plugins, **reach})
    return (*(folder / name for name in plugins), *(home / name for name in reach))


def remember_reach(home: Path, urls: Mapping[str, str]) -> None:
    """Trust the settings of a home that the user has just made; what is known of plugins stays."""
    reach = _reaches(home, urls)
    if reach:
        _write(home, {**_part(_remembered(home), plugins=True), **reach})


def label(url: str) -> str:
    """Return a URL without the password in it."""
    return _PASSWORD.sub(r"\1:***@", url)


def _difference(known: Mapping[str, str], files: Mapping[str, str]) -> str:
    if not known:
        return "this home was found, not named, and nobody has trusted its files"
    changes = [
        *(
            f"`{name}` changed"
            for name in sorted(known.keys() & files.keys())
            if known[name] != files[name]
        ),
        *(f"`{name}` is new" for name in sorted(files.keys() - known.keys())),
        *(f"`{name}` is gone" for name in sorted(known.keys() - files.keys())),
    ]
    return f"{', '.join(changes)} since the files were trusted"


def _plugins(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*.py") if p.is_file())
    return {p.relative_to(folder).as_posix(): digests.of_file(p) for p in files}


def _reaches(home: Path, urls: Mapping[str, str]) -> dict[str, str]:
    return {name: at for url in urls.values() for name, at in _reach(home, url).items()}


def _reach(home: Path, url: str) -> dict[str, str]:
    """Return what leads out of a home's folder to a part of it: settings by digest, links."""
    path = _path(url)
    linked = path is not None and path.is_symlink() and _inside(home, path.parent)
    if path is None or not (linked or _inside(home, path)):
        return {SETTINGS: digests.of_file(home / SETTINGS)} if (home / SETTINGS).is_file() else {}
    links = (p for p in _written(path) if p.is_symlink() and not _inside(home, p))
    return {_name(home, p): f"{_LINK}{p.resolve()}" for p in links}


def _name(home: Path, path: Path) -> str:
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)


def _written(path: Path) -> Iterator[Path]:
    """Yield what is written or removed at a path: the file and its logs, the folder and its own."""
    yield path
    for ending in ("-wal", "-shm", "-journal"):
        yield path.with_name(path.name + ending)
    if path.is_dir():
        with os.scandir(path) as entries:
            yield from sorted(Path(entry.path) for entry in entries if entry.is_symlink())


def _path(url: str) -> Path | None:
    """Return the path that a URL of a database or a store means on this machine, if it does."""
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///").partition("?")[0]).absolute()
    if url.startswith("file://"):
        from urllib.parse import unquote, urlsplit

        return Path(unquote(urlsplit(url).path)).absolute()
    return None if ":" in url.partition("/")[0] or "::" in url else Path(url).absolute()


def _inside(home: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(home.resolve())


def _part(known: Mapping[str, str], *, plugins: bool) -> dict[str, str]:
    return {
        name: value
        for name, value in known.items()
        if (name.endswith(".py") and not value.startswith(_LINK)) == plugins
    }


def _remembered(home: Path) -> dict[str, str]:
    known = _read().get(str(home.resolve()))
    if not isinstance(known, dict):
        return {}
    return {name: value for name, value in known.items() if isinstance(value, str)}


def _read() -> dict[str, dict[str, str]]:
    path = _place()
    try:
        known = _READER.json_file(path)
    except FileNotFoundError:
        return {}
    if not isinstance(known, dict) or not all(isinstance(files, dict) for files in known.values()):
        raise HomeError(f"`{path}` is no list of trusted files by home", hint=_READER.hint)
    return known


def _write(home: Path, files: Mapping[str, str]) -> None:
    known = {**_read(), str(home.resolve()): dict(files)}
    path = _place()
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with disk.refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        beside.replace(path)


def _place() -> Path:
    from platformdirs import user_config_path

    return user_config_path("adapterhub_lite", appauthor=False) / FILE

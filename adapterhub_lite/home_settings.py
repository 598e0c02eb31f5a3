"""`home.toml`: where a home's database and objects are, when they are not inside it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from adapterhub_lite import disk
from adapterhub_lite.errors import HomeError, near

FILE = "home.toml"


@dataclass(frozen=True, slots=True)
class HomeSettings:
    """URLs of the database (SQLAlchemy's) and the objects (fsspec's); `None`: inside the home."""

    database: str | None = None
    objects: str | None = None


def read(folder: Path) -> HomeSettings:
    """Return a home's settings; a home without `home.toml` has none."""
    path = folder / FILE
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return HomeSettings()
    except (OSError, ValueError) as error:
        raise HomeError(f"cannot read `{path}`: {error}") from None
    known = [field.name for field in fields(HomeSettings)]
    for key, value in values.items():
        if key not in known:
            raise HomeError(f"`{path}` has no setting `{key}`", hint=near(key, known))
        if not isinstance(value, str) or not value:
            raise HomeError(f"`{path}`: `{key}` must be a URL, found {value!r}")
    return HomeSettings(**values)


def create(folder: Path, wanted: HomeSettings) -> None:
    """Make the folder and write its settings, unless it has them already."""
    path = folder / FILE
    if read(folder) == wanted:
        _make(folder)
        return
    if path.exists() or (folder / "registry.db").exists():
        raise HomeError(
            f"`{folder}` is a home with other settings",
            hint=f"edit `{path}`, or make the new home elsewhere",
        )
    _make(folder)
    given = ((f.name, getattr(wanted, f.name)) for f in fields(wanted))
    text = "".join(f"{key} = {_quote(value)}\n" for key, value in given if value is not None)
    with disk.refusing(path):
        path.write_text(text, encoding="utf-8")


def _make(folder: Path) -> None:
    with disk.refusing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

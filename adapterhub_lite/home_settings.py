"""`home.toml`: where a home's database and objects are, when they are not inside it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from adapterhub_lite import disk
from adapterhub_lite.errors import HomeError, near
from adapterhub_lite.foreign.reading import Reader

FILE = "home.toml"
_READER = Reader(HomeError, one_line=True)


@dataclass(frozen=True, slots=True)
class HomeSettings:
    """URLs of the database (SQLAlchemy's) and the objects (fsspec's); `None`: inside the home."""

    database: str | None = None
    objects: str | None = None


def read(folder: Path) -> HomeSettings:
    """Return a home's settings; a home without `home.toml` has none."""
    path = folder / FILE
    try:
        values = _READER.toml_file(path)
    except FileNotFoundError:
        return HomeSettings()
    known = [field.name for field in fields(HomeSettings)]
    for key, value in values.items():
        if key not in known:
            raise HomeError(f"`{path}` has no setting `{key}`", hint=near(key, known))
        if not isinstance(value, str) or not value:
            raise HomeError(f"`{path}`: `{key}` must be a URL, found {value!r}")
    return HomeSettings(**values)


def check(folder: Path, settings: HomeSettings) -> None:
    """Raise `HomeError` if the folder is a home with other settings."""
    path = folder / FILE
    is_home = path.exists() or (folder / "registry.db").exists()
    if is_home and read(folder) != settings:
        raise HomeError(
            f"`{folder}` is a home with other settings",
            hint=f"edit `{path}`, or make the new home elsewhere",
        )


def create(folder: Path, settings: HomeSettings) -> None:
    """Make the folder and write its settings, unless it has them already."""
    check(folder, settings)
    _make(folder)
    if read(folder) == settings:
        return
    values = ((f.name, getattr(settings, f.name)) for f in fields(settings))
    text = "".join(f"{key} = {_quote(value)}\n" for key, value in values if value is not None)
    disk.write_whole(folder / FILE, text)


def _make(folder: Path) -> None:
    with disk.refusing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

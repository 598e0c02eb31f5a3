"""Which plugin files of which homes may run: remembered by digest in the user's config folder.

Plugins are programs.  A home that was merely found above the working directory may have come with
somebody else's archive, so its files run only as the user has seen them: every Python file below
`plugins/` counts, and a file that changes, comes or goes ends the trust.
"""

from __future__ import annotations

import json
from pathlib import Path

from adapterhub_lite import digests, disk
from adapterhub_lite.errors import HomeError
from adapterhub_lite.foreign.reading import Reader

FILE = "trusted.json"
_READER = Reader(HomeError, hint="delete it and trust again")


def is_trusted(home: Path, folder: Path) -> bool:
    """Whether the files below `folder` are those that the user trusted for this home."""
    files = _digests(folder)
    return bool(files) and _remembered().get(str(home.resolve())) == files


def difference(home: Path, folder: Path) -> str:
    """Return, in words, why the files below `folder` are not trusted for this home."""
    known, files = _remembered().get(str(home.resolve())), _digests(folder)
    if known is None:
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


def remember(home: Path, folder: Path) -> tuple[Path, ...]:
    """Trust the files below `folder` as they are now, and return them."""
    files = _digests(folder)
    if not files:
        raise HomeError(f"`{folder}` has no plugin files", hint="put a `.py` file there first")
    known = {**_remembered(), str(home.resolve()): files}
    path = _path()
    beside = path.with_suffix(".new")
    with disk.refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        beside.replace(path)
    return tuple(folder / name for name in files)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*.py") if p.is_file())
    return {p.relative_to(folder).as_posix(): digests.of_file(p) for p in files}


def _remembered() -> dict[str, dict[str, str]]:
    path = _path()
    try:
        known = _READER.json_file(path)
    except FileNotFoundError:
        return {}
    if not isinstance(known, dict) or not all(isinstance(files, dict) for files in known.values()):
        raise HomeError(f"`{path}` is no list of trusted files by home", hint=_READER.hint)
    return known


def _path() -> Path:
    from platformdirs import user_config_path

    return user_config_path("adapterhub_lite", appauthor=False) / FILE

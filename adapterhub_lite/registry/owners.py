"""Whose objects a store holds: which registries name what is in it.

A store inside a home is that home's.  Every home that keeps its objects elsewhere leaves a small
file in the store, so that no home takes the objects of another one for garbage.
"""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite import digests
from adapterhub_lite.errors import HomeError
from adapterhub_lite.foreign.reading import Reader

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

FOLDER = ".homes"
_READER = Reader(HomeError)


@dataclass(frozen=True, slots=True)
class Owner:
    """A home that uses a store: its folder, its registry and, if that is a file, the machine."""

    folder: str
    registry: str
    host: str = ""

    @property
    def key(self) -> str:
        """What tells registries apart; homes of one database are one owner."""
        return digests.of_json([self.registry, self.host])[: digests.SHORT]

    @property
    def vanished(self) -> bool:
        """Whether the home was on this machine and is not there any more."""
        return self.host == socket.gethostname() and not Path(self.folder).exists()

    def __str__(self) -> str:
        machine = f" on {self.host}" if self.host not in {"", socket.gethostname()} else ""
        return f"`{self.folder}`{machine}{' (not there any more)' if self.vanished else ''}"

    def dumps(self) -> str:
        """Return the text of the file in the store."""
        return json.dumps({"format": 1, **asdict(self)}, indent=2, sort_keys=True) + "\n"


def owner(folder: Path, url: URL) -> Owner:
    """Return the owner that a home is, by its folder and its database."""
    place = str(folder.resolve())
    if url.drivername == "sqlite":
        database = str(Path(url.database or "").resolve())
        return Owner(place, database, socket.gethostname())
    server = url.host or str(url.query.get("host", ""))
    return Owner(place, f"{url.drivername}://{server}:{url.port or 5432}/{url.database}")


def read(text: str, name: str) -> Owner:
    """Return the owner that a file in the store names; a damaged file is an owner as well."""
    try:
        values = _READER.json_object(text, name)
        parts = [values[key] for key in ("folder", "registry", "host")]
    except (KeyError, HomeError):
        parts = []
    if len(parts) == 3 and all(isinstance(part, str) for part in parts):
        return Owner(*parts)
    return Owner(f"{FOLDER}/{name}", "a file that cannot be read", "?")

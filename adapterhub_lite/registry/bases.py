"""What `verify` says of base models: the files that are here against the digests on record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite import base_files
from adapterhub_lite.errors import HomeError
from adapterhub_lite.registry.objects import Problem
from adapterhub_lite.registry.rows import BaseEntry

if TYPE_CHECKING:
    from adapterhub_lite.home import Home

_RESTORE = "restore the files, or `ahl add` the base under another name"


def problems(entries: Iterable[BaseEntry], home: Home) -> Iterator[Problem]:
    """Yield what is wrong with the bases whose files were recorded.  Nothing is downloaded."""
    for entry in entries:
        if entry.files:
            yield from _problems(entry, home)


def _problems(entry: BaseEntry, home: Home) -> Iterator[Problem]:
    name, place = entry.identity.name, home.place_of(entry)
    try:
        files = base_files.at(place)
        digests = files.digests() if files is not None else {}
    except HomeError as error:
        yield Problem("unreadable-base", name, f"base `{name}`: {error.message}", _RESTORE)
        return
    if files is not None:
        difference = base_files.difference(entry.files, digests)
        if difference is not None:
            yield Problem("wrong-base", name, f"base `{name}` at `{place}`: {difference}", _RESTORE)
    elif Path(place).is_absolute():  # a Hub id that was never loaded here is not a fault
        yield Problem("missing-base", name, f"base `{name}` is not at `{place}`", _RESTORE)

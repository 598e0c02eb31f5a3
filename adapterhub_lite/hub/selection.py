"""Which files of a listing are taken: by name, in a known layout, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from adapterhub_lite.errors import HubError
from adapterhub_lite.hub import content
from adapterhub_lite.hub.listing import Entry, Listing
from adapterhub_lite.hub.names import (
    CARD,
    OWN,
    PEER_CONFIGS,
    PEER_WEIGHTS,
    PICKLED,
    STACK,
    WITHOUT_CONFIG,
)

LARGEST = 2 << 30
"""Bytes that one pull may bring, unless the user allows more."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The files to take of an adapter, and whether they are in this package's own layout."""

    entries: tuple[Entry, ...]
    own: bool

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(entry.size for entry in self.entries)


def select(found: Listing, *, below: str = "", allow_pickle: bool = False) -> Selection:
    """Return the files of the one adapter at the top of a repository, or in a folder `below`.

    Raises:
        HubError: there is none, its weights are missing, or only pickled ones are there.
    """
    there = {p.removeprefix(below): e for p, e in found.files.items() if p.startswith(below)}
    if OWN[0] in there:
        return Selection(_own(found, there), own=True)
    if not any(name in there for name in (*PEER_CONFIGS, *WITHOUT_CONFIG)):
        raise _nothing(found)
    return Selection(tuple(_peer(found, there, allow_pickle=allow_pickle)), own=False)


def check_bounds(entries: Iterable[Entry], largest: int, what: str) -> None:
    """Refuse more bytes than were allowed, before anything is downloaded.

    Raises:
        HubError: with what it would be.
    """
    total = 0
    for entry in entries:
        is_text = entry.path.endswith((".json", ".md"))
        if is_text and entry.size > content.LARGEST_TEXT:
            raise HubError(
                f"`{entry.path}` of `{what}` has {entry.size} bytes, which no such file needs "
                f"(at most {content.LARGEST_TEXT} are read)"
            )
        total += entry.size
    if total > largest:
        raise HubError(
            f"`{what}` is {total / 1e6:.1f} MB, at most {largest / 1e6:.1f} MB are taken",
            hint="allow more with `--max-size MB`, if you expected that much",
            size=total,
        )


def _own(found: Listing, there: Mapping[str, Entry]) -> tuple[Entry, ...]:
    missing = [name for name in OWN if name not in there]
    if missing:
        raise HubError(f"`{found}` has `{OWN[0]}`, but no `{missing[0]}`")
    return tuple(there[name] for name in OWN)


def _peer(found: Listing, there: Mapping[str, Entry], *, allow_pickle: bool) -> list[Entry]:
    safe = [there[name] for name in (*PEER_CONFIGS, *PEER_WEIGHTS, CARD) if name in there]
    pickled = [n for n, twin in PICKLED.items() if n in there and twin not in there]
    if pickled and not allow_pickle:
        if any(name in there for name in PEER_WEIGHTS):
            pickled = []  # the safe file is enough; what is missing in it is found on import
        else:
            raise HubError(
                f"`{found.repo}` has only pickled weights (`{'`, `'.join(pickled)}`), which could "
                "run code",
                hint=f"`ahl pull {found.repo} --allow-pickle` reads them with torch's restricted "
                "loader and keeps them as safetensors",
            )
    if not pickled and not any(name in there for name in PEER_WEIGHTS):
        raise HubError(f"`{found}` has a config of an adapter, but no weights")
    return [*safe, *(there[name] for name in pickled)]


def _nothing(found: Listing) -> HubError:
    if STACK in found.files:
        return HubError(
            f"`{found.repo}` holds a whole stack",
            hint=f"`ahl pull --stack {found.repo}` takes all of it",
        )
    return HubError(
        f"`{found}` holds no adapter: neither `{OWN[0]}` nor `{PEER_CONFIGS[0]}` is there",
        hint="is it a base model? `--base` takes those by their Hub id",
    )

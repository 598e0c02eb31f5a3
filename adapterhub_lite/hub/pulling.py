"""`pull`: a repository's adapter into the home, after everything about it was checked.

Order: revision to commit, listing, selection by name, bounds, download, hashes, headers, import.
The first failure ends it, and the home is as before.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import is_offline_mode

from adapterhub_lite.adapter import Adapter, Source
from adapterhub_lite.errors import AhlError, HubError, RefError
from adapterhub_lite.hub import content, peers, seen
from adapterhub_lite.hub.connection import Connection, address_of, connect
from adapterhub_lite.hub.download import Download, Progress
from adapterhub_lite.hub.listing import Entry, Listing, listing
from adapterhub_lite.hub.names import OWN, RepoRef, parse_ref
from adapterhub_lite.hub.seen import Seen
from adapterhub_lite.hub.selection import LARGEST, check_bounds, select

if TYPE_CHECKING:
    from adapterhub_lite.exchange import Details
    from adapterhub_lite.home import Home


@dataclass(frozen=True, slots=True)
class Pulled:
    """An adapter that was pulled.

    `commit` is what the revision was; `fetched` is false where the home had it already; `offline`
    where nobody asked whether there is something newer.
    """

    adapter: Adapter
    repo: str
    revision: str
    commit: str
    fetched: bool = True
    offline: bool = False
    size: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """How a user wants a pull to be done; see `pull`."""

    name: str | None = None
    details: Details | None = None
    base: str | None = None
    allow_pickle: bool = False
    largest: int = LARGEST
    progress: Progress | None = None


def pull(
    repo: str,
    *,
    home: Home | str | Path,
    name: str | None = None,
    details: Details | None = None,
    base: str | None = None,
    allow_pickle: bool = False,
    largest: int = LARGEST,
    offline: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> Pulled:
    """Take the adapter of `OWNER/NAME[@REVISION]` into the home.

    A remote adapter of that Hub id is replaced by what was pulled, under the same name.

    Args:
        name: name here [default: the Hub id].
        details: of other libraries' adapters: what their files do not say.
        base: of other libraries' adapters: the base, where they name a local path.
        allow_pickle: read old `.bin` weights, if there are no others.
        largest: bytes that may come at most.
        offline: answer from what was pulled before.
        endpoint: address of the Hub [default: HF_ENDPOINT, else huggingface.co].
        token: token for that address.
        progress: called with file, bytes so far and bytes in all.

    Raises:
        HubError: not there, out of reach, or not to be trusted; says what is wrong.
        ExchangeError: another library's adapter that has no exact form here.
    """
    from adapterhub_lite.home import Home

    home = Home.find(home)
    wanted, address = parse_ref(repo), address_of(endpoint)
    if offline or is_offline_mode():
        return from_home(home, address, wanted)
    home.registry.check_writable()
    connection = connect(wanted, endpoint=endpoint, token=token)
    found = listing(connection, wanted)
    wish = Wish(name, details, base, allow_pickle, largest, progress)
    result = _already(home, address, wanted, found, wish) or _fetch(home, connection, found, wish)
    _settle(home, result.adapter, wanted.repo, wish)
    digests = (result.adapter.digest,)
    seen.remember(home.path, Seen(address, wanted.repo, found.commit, wanted.asked, digests))
    return _named(home, result, wanted)


def from_home(home: Home, address: str, wanted: RepoRef) -> Pulled:
    """Answer a pull from what was pulled before."""
    entry = seen.find(home.path, address, wanted.repo, wanted.asked)
    adapter = _present(home, entry)
    if entry is None or adapter is None:
        raise HubError(
            f"`{wanted}` was never pulled into this home, and this run is offline",
            hint=f"`ahl pull {wanted}` when the Hub can be reached",
        )
    return Pulled(adapter, wanted.repo, wanted.asked, entry.commit, fetched=False, offline=True)


def fetch(
    connection: Connection,
    found: Listing,
    entries: tuple[Entry, ...],
    folder: Path,
    *,
    below: str = "",
    progress: Progress | None = None,
) -> None:
    """Download files of a listing into a fresh folder and look into each."""
    Download(connection, found, progress).into(folder, entries, below=below)
    for entry in entries:
        content.check_file(folder / entry.path.removeprefix(below), entry.path)


def _fetch(home: Home, connection: Connection, found: Listing, wish: Wish) -> Pulled:
    known = remote(home, found.repo)
    if known is not None and OWN[0] not in found.files:
        peers.check_readable(known)
    chosen = select(found, allow_pickle=wish.allow_pickle)
    check_bounds(chosen.entries, wish.largest, str(found))
    name = wish.name or (known.name if known else found.repo)
    with tempfile.TemporaryDirectory(prefix="ahl-pull-") as scratch:
        folder = Path(scratch) / "adapter"
        folder.mkdir()
        fetch(connection, found, chosen.entries, folder, progress=wish.progress)
        if chosen.own:
            adapter, notes = home.add(folder, name=name), _unused(wish)
        else:
            adapter, notes = peers.take(
                folder,
                home=home,
                name=name,
                source=Source(found.repo, found.commit),
                details=wish.details,
                known=known,
                base=wish.base,
                allow_pickle=wish.allow_pickle,
            )
    return Pulled(
        adapter, found.repo, found.commit, found.commit, size=chosen.size, notes=tuple(notes)
    )


def _unused(wish: Wish) -> tuple[str, ...]:
    if wish.details is None and wish.base is None:
        return ()
    return (
        "the repository has its own manifest, so what was said of kind and languages is unused",
    )


def _already(
    home: Home, address: str, wanted: RepoRef, found: Listing, wish: Wish
) -> Pulled | None:
    """Return the adapter of this very commit, where the home has it and nothing else was said."""
    adapter = _present(home, seen.find(home.path, address, wanted.repo, found.commit))
    if adapter is None or wish.details is not None or wish.base is not None:
        return None
    return Pulled(adapter, wanted.repo, wanted.asked, found.commit, fetched=False)


def _present(home: Home, entry: Seen | None) -> Adapter | None:
    if entry is None or len(entry.digests) != 1 or entry.composition is not None:
        return None
    try:
        adapter = home.registry.get(entry.digests[0])
        home.folder_of(adapter)
    except AhlError:
        return None
    return adapter


def remote(home: Home, repo: str) -> Adapter | None:
    """Return the remote adapter that the registry knows by a Hub id."""
    try:
        named = home.registry.get(repo)
    except RefError:
        named = None
    if named is not None and named.remote:
        return named
    return next((a for a in home.registry.find(remote=True) if _hub_id(a) == repo), None)


def _hub_id(adapter: Adapter) -> str | None:
    source = adapter.manifest.source
    return source.hub_id if source else None


def _settle(home: Home, adapter: Adapter, repo: str, wish: Wish) -> None:
    """Let the names of a remote entry and the Hub id mean what was pulled; drop the entry."""
    registry = home.registry
    known = remote(home, repo)
    names = {repo, *((wish.name,) if wish.name else ())}
    if known is not None and known.digest != adapter.digest:
        names |= {known.name, *known.aliases}
    for name in sorted(names):
        if _meaning(home, name) != adapter.digest:
            registry.alias(name, adapter.digest)
    if known is not None and known.digest != adapter.digest:
        registry.remove(known.digest, force=True)


def _meaning(home: Home, name: str) -> str | None:
    try:
        return home.registry.get(name).digest
    except RefError:
        return None


def _named(home: Home, result: Pulled, wanted: RepoRef) -> Pulled:
    """Return the result with the adapter as the registry has it now."""
    adapter = home.registry.get(result.adapter.digest)
    return replace(result, adapter=adapter, revision=wanted.asked)

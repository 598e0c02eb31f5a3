"""Whole stacks: a composition with all that it was trained over, in one repository.

stack.json              a lock: the composition by digests, the base, each adapter's hashes
adapters/NAME/          one folder an adapter, as a repository of its own would have it
README.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from huggingface_hub import is_offline_mode

from adapterhub_lite import composition as compositions
from adapterhub_lite import lock as locks
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Adapter
from adapterhub_lite.digests import SHORT
from adapterhub_lite.errors import AhlError, HubError, RefError
from adapterhub_lite.hub import card, card_text, pulling, pushing, seen, staging
from adapterhub_lite.hub.card import Subject
from adapterhub_lite.hub.connection import Connection, address_of, connect
from adapterhub_lite.hub.download import Progress
from adapterhub_lite.hub.leaving import Part
from adapterhub_lite.hub.listing import Entry, Listing, listing
from adapterhub_lite.hub.names import (
    CARD,
    FOLDER,
    STACK,
    RepoRef,
    check_owned,
    is_folder_name,
    parse_ref,
)
from adapterhub_lite.hub.pushing import Parcel, Pushed, Wish
from adapterhub_lite.hub.seen import Seen
from adapterhub_lite.hub.selection import LARGEST, check_bounds, select
from adapterhub_lite.lock import Lock

if TYPE_CHECKING:
    from adapterhub_lite.home import Home

MOST_ADAPTERS = 200


@dataclass(frozen=True, slots=True)
class PulledStack:
    """A stack that was pulled: the composition to attach (refs are `name@digest`), and its parts.

    `lock` is what the repository says of it; offline it is `None`, and `ahl resolve --lock` or
    `lock.make` makes one.
    """

    composition: str
    adapters: tuple[Adapter, ...]
    repo: str
    revision: str
    commit: str
    lock: Lock | None = None
    offline: bool = False
    size: int = 0


def push_stack(
    composition: str,
    repo: str,
    *,
    home: Home | str | Path,
    private: bool | None = None,
    create_pr: bool = False,
    message: str | None = None,
    tags: Sequence[str] = (),
    with_card: bool = True,
    dry_run: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> Pushed:
    """Send a composition with everything it was trained over; see `push` for the rest.

    Args:
        composition: a ref, or `stack(a, b)` and the like.

    Raises:
        LockError: one of its adapters is remote.
        HubError: as for `push`.
    """
    from adapterhub_lite.home import Home

    home = Home.find(home)
    wish = Wish(
        private, create_pr, message, tuple(tags), with_card, dry_run, endpoint, token, progress
    )
    lock = locks.make(composition, home=home)
    adapters, missing = _everything(lock, home)
    with pushing.scratch() as folder:
        subjects, notes = _stage(adapters, home, folder, check_owned(repo))
        locks.write(lock, folder / STACK)
        if with_card:
            text = card_text.of_stack(subjects, lock.composition, repo)
            (folder / CARD).write_text(card.front_matter(subjects) + "\n" + text, encoding="utf-8")
        parcel = Parcel(
            staging.collect(folder),
            tuple(adapter.digest for adapter in adapters),
            f"Push a stack of {len(adapters)} adapters",
            tuple(Part(subject.below, subject.lacking) for subject in subjects),
            composition=lock.composition,
            notes=(*missing, *notes),
        )
        return pushing.send(parcel, repo, home=home, wish=wish)


def pull_stack(
    repo: str,
    *,
    home: Home | str | Path,
    largest: int = LARGEST,
    offline: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> PulledStack:
    """Take all adapters of a stack into the home, named `OWNER/NAME/ADAPTER`.

    All of them are checked before the first is added, and they are added in one transaction.

    Raises:
        HubError: no stack there, an adapter of it missing, or as for `pull`.
        LockError: `stack.json` cannot be read.
    """
    from adapterhub_lite.home import Home

    home = Home.find(home)
    wanted, address = parse_ref(repo), address_of(endpoint)
    if offline or is_offline_mode():
        return _from_home(home, address, wanted)
    home.registry.check_writable()
    connection = connect(wanted, endpoint=endpoint, token=token)
    found = listing(connection, wanted)
    chosen = dict(_folders(found))
    entries = (found.files[STACK], *(e for files in chosen.values() for e in files))
    check_bounds(entries, largest, str(found))
    with TemporaryDirectory(prefix="ahl-pull-") as outer:
        folder = Path(outer) / "stack"
        folder.mkdir()
        lock = _fetch(connection, found, entries, folder, progress)
        adapters = home.add_all(
            {f"{wanted.repo}/{name}": folder / FOLDER / name for name in chosen}
        )
    digests = tuple(adapter.digest for adapter in adapters)
    seen.remember(
        home.path,
        Seen(address, wanted.repo, found.commit, wanted.asked, digests, lock.composition),
    )
    size = sum(entry.size for entry in entries)
    composition = _readable(home, lock.composition)
    return PulledStack(
        composition, tuple(adapters), wanted.repo, wanted.asked, found.commit, lock, size=size
    )


# ---------------------------------------------------------------------------------------- push


def _everything(lock: Lock, home: Home) -> tuple[list[Adapter], tuple[str, ...]]:
    """Return the adapters of a lock and those underneath in training, bottom first, and notes."""
    found: dict[str, Adapter] = {}
    missing: list[str] = []

    def add(adapter: Adapter) -> None:
        if adapter.digest in found:
            return
        for under in (*adapter.manifest.trained_over, *adapter.manifest.seen):
            below = _local(home, under.digest)
            if below is not None:
                add(below)
            else:
                what = under.source or under.digest[:SHORT]
                missing.append(f"`{adapter.ref}` was trained over `{what}`, which is not here")
        found[adapter.digest] = adapter

    for locked in lock.adapters:
        add(home.registry.get(locked.digest))
    return list(found.values()), tuple(dict.fromkeys(missing))


def _local(home: Home, digest: str) -> Adapter | None:
    try:
        adapter = home.registry.get(digest) if digest else None
    except RefError:
        return None
    return None if adapter is None or adapter.remote else adapter


def _stage(
    adapters: Iterable[Adapter], home: Home, folder: Path, repo: str
) -> tuple[list[Subject], tuple[str, ...]]:
    subjects: list[Subject] = []
    notes: list[str] = []
    for adapter, name in _folder_names(adapters):
        below = f"{FOLDER}/{name}/"
        subject, own = staging.stage_adapter(adapter, home, folder, repo=repo, below=below)
        subjects.append(subject)
        notes += [f"{adapter.name}: {note}" for note in own]
    return subjects, tuple(notes)


def _folder_names(adapters: Iterable[Adapter]) -> Iterator[tuple[Adapter, str]]:
    taken: set[str] = set()
    for adapter in adapters:
        name = adapter.name.rpartition("/")[2]
        if not is_folder_name(name) or name.lower() in taken:
            name = f"{name.replace('..', '.').lstrip('._-')[:80]}-{adapter.digest[:SHORT]}"
        taken.add(name.lower())
        yield adapter, name


# ---------------------------------------------------------------------------------------- pull


def _folders(found: Listing) -> Iterator[tuple[str, tuple[Entry, ...]]]:
    """Yield the adapters of a stack: folder name and the files to take."""
    if STACK not in found.files:
        hint = f"`ahl pull {found.repo}` takes a single adapter"
        raise HubError(f"`{found}` holds no stack: it has no `{STACK}`", hint=hint)
    ending = f"/{manifests.FILE}"
    paths = [p for p in found.files if p.startswith(f"{FOLDER}/") and p.endswith(ending)]
    names = sorted(p.removeprefix(f"{FOLDER}/").removesuffix(ending) for p in paths)
    if len(names) > MOST_ADAPTERS:
        raise HubError(f"`{found}` lists {len(names)} adapters, at most {MOST_ADAPTERS} are taken")
    for name in names:
        if not is_folder_name(name):
            raise HubError(f"`{found}` has an adapter in a folder named {ascii(name)[:80]}")
        yield name, select(found, below=f"{FOLDER}/{name}/").entries


def _fetch(
    connection: Connection,
    found: Listing,
    entries: tuple[Entry, ...],
    folder: Path,
    progress: Progress | None,
) -> Lock:
    """Download a stack, and return its lock after finding every locked adapter among the files."""
    pulling.fetch(connection, found, entries, folder, progress=progress)
    lock = locks.read(folder / STACK)
    read = [manifests.read(path) for path in (folder / FOLDER).iterdir()]
    there = {str(manifests.digest(manifest)): manifest for manifest in read}
    lacking = [a for a in lock.adapters if a.digest not in there]
    lacking_refs = set(compositions.refs(lock.parsed())) - {a.digest for a in lock.adapters}
    if lacking or lacking_refs:
        what = lacking[0].name if lacking else min(lacking_refs)[:SHORT]
        raise HubError(f"`{found}` names the adapter `{what}` in its stack, but does not hold it")
    for locked in lock.adapters:
        locks.check_manifest(lock, locked, there[locked.digest])
    return lock


def _readable(home: Home, composition: str) -> str:
    parsed = compositions.parse(composition)
    return str(compositions.rename(parsed, lambda digest: home.registry.get(digest).ref))


def _from_home(home: Home, address: str, wanted: RepoRef) -> PulledStack:
    entry = seen.find(home.path, address, wanted.repo, wanted.asked)
    try:
        if entry is None or entry.composition is None:
            raise RefError(f"no stack `{wanted}`")
        adapters = tuple(home.registry.get(digest) for digest in entry.digests)
        for adapter in adapters:
            home.folder_of(adapter)
        composition = _readable(home, entry.composition)
    except AhlError:
        raise HubError(
            f"the stack `{wanted}` was never pulled into this home, and this run is offline",
            hint=f"`ahl pull --stack {wanted}` when the Hub can be reached",
        ) from None
    return PulledStack(composition, adapters, wanted.repo, wanted.asked, entry.commit, offline=True)

"""`rebuild`: a registry again from the manifests that objects carry.

A registry that passes its check only gets the records that it lacks, in one transaction.  For one
that does not, or that is gone, a new file is built beside it, from the objects and from what can
still be read of the old one, and takes its place in one step; the old file is kept.  Killed at any
point, the home has the old registry or the new one, and the same call ends the work.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adapterhub_lite import disk, names
from adapterhub_lite.adapter import Kind, Manifest
from adapterhub_lite.digests import SHORT
from adapterhub_lite.errors import ManifestError, RegistryError, UsageError
from adapterhub_lite.registry import opening, salvage, upkeep
from adapterhub_lite.registry.database import parsed
from adapterhub_lite.registry.failures import DamagedRegistryError
from adapterhub_lite.registry.objects import ObjectStore
from adapterhub_lite.registry.registry import Registry
from adapterhub_lite.registry.rows import Addition
from adapterhub_lite.registry.salvage import Salvaged

Fill = Callable[[Registry], object]
"""Adds what is not in the objects, such as the catalogue."""

_KEPT = ".damaged-"
_OTHERS = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Conflict:
    """An adapter that could not get the name it would have had, and the one that it got."""

    digest: str
    name: str
    instead: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did.

    `added` are the names of the adapters that got a record, by digest; `guessed` those among them
    whose name was made from the manifest; `unreadable` says which objects carry no sound manifest.
    `kept` is where the old file is.  `scores`, `bases`, `remote` count what was read of it, and
    `skipped` its rows that made no sense.
    """

    added: Mapping[str, str]
    guessed: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    unreadable: tuple[str, ...] = ()
    kept: Path | None = None
    scores: int = 0
    bases: int = 0
    remote: int = 0
    skipped: int = 0
    new_file: bool = False


def rebuild(
    url: Path | str,
    store: ObjectStore,
    *,
    hints: Mapping[str, str],
    fill: Fill | None = None,
) -> Rebuilt:
    """Make the registry at `url` name every object of `store`.

    Args:
        url: path of an SQLite file, or URL of a database, that is or was the registry.
        store: the objects.
        hints: names by digest that other files of the home know.
        fill: called with the registry before it is in place.

    Raises:
        RegistryError: a PostgreSQL database that is neither empty nor a sound registry.
        HomeError: the store or the registry cannot be written.
    """
    with store.cleaning():
        sound = _sound(url)
        if sound is None:
            return _anew(url, store, hints, fill)
        with sound:
            return _complete(sound, store, hints, fill)


def _sound(url: Path | str) -> Registry | None:
    """Return the registry if it is there and passes its check.

    Raises:
        RegistryError: it is another program's, of a newer format, locked or out of reach.
    """
    path = _file(url)
    if path is not None and not path.exists():
        return None
    try:
        registry = Registry(url)
    except DamagedRegistryError:
        return None
    if upkeep.check_registry(registry):
        registry.close()
        return None
    return registry


def _complete(
    registry: Registry, store: ObjectStore, hints: Mapping[str, str], fill: Fill | None
) -> Rebuilt:
    manifests, unreadable = _manifests(store, without=upkeep.needed(registry))
    additions, guessed, conflicts = _additions(manifests, Salvaged(), hints, set(registry.names()))
    registry.add_many(additions)
    if fill is not None:
        fill(registry)
    added = {digest: item.name for digest, item in zip(manifests, additions, strict=True)}
    return Rebuilt(added, guessed, conflicts, unreadable)


def _anew(
    url: Path | str, store: ObjectStore, hints: Mapping[str, str], fill: Fill | None
) -> Rebuilt:
    path = _file(url)
    if path is None:
        with _empty_database(str(url)) as registry:
            return _complete(registry, store, hints, fill)
    salvaged = salvage.read(_source(path))
    manifests, unreadable = _manifests(store, without=frozenset())
    additions, guessed, conflicts = _additions(manifests, salvaged, hints, set())
    added = {digest: item.name for digest, item in zip(manifests, additions, strict=True)}
    remote = [
        Addition(record.manifest, record.name, (), remote=True, added=record.added)
        for digest, record in sorted(salvaged.records.items())
        if record.remote and digest not in manifests
    ]
    fresh = _fresh(path)
    with Registry(fresh, create=True) as registry:
        registry.add_many([*remote, *additions])  # names of what is here win
        for base in salvaged.bases:
            registry.add_base(base.identity, base.location, base.files)
        registry.record_scores(salvaged.scores)
        if fill is not None:
            fill(registry)
    kept = _swap(fresh, path)
    return Rebuilt(
        added,
        guessed,
        conflicts,
        unreadable,
        kept=kept,
        scores=len(salvaged.scores),
        bases=len(salvaged.bases),
        remote=len(remote),
        skipped=salvaged.skipped,
        new_file=True,
    )


def _empty_database(url: str) -> Registry:
    """Make a registry in a database of a server that has no tables of ours."""
    try:
        return Registry(url, create=True)
    except DamagedRegistryError as error:
        raise RegistryError(
            error.message,
            hint="make a new database on the server, then a home on it with `ahl init NEW "
            "--database URL --objects FOLDER`, and rebuild that one: `ahl --home NEW rebuild`",
        ) from error


def _file(url: Path | str) -> Path | None:
    """Return the file of an SQLite registry."""
    if isinstance(url, Path):
        return url
    address = parsed(url)
    return Path(address.database or "") if address.drivername == "sqlite" else None


# ----------------------------------------------------------------------------------- records


def _manifests(
    store: ObjectStore, *, without: Iterable[str]
) -> tuple[dict[str, Manifest], tuple[str, ...]]:
    manifests: dict[str, Manifest] = {}
    unreadable = []
    for digest in sorted(set(store.digests()) - set(without)):
        try:
            manifests[digest] = store.manifest(digest)
        except ManifestError as error:
            unreadable.append(error.message)
    return manifests, tuple(unreadable)


def _additions(
    manifests: Mapping[str, Manifest],
    salvaged: Salvaged,
    hints: Mapping[str, str],
    taken: set[str],
) -> tuple[list[Addition], tuple[str, ...], tuple[Conflict, ...]]:
    """Return an addition for each manifest, what names were made up, and which were taken."""
    recorded = {digest: record.name for digest, record in salvaged.records.items()}
    certain = {d: recorded.get(d) or hints.get(d) or _origin(m) for d, m in manifests.items()}
    aliased = {name for digest in manifests for name in salvaged.names_of(digest)}
    additions, guessed, conflicts = {}, [], []
    order = sorted(manifests, key=lambda digest: (not recorded.get(digest), not certain[digest]))
    for digest in order:
        name = certain[digest] or guess(manifests[digest])
        own_names = salvaged.names_of(digest)
        free = _free(name, digest, (taken | aliased) - set(own_names))
        if free != name:
            conflicts.append(Conflict(digest, name, free))
        if not certain[digest]:
            guessed.append(free)
        taken.add(free)
        record = salvaged.records.get(digest)
        aliases = tuple(other for other in own_names if other != free)
        added = record.added if record else None
        additions[digest] = Addition(manifests[digest], free, aliases, added=added)
    return [additions[digest] for digest in manifests], tuple(guessed), tuple(conflicts)


def _free(name: str, digest: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return f"{name[: names.LONGEST - SHORT - 1]}-{digest[:SHORT]}"


def _origin(manifest: Manifest) -> str | None:
    """Return the Hub id that an adapter came from."""
    name = manifest.source.hub_id if manifest.source else ""
    try:
        return names.check_name(name)
    except UsageError:
        return None


def guess(manifest: Manifest) -> str:
    """Return the name that training gives an adapter of this kind, languages and task."""
    tags = "-".join(manifest.tags()) or "any"
    name = tags if manifest.task is None else f"{manifest.task}-{tags}"
    if manifest.kind is Kind.DOMAIN:
        name = f"domain-{name}"
    seed = manifest.training.seed if manifest.training else 0
    plain = _OTHERS.sub("-", f"{name}-seed{seed}" if seed else name).strip("-._")
    try:
        return names.check_name(plain[: names.LONGEST // 2])
    except UsageError:
        return "adapter"


# -------------------------------------------------------------------------------------- file


def _source(path: Path) -> Path:
    """Return the file to read the old records of: the kept one, if a killed call kept it."""
    for kept in sorted(path.parent.glob(f"{path.name}{_KEPT}*"), reverse=True):
        if path.exists() and kept.samefile(path):
            return kept
    return path


def _fresh(path: Path) -> Path:
    """Return the path of the new file, after removing what a killed call left of one."""
    fresh = path.with_name(f".{path.name}{disk.UNFINISHED}")
    with disk.refusing(fresh):
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh.exists() and fresh.stat().st_size:
            opening.check(fresh, create=True)  # another program's file of that name stays
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{fresh}{end}").unlink(missing_ok=True)
    return fresh


def _swap(fresh: Path, path: Path) -> Path | None:
    """Put the new file in the place of the old one, and return where that is kept.

    The old log has to go first: SQLite would take it for the new file's.
    """
    with disk.refusing(path):
        kept = _source(path)
        if kept == path:
            kept = path.with_name(f"{path.name}{_KEPT}{datetime.now(UTC):%Y%m%d-%H%M%S}")
            if path.exists():
                _link(path, kept)
        for end in ("-wal", "-journal"):
            log = Path(f"{path}{end}")
            if log.exists() and log.stat().st_size:
                log.replace(f"{kept}{end}")
            log.unlink(missing_ok=True)
        Path(f"{path}-shm").unlink(missing_ok=True)
        with fresh.open("rb") as stream:
            os.fsync(stream.fileno())
        fresh.replace(path)
        disk.sync_folder(path.parent)
    return kept if kept.exists() else None


def _link(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        beside = kept.with_name(f".{kept.name}{disk.UNFINISHED}")
        shutil.copy2(path, beside)
        beside.replace(kept)

"""Lock files: what an answer was, so exactly that attaching it gives the same model anywhere.

A lock names adapters by digest, which holds manifest and weights, and the base by fingerprint and
by the digests of its files: weights, tokenizer, config.  Attaching one compares all of it first and
fails with the first difference; what can change numbers only in the last digits (versions of torch
and transformers) is reported, not refused.  The file holds a digest of each of its fields, so that
an edit shows.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import base_files, checked_files, digests, disk, records
from adapterhub_lite import composition as compositions
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import (
    Adapter,
    BaseIdentity,
    Manifest,
    Provider,
    Source,
    WeightsFile,
)
from adapterhub_lite.base_files import BaseFiles
from adapterhub_lite.errors import AhlError, LockError, RefError
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.foreign.text import command
from adapterhub_lite.version import VERSION

if TYPE_CHECKING:
    from adapterhub_lite.composition import Composition
    from adapterhub_lite.home import Home
    from adapterhub_lite.registry import BaseEntry

FORMAT = 2
"""Number of the format that is written.  Format 1 had no digests of base files and of fields."""

LIBRARIES = ("torch", "transformers")


@dataclass(frozen=True, slots=True)
class LockedAdapter:
    """One adapter of a locked composition, the plugin that ran it, and where it can be had."""

    name: str
    digest: str
    method: str
    provider: Provider
    weights: WeightsFile
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """A composition by digests, with all that it needs.

    `base_files` are the digests of the base's files by name (`base_files.py`); empty where they
    were not known, which `uncovered` reports.  `request` and `strategy` say how the composition was
    found; they play no part in checking.
    """

    composition: str
    base: BaseIdentity
    adapters: tuple[LockedAdapter, ...]
    base_files: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    strategy: str = ""

    def parsed(self) -> Composition:
        """Return the composition; its refs are whole digests."""
        return compositions.parse(self.composition)


_READER = Reader(
    LockError, one_line=True, hint="`ahl resolve SOURCE TARGET --task TASK --lock FILE` writes one"
)


def make(
    composition: Composition | str,
    *,
    home: Home | str | Path,
    request: Mapping[str, Any] | None = None,
    strategy: str = "",
) -> Lock:
    """Return the lock of a composition (such as a `Resolution`'s).

    Raises:
        RefError: the home does not know one of its adapters.
        LockError: one is remote, so that there are no weights to lock.
    """
    from adapterhub_lite.home import Home

    home = Home.find(home)
    parsed = compositions.parse(str(composition))
    found = {ref: home.registry.get(ref) for ref in compositions.refs(parsed)}
    by_digest = compositions.rename(parsed, lambda ref: found[ref].digest)
    base = next(iter(found.values())).manifest.base
    entry = _entry(home, base)
    return Lock(
        composition=str(by_digest),
        base=base if base.fingerprint or entry is None else entry.identity,
        adapters=tuple({a.digest: _locked(a, home) for a in found.values()}.values()),
        base_files=_files(home, entry),
        versions=versions(),
        request=dict(request or {}),
        strategy=strategy,
    )


def _entry(home: Home, base: BaseIdentity) -> BaseEntry | None:
    """Return the base as the registry knows it best: adapters from elsewhere have its name only."""
    try:
        return home.registry.base(base.fingerprint or base.name)
    except RefError:
        return None


def _files(home: Home, entry: BaseEntry | None) -> Mapping[str, str]:
    """Return the digests that were recorded, else those of the files that are here."""
    if entry is None or entry.files:
        return entry.files if entry else {}
    files = base_files.at(home.place_of(entry))
    return files.digests() if files else {}


def _locked(adapter: Adapter, home: Home) -> LockedAdapter:
    manifest = adapter.manifest
    if adapter.remote or manifest.weights is None:
        source = manifest.source
        raise LockError(
            f"`{adapter.ref}` is remote: without its weights there is nothing to lock",
            hint=f"{command('ahl', 'pull', source.hub_id)}, then again" if source else None,
        )
    return LockedAdapter(
        name=adapter.name,
        digest=adapter.digest,
        method=manifest.method,
        provider=home.plugins().provider(manifest.method),
        weights=manifest.weights,
        source=manifest.source,
    )


def versions() -> dict[str, str]:
    """Return the versions that a lock records, without importing what they are of."""
    found = {"adapterhub_lite": VERSION}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write(lock: Lock, path: str | Path) -> Path:
    """Write a lock file, whole or not at all."""
    place = Path(path)
    values = records.plain(lock)
    values = {"lock": FORMAT, "fields": _digests(values), **values}
    text = json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True)
    disk.write_whole(place, text + "\n")
    return place


def read(path: str | Path) -> Lock:
    """Return the lock in a file.

    Raises:
        LockError: missing, not JSON, of a newer format, ill-typed, or edited; names the field.
    """
    place = Path(path)
    try:
        values = _READER.json_file(place)
    except FileNotFoundError:
        raise LockError(f"there is no lock file `{place}`", hint=_READER.hint) from None
    number = values.pop("lock", None) if isinstance(values, dict) else None
    if type(number) is not int or not 1 <= number <= FORMAT:
        found = "no lock number" if number is None else f"lock format {json.dumps(number)[:40]}"
        raise LockError(
            f"`{place}` has {found}, this version reads 1 to {FORMAT}",
            hint="upgrade, or lock again" if number else "is it a lock file?",
        )
    recorded = values.pop("fields", None)
    try:
        lock = records.reader(Lock)(values, "lock")
    except records.RecordError as error:
        raise LockError(f"`{place}`: {error.message}", hint=error.hint) from None
    assert isinstance(lock, Lock)
    _check_list(lock)
    if number > 1:
        _check_fields(recorded, values, place)
    return lock


def _digests(values: Mapping[str, Any]) -> dict[str, str]:
    """Return a digest of each field, and of each adapter in the list."""
    fields = {key: value for key, value in values.items() if key != "adapters"}
    listed = {f"adapters[{i}]": value for i, value in enumerate(values["adapters"])}
    return {key: digests.of_json(value) for key, value in (fields | listed).items()}


def _check_fields(recorded: object, values: Mapping[str, Any], place: Path) -> None:
    hint = "lock again: `ahl resolve SOURCE TARGET --task TASK --lock FILE`"
    if not isinstance(recorded, dict):
        raise LockError(f"`{place}` lacks `fields`, the digests of what was locked", hint=hint)
    fields = _digests(values)
    for name in sorted(recorded.keys() | fields.keys()):
        if name not in fields:
            raise LockError(f"`{place}` was edited: its `{name}` was taken out", hint=hint)
        if recorded.get(name) != fields[name]:
            change = "is not what was locked" if name in recorded else "was put in"
            raise LockError(f"`{place}` was edited: its `{name}` {change}", hint=hint)


def _check_list(lock: Lock) -> None:
    """Refuse a list of adapters that is not exactly that of the composition."""
    try:
        named = list(compositions.refs(lock.parsed()))
    except AhlError as error:
        raise LockError(f"the lock's composition cannot be read: {error.message}") from None
    listed = [adapter.digest for adapter in lock.adapters]
    for digest in named:
        if digest not in listed:
            raise LockError(
                f"the lock's composition names adapter `{digest[: digests.SHORT]}`, which its list "
                "of adapters lacks",
                hint="lock again: the composition or the list was edited",
            )
    for position, adapter in enumerate(lock.adapters):
        if adapter.digest not in named or adapter.digest in listed[:position]:
            how = "twice" if adapter.digest in named else "and its composition does not name it"
            raise LockError(
                f"the lock lists adapter `{adapter.name}@{adapter.digest[: digests.SHORT]}` {how}",
                hint="lock again: the composition or the list was edited",
            )


def check(lock: Lock, home: Home | str | Path) -> Composition:
    """Return the locked composition, after comparing all that the home has of it.

    Every byte of the weights is read.  The base is compared when it is attached to.

    Raises:
        LockError: the first difference: a composition that does not name exactly the adapters of
            the list; an adapter missing, remote, damaged, or not as the lock describes it; or a
            method that another plugin, or another version of it, provides here.
    """
    from adapterhub_lite.home import Home

    home = Home.find(home)
    _check_list(lock)
    for locked in lock.adapters:
        for difference in _differences(locked, lock.base, home):
            raise difference
    return lock.parsed()


def _differences(locked: LockedAdapter, base: BaseIdentity, home: Home) -> Iterator[LockError]:
    what = f"locked adapter `{locked.name}@{locked.digest[: digests.SHORT]}`"
    source = locked.source
    where = f"{source.hub_id}@{source.revision}" if source and source.revision else None
    hint = command("ahl", "pull", where or source.hub_id) if source and source.hub_id else None
    try:
        adapter = home.registry.get(locked.digest)
    except RefError:
        yield LockError(f"{what} is not in this home", hint=hint or "push and pull it, or add it")
        return
    if adapter.remote:
        yield LockError(f"{what} is remote: its weights are not here", hint=hint)
        return
    yield from _described(locked, base, adapter.manifest)
    found = checked_files.sha256(home.folder_of(adapter) / manifests.WEIGHTS)
    if found != locked.weights.sha256:
        yield LockError(
            f"{what} has other weights on disk: sha256 {found[:12]}, "
            f"locked {locked.weights.sha256[:12]}",
            hint="`ahl verify` lists damaged adapters",
        )
    provider = home.plugins().provider(locked.method)
    built_in = home.plugins().infos[provider.plugin].built_in
    if provider.plugin != locked.provider.plugin or not (built_in or provider == locked.provider):
        yield LockError(
            f"{what} needs method `{locked.method}` of plugin `{locked.provider.plugin}` "
            f"{locked.provider.version}, here it is `{provider.plugin}` {provider.version}",
            hint="install that version, or lock again after comparing results",
        )


def check_manifest(lock: Lock, locked: LockedAdapter, manifest: Manifest) -> None:
    """Raise `LockError` for the first thing that a lock says of an adapter and its manifest not."""
    for difference in _described(locked, lock.base, manifest):
        raise difference


def _described(
    locked: LockedAdapter, base: BaseIdentity, manifest: Manifest
) -> Iterator[LockError]:
    what = f"locked adapter `{locked.name}@{locked.digest[: digests.SHORT]}`"
    for name in ("method", "weights", "source"):
        ours, theirs = getattr(manifest, name), getattr(locked, name)
        if ours != theirs:
            yield LockError(
                f"{what} has {name} {_spelt(theirs)} in the lock, and {_spelt(ours)} in its record",
                hint="the lock was edited: lock again",
            )
    if not manifest.base.same_as(base):
        yield LockError(
            f"{what} was trained on base `{manifest.base.name}` "
            f"({manifest.base.fingerprint[: digests.SHORT]}), the lock is for `{base.name}` "
            f"({base.fingerprint[: digests.SHORT] or 'no fingerprint'})",
            hint="the lock was edited: lock again",
        )


def _spelt(value: object) -> str:
    if isinstance(value, WeightsFile):
        return f"SHA-256 {value.sha256[: digests.SHORT]} ({value.size} bytes)"
    if isinstance(value, Source):
        return f"`{value.hub_id}` (revision {value.revision or 'unknown'}, {value.format})"
    return "nothing" if value is None else f"`{value}`"


def check_base(lock: Lock, base: BaseIdentity, files: BaseFiles | None) -> None:
    """Raise `LockError` for the first thing in which a loaded base is not the locked one.

    Args:
        lock: what was locked.
        base: the identity of the loaded base.
        files: the files that it was loaded from.
    """
    for name in ("architecture", "hidden_size", "layers", "vocab_size", "fingerprint"):
        locked, found = getattr(lock.base, name), getattr(base, name)
        if locked and found != locked:
            raise LockError(
                f"the lock is for base `{lock.base.name}` with {name} {locked}, "
                f"`{base.name}` has {found}",
                hint=f"load the base `{lock.base.name}` as it was when this was locked",
            )

    if not lock.base_files:
        return
    if files is None:
        raise LockError(
            f"the lock covers the files of base `{lock.base.name}`, and this base was not loaded "
            "from files",
            hint=f"`load_base({lock.base.name!r}, home=home)` loads it",
        )
    difference = base_files.difference(lock.base_files, files.digests())
    if difference is not None:
        raise LockError(
            f"the lock is for base `{lock.base.name}`, `{files.folder}` is another: {difference}",
            hint=f"load the base `{lock.base.name}` as it was when this was locked",
        )


def uncovered(lock: Lock) -> list[str]:
    """Return what a lock does not cover, because nobody knew it when it was made."""
    if lock.base_files:
        return []
    base = f"the lock has no digests of the files of base `{lock.base.name}`: "
    if lock.base.fingerprint:
        return [f"{base}its tokenizer, config and all but a sample of its weights are not compared"]
    return [f"{base}the base is compared by its name and size only"]


def drift(lock: Lock) -> list[str]:
    """Return what is not as it was, of what may change the last digits of a result."""
    now = versions()
    return [
        f"{name} {version} when this was locked, {now.get(name, 'not installed')} now: the last "
        "digits of a result may differ"
        for name, version in lock.versions.items()
        if now.get(name) != version
    ]

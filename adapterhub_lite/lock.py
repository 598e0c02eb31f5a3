"""Lock files: what an answer was, so exactly that attaching it gives the same model anywhere.

A lock names adapters by digest, which holds manifest and weights, and the base by fingerprint.
Attaching one compares all of it first and fails with the first difference; what can change numbers
only in the last digits (versions of torch and transformers) is reported, not refused.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import composition as compositions
from adapterhub_lite import digests, disk, records
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Adapter, BaseIdentity, Provider, Source, WeightsFile
from adapterhub_lite.errors import LockError, RefError
from adapterhub_lite.foreign.text import command
from adapterhub_lite.version import VERSION

if TYPE_CHECKING:
    from adapterhub_lite.composition import Composition
    from adapterhub_lite.home import Home

FORMAT = 1
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

    `request` and `strategy` say how it was found; they play no part in checking.
    """

    composition: str
    base: BaseIdentity
    adapters: tuple[LockedAdapter, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    strategy: str = ""

    def parsed(self) -> Composition:
        """Return the composition; its refs are whole digests."""
        return compositions.parse(self.composition)


def make(
    composition: Composition | str,
    *,
    home: Home,
    request: Mapping[str, Any] | None = None,
    strategy: str = "",
) -> Lock:
    """Return the lock of a composition (such as a `Resolution`'s).

    Raises:
        RefError: the home does not know one of its adapters.
        LockError: one is remote, so that there are no weights to lock.
    """
    parsed = compositions.parse(str(composition))
    found = {ref: home.registry.get(ref) for ref in compositions.refs(parsed)}
    by_digest = compositions.rename(parsed, lambda ref: found[ref].digest)
    first = next(iter(found.values()))
    return Lock(
        composition=str(by_digest),
        base=_base(home, first.manifest.base),
        adapters=tuple({a.digest: _locked(a, home) for a in found.values()}.values()),
        versions=versions(),
        request=dict(request or {}),
        strategy=strategy,
    )


def _base(home: Home, base: BaseIdentity) -> BaseIdentity:
    """Return the base as the registry knows it best: adapters from elsewhere have its name only."""
    if base.fingerprint:
        return base
    try:
        return home.registry.base(base.name).identity
    except RefError:
        return base


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
    text = json.dumps(
        {"lock": FORMAT, **records.plain(lock)}, indent=2, ensure_ascii=False, sort_keys=True
    )
    with disk.refusing(place):
        beside = place.with_name(f".{place.name}.new")
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(place)
    return place


def read(path: str | Path) -> Lock:
    """Return the lock in a file.

    Raises:
        LockError: missing, not JSON, of a newer format, or ill-typed; names the field.
    """
    place = Path(path)
    try:
        values = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LockError(
            f"cannot read lock file `{place}`: {error}",
            hint="`ahl resolve SOURCE TARGET --task TASK --lock FILE` writes one",
        ) from None
    number = values.pop("lock", None) if isinstance(values, dict) else None
    if number != FORMAT:
        found = "no lock number" if number is None else f"lock format {number}"
        raise LockError(
            f"`{place}` has {found}, this version reads {FORMAT}",
            hint="upgrade, or lock again" if number else "is it a lock file?",
        )
    try:
        lock = records.reader(Lock)(values, "lock")
    except records.RecordError as error:
        raise LockError(f"`{place}`: {error.message}", hint=error.hint) from None
    assert isinstance(lock, Lock)
    return lock


def check(lock: Lock, home: Home) -> Composition:
    """Return the locked composition, after comparing all that the home has of it.

    Every byte of the weights is read.  The base is compared when it is attached to.

    Raises:
        LockError: the first difference: an adapter missing, remote, damaged, or a method that
            another plugin, or another version of it, provides here.
    """
    for locked in lock.adapters:
        for difference in _differences(locked, home):
            raise difference
    return lock.parsed()


def _differences(locked: LockedAdapter, home: Home) -> Iterator[LockError]:
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
    found = digests.of_file(home.folder_of(adapter) / manifests.WEIGHTS)
    if found != locked.weights.sha256:
        yield LockError(
            f"{what} has other weights on disk: sha256 {found[:12]}, "
            f"locked {locked.weights.sha256[:12]}",
            hint="`ahl verify` lists damaged adapters",
        )
    provider = home.plugins().provider(locked.method)
    if not home.plugins().infos[provider.plugin].built_in and provider != locked.provider:
        yield LockError(
            f"{what} needs method `{locked.method}` of plugin `{locked.provider.plugin}` "
            f"{locked.provider.version}, here it is `{provider.plugin}` {provider.version}",
            hint="install that version, or lock again after comparing results",
        )


def check_base(lock: Lock, base: BaseIdentity) -> None:
    """Raise `LockError` for the first thing in which a loaded base is not the locked one."""
    for name in ("architecture", "hidden_size", "layers", "vocab_size", "fingerprint"):
        locked, found = getattr(lock.base, name), getattr(base, name)
        if locked and found != locked:
            raise LockError(
                f"the lock is for base `{lock.base.name}` with {name} {locked}, "
                f"`{base.name}` has {found}",
                hint=f"load the base `{lock.base.name}` as it was when this was locked",
            )


def drift(lock: Lock) -> list[str]:
    """Return what is not as it was, of what may change the last digits of a result."""
    now = versions()
    return [
        f"{name} {version} when this was locked, {now.get(name, 'not installed')} now"
        for name, version in lock.versions.items()
        if now.get(name) != version
    ]

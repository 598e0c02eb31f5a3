"""Values to rows and back.

A manifest is immutable and known by its digest, so one that was read before is not parsed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from adapterhub_lite import digests, languages
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Adapter, BaseIdentity, Manifest, Role, Score
from adapterhub_lite.digests import Digest
from adapterhub_lite.errors import RegistryError, UsageError
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.foreign.text import command
from adapterhub_lite.names import check_name

macro = lru_cache(maxsize=10_000)(languages.macro)


@dataclass(frozen=True, slots=True)
class Addition:
    """An adapter to add: its manifest, its name here, and what else is known of it."""

    manifest: Manifest
    name: str
    aliases: tuple[str, ...] = ()
    remote: bool = False
    added: datetime | None = None

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            check_name(name)
        if self.added is not None:
            check_moment(self.added, "added")


@dataclass(frozen=True, slots=True)
class BaseEntry:
    """A base model that the registry knows; `location` is a path below the home or a Hub id.

    `files` are the digests of the files that decide its output, by name (`base_files.py`); empty
    for a base that was only named, or added by an earlier version.
    """

    identity: BaseIdentity
    location: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def check_moment(moment: datetime, what: str) -> datetime:
    """Return `moment` if it has a time zone; without one it means another time elsewhere."""
    if moment.tzinfo is None:
        raise UsageError(f"`{what}` needs a time zone, found {moment.isoformat()}")
    return moment


def spell(manifest: Manifest) -> tuple[Digest, str]:
    """Return a manifest's digest and the canonical text that the digest is of."""
    text = manifests.canonical(manifest)
    return digests.of_bytes(text.encode()), text


def adapter_row(
    addition: Addition, digest: Digest, text: str, base_id: int, now: datetime
) -> dict[str, Any]:
    """Return the columns of an adapter but its key; `now` is when it was added, if not said."""
    manifest = addition.manifest
    return {
        "digest": digest,
        "name": addition.name,
        "kind": str(manifest.kind),
        "base_id": base_id,
        "method": manifest.method,
        "config_digest": manifest.config_digest,
        "task": manifest.task,
        "dataset": manifest.dataset,
        "remote": addition.remote,
        "added": addition.added or now,
        "manifest": text,
    }


def language_rows(row: dict[str, Any], manifest: Manifest) -> list[dict[str, Any]]:
    """Return the rows of an adapter's languages; `row` is the adapter's own."""
    shared = {key: row[key] for key in ("kind", "base_id", "task")}
    return [
        {
            "adapter_id": row["id"],
            "position": position,
            "tag": use.tag,
            "macro": macro(use.tag),
            "role": str(use.role),
            **shared,
        }
        for position, use in enumerate(manifest.languages)
    ]


def adapter(row: Any, *, damaged: bool = False) -> Adapter:
    """Return the adapter of a row of `search.COLUMNS`; `damaged`: also one that was changed."""
    digest = digests.of_bytes(row.manifest.encode()) if damaged else row.digest
    others = sorted((row.aliases or "").split())
    return Adapter(
        digest=Digest(row.digest),
        name=row.name,
        manifest=parse(digest, row.manifest),
        added=row.added,
        aliases=tuple(others),
        remote=row.remote,
    )


READER = Reader(RegistryError, hint="`ahl verify` lists what is damaged")


@lru_cache(maxsize=4096)
def parse(digest: str, text: str) -> Manifest:
    """Return the manifest that a row's text spells.

    Raises:
        RegistryError: the text is no manifest, or not the one that `digest` is of; `ahl verify`
            shows all such rows.
    """
    record = f"the record of adapter {digest[: digests.SHORT]}"
    if digests.of_bytes(text.encode(errors="replace")) != digest:
        raise RegistryError(
            f"{record} was changed: its digest is now "
            f"{digests.of_bytes(text.encode(errors='replace'))[: digests.SHORT]}",
            hint="`ahl verify` lists what is damaged",
        )
    return manifests.from_json(READER.record(text, f"{record} is damaged"))


def check_columns(adapter: Adapter, asked: Mapping[str, Any], tags: Sequence[str] | None) -> None:
    """Raise `RegistryError` unless an adapter's manifest is what it was found by.

    Columns are copies of the manifest for searching, and no digest covers them: one that was edited
    must not put an adapter in another's place.
    """
    manifest = adapter.manifest
    for column in ("kind", "method", "task", "dataset"):
        if column in asked and getattr(manifest, column) != asked[column]:
            raise _wrong_column(adapter, column, asked[column], getattr(manifest, column))
    if tags is None:
        return
    roles = [Role(asked["role"])] if "role" in asked else []
    own = manifest.tags(*roles)
    if not any(tag in tags or macro(tag) in tags for tag in own):
        raise _wrong_column(adapter, "language", ", ".join(tags), ", ".join(own))


def _wrong_column(adapter: Adapter, column: str, found: str, manifest: str | None) -> RegistryError:
    return RegistryError(
        f"the registry's index has `{adapter.ref}` under {column} `{found}`, its manifest says "
        f"`{manifest}`: the registry was edited",
        hint=f"{command('ahl', 'remove', '--force', adapter.ref)}, and add it again",
    )


def base_row(identity: BaseIdentity) -> dict[str, Any]:
    """Return the columns that tell two bases apart."""
    return asdict(identity) | {"revision": identity.revision or ""}


def base_entry(row: Any) -> BaseEntry:
    """Return the entry of a base's row."""
    identity = BaseIdentity(
        name=row.name,
        architecture=row.architecture,
        hidden_size=row.hidden_size,
        layers=row.layers,
        vocab_size=row.vocab_size,
        fingerprint=row.fingerprint,
        revision=row.revision or None,
    )
    return BaseEntry(identity, row.location, _files(row))


def _files(row: Any) -> dict[str, str]:
    record = f"the record of base `{row.name}` is damaged: its files are no JSON object of digests"
    reader = Reader(RegistryError, hint="restore `registry.db` from a backup")
    files = reader.json_object(row.files or "{}", record)
    if not all(isinstance(digest, str) for digest in files.values()):
        raise RegistryError(record, hint=reader.hint)
    return files


def score_row(score: Score) -> dict[str, Any]:
    """Return the columns of a score, its identity first."""
    check_moment(score.when, "when")
    values = asdict(score)
    told_apart = {k: v for k, v in values.items() if k not in {"value", "n", "when", "origin"}}
    return {
        "identity": digests.of_json(told_apart),
        "composition_digest": digests.of_bytes(score.composition.encode()),
        **values,
    }

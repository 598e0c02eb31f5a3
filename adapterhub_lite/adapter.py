"""What is recorded of an adapter: the manifest, and the adapter as a registry knows it.

Plain frozen values without torch.  `manifest.py` turns them into `adapter.json` and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from adapterhub_lite import base_names, digests, records
from adapterhub_lite.digests import Digest

FORMAT = 1
"""Number of the manifest's format; a reader refuses a higher one."""

BUILT_IN = "built-in"
"""Format of an adapter's source where its weights are part of the base."""


class Kind(StrEnum):
    """What an adapter is for."""

    LANGUAGE = "language"
    BILINGUAL = "bilingual"
    TASK = "task"
    DOMAIN = "domain"


class Role(StrEnum):
    """What a language is to an adapter: its own, or one side of a pair."""

    LANGUAGE = "language"
    SOURCE = "source"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class LanguageUse:
    """A normalised BCP 47 tag and its role."""

    tag: str
    role: Role


@dataclass(frozen=True, slots=True)
class BaseIdentity:
    """A frozen base model, by what makes two of them the same or not.

    `fingerprint` is a digest over a fixed sample of the weights (`model/fingerprint.py`); it is
    empty for a remote adapter whose base was never loaded here, and then `name` decides.
    """

    name: str
    architecture: str
    hidden_size: int
    layers: int
    vocab_size: int
    fingerprint: str = ""
    revision: str | None = None

    def same_as(self, other: BaseIdentity) -> bool:
        """Whether both are the same weights: by fingerprint where both have one, else by name.

        An old short Hub id and the current one are one name (`base_names.py`).
        """
        if self.fingerprint and other.fingerprint:
            return self.fingerprint == other.fingerprint
        return base_names.current(self.name) == base_names.current(other.name)


@dataclass(frozen=True, slots=True)
class Provider:
    """The plugin (distribution or file) that provides a method, and its version."""

    plugin: str
    version: str


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """A head: its task type (`token-classification`, ...), labels in order, and its config."""

    type: str
    labels: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Underneath:
    """An adapter that was frozen underneath in training, with what decides what may replace it.

    `digest` identifies it; for a remote adapter that was never pulled it is empty and `source`
    (a Hub id) identifies it.  The other fields are copied so that a replacement can be judged even
    where the adapter itself is not in the registry.  `dropped` are layers (0-based) that the
    adapter has and that were left out while it was underneath (MAD-X 2.0): whatever stands in its
    place runs without them as well.
    """

    digest: str
    kind: Kind
    languages: tuple[LanguageUse, ...]
    method: str
    config_digest: str
    leave_out: tuple[int, ...] = ()
    source: str | None = None
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Parent:
    """One adapter that a merged adapter was made from, and its weight."""

    digest: str
    weight: float


@dataclass(frozen=True, slots=True)
class Corpus:
    """A training text or data set: its name, the SHA-256 of its bytes, how many examples."""

    name: str
    sha256: str
    examples: int
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """How an adapter was trained; `tokens` counts those that the loss or the trunk saw."""

    objective: str
    corpora: tuple[Corpus, ...]
    tokens: int
    steps: int
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of weights: SHA-256 and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where an adapter came from: Hub id, commit, and the layout it had there.

    The rest is of remote adapters.  `status` says how sure it is that the Hub has it: `verified`
    (its id was read in a public source), `derived` (its id follows from a naming rule), `vanished`
    (it was gone when last looked for).  `unknown` and `inferred` name fields of the manifest that
    only a pull can tell, and that no source states outright.  `weights` is the file there; its
    SHA-256 is empty where only a size is known.
    """

    hub_id: str
    revision: str | None = None
    format: str = "ahl"
    status: str | None = None
    unknown: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()
    weights: WeightsFile | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that is recorded of one adapter, and with the weights' digest its identity.

    `config` is the method's full config (every default written out); `leave_out` lists base layers
    (0-based) without adapter; `trained_over` is bottom first; `seen` holds the language adapters
    that training cycled through (target-ready adapters), of which any may be underneath.
    """

    kind: Kind
    languages: tuple[LanguageUse, ...]
    base: BaseIdentity
    method: str
    config: Mapping[str, Any]
    provider: Provider
    weights: WeightsFile | None = None
    leave_out: tuple[int, ...] = ()
    task: str | None = None
    dataset: str | None = None
    head: HeadSpec | None = None
    trained_over: tuple[Underneath, ...] = ()
    seen: tuple[Underneath, ...] = ()
    parents: tuple[Parent, ...] = ()
    training: Training | None = None
    licence: str | None = None
    authors: tuple[str, ...] = ()
    citation: str | None = None
    source: Source | None = None
    format: int = FORMAT

    @property
    def config_digest(self) -> Digest:
        """Digest of method and config: adapters that share it (and `leave_out`) can be averaged."""
        return _config_digest(self.method, records.config_text(self.config))

    @property
    def built_in(self) -> bool:
        """Whether the weights are the base's own: a language module of X-MOD."""
        return self.source is not None and self.source.format == BUILT_IN

    @property
    def base_by_name(self) -> bool:
        """Whether the base is known by its name only, so that no weights can be compared."""
        return not self.base.fingerprint and not self.built_in

    def tags(self, *roles: Role) -> tuple[str, ...]:
        """Return the language tags with one of `roles` (all, when none is given)."""
        return tuple(use.tag for use in self.languages if not roles or use.role in roles)


@lru_cache(maxsize=4096)
def _config_digest(method: str, config: str) -> Digest:
    """Return the digest of `{"config": config, "method": method}`, where `config` is JSON."""
    return digests.of_bytes(f'{{"config":{config},"method":{digests.canonical(method)}}}'.encode())


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as a registry knows it.  `remote` means: known, not on disk."""

    digest: Digest
    name: str
    manifest: Manifest
    added: datetime
    aliases: tuple[str, ...] = ()
    remote: bool = False

    @property
    def ref(self) -> str:
        """The ref that names exactly these weights: `name@digest`, shortened."""
        return f"{self.name}@{self.digest[: digests.SHORT]}"

    def base_note(self) -> str | None:
        """Return a sentence for an adapter whose base is known by its name only."""
        if not self.manifest.base_by_name:
            return None
        return (
            f"`{self.ref}` names its base `{self.manifest.base.name}` without a fingerprint: "
            "whether it was trained on these weights cannot be checked"
        )

    def underneath(self) -> Underneath:
        """Return the record that an adapter trained over this one keeps of it."""
        manifest = self.manifest
        return Underneath(
            digest=self.digest,
            kind=manifest.kind,
            languages=manifest.languages,
            method=manifest.method,
            config_digest=manifest.config_digest,
            leave_out=manifest.leave_out,
            source=manifest.source.hub_id if manifest.source else None,
        )


@dataclass(frozen=True, slots=True)
class Score:
    """One measured result of one composition.  Identity is everything but value, n, when, origin.

    `composition` is the composition's text with full digests for refs; `value` is in the metric's
    own unit (accuracy and F1: 0 to 1); `n` is the number of examples (words, names) it is over.
    """

    composition: str
    task: str
    dataset: str
    split: str
    language: str
    metric: str
    value: float
    n: int
    seed: int
    when: datetime
    origin: str = "ahl evaluate"
    source_language: str = ""

"""Candidates: which adapters could fill which slot, by narrow queries of the registry.

A slot is asked for by kind, base and language, never by reading the whole registry, so the cost
does not grow with it.  An exact tag comes first; an adapter of the same macrolanguage (`sw` for
`swh`) and a task adapter trained on several languages come with a note.  Modules built into the
base (X-MOD) are language adapters like others; related languages are in `relatives.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adapterhub_lite import languages
from adapterhub_lite.adapter import Adapter, BaseIdentity, Kind, Role, Underneath
from adapterhub_lite.digests import SHORT
from adapterhub_lite.errors import RefError
from adapterhub_lite.resolver.request import Request
from adapterhub_lite.resolver.resolution import Rejection

if TYPE_CHECKING:
    from adapterhub_lite.registry import Registry
    from adapterhub_lite.resolver.rules import Judge
    from adapterhub_lite.resolver.scores import Records

EXACT, REVERSED, MACRO, SEVERAL = range(4)
"""How far an adapter's languages are from those asked for; closer is better."""

UNRELATED = 99

FEW = 64
"""Bilingual adapters of one language that are read at once; with more, the other side is asked."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An adapter for a slot, how far it is from what was asked, and a note if it is not exact."""

    adapter: Adapter
    distance: int = EXACT
    note: str = ""

    @property
    def ref(self) -> str:
        """The adapter's ref."""
        return self.adapter.ref


@dataclass(slots=True)
class Pool:
    """All candidates for a request on one base that hold the rules for single adapters.

    `related`, `records` and `measured` are what `relatives.py`, `track.py` and `scores.py` have
    looked up so far; `problems` says which strategies of plugins failed.
    """

    request: Request
    base: BaseIdentity
    registry: Registry
    judge: Judge
    tasks: tuple[Candidate, ...] = ()
    pairs: tuple[Candidate, ...] = ()
    targets: tuple[Candidate, ...] = ()
    sources: tuple[Candidate, ...] = ()
    rejections: list[Rejection] = field(default_factory=list)
    related: dict[object, Any] = field(default_factory=dict)
    records: dict[str, float] | None = None
    measured: Records | None = None
    problems: list[str] = field(default_factory=list)
    _kept: dict[tuple[str, str | None], Candidate | str] = field(default_factory=dict)

    def admit(self, slot: str, found: Iterable[Candidate]) -> tuple[Candidate, ...]:
        """Return the candidates that hold the rules, and note the others' reasons."""
        admitted = []
        for candidate in found:
            broken = self.judge.adapter(candidate.adapter)
            if broken is None:
                admitted.append(candidate)
            else:
                self.rejections.append(Rejection(candidate.ref, slot, *broken))
        return tuple(admitted)

    def note(self, problem: str) -> None:
        """Keep what went wrong with a plugin, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def known(self) -> Iterable[Candidate]:
        """Return the candidates that may stand under a task adapter."""
        return (*self.pairs, *self.targets, *self.sources)

    def kept(self, under: Underneath) -> Candidate | str:
        """Return the very adapter that was underneath in training, or why it cannot be had."""
        key = (under.digest, under.source)
        if key not in self._kept:
            self._kept[key] = self._look_up(under)
        return self._kept[key]

    def _look_up(self, under: Underneath) -> Candidate | str:
        for candidate in self.known():
            if is_same(under, candidate.adapter):
                return candidate
        adapter = _by_digest(self.registry, under) or _by_source(self.registry, self.base, under)
        if adapter is None:
            return f"was trained over {self.describe(under)}, which this registry does not have"
        broken = self.judge.adapter(adapter)
        if broken is not None:
            return f"was trained over `{adapter.ref}`, which {broken[1]}"
        return Candidate(adapter)

    def describe(self, under: Underneath) -> str:
        """Return what to call an adapter that may not be in the registry."""
        for candidate in self.known():
            if is_same(under, candidate.adapter):
                return f"`{candidate.ref}`"
        tags = "-".join(use.tag for use in under.languages)
        what = f"the `{tags}` {under.kind} adapter" if tags else f"the {under.kind} adapter"
        return f"{what} `{under.source or under.digest[:SHORT]}`"


def is_same(under: Underneath, adapter: Adapter) -> bool:
    """Whether an adapter is the one underneath: by digest, by Hub id where there is none.

    A pulled adapter with a manifest of its own keeps it, and has the Hub id among its names.
    """
    if under.digest:
        return under.digest == adapter.digest
    source = adapter.manifest.source
    known = source is not None and under.source == source.hub_id
    return known or under.source in {adapter.name, *adapter.aliases}


def gather(request: Request, base: BaseIdentity, registry: Registry, judge: Judge) -> Pool:
    """Return the pool for a request on a base: one indexed query a slot."""
    pool = Pool(request, base, registry, judge)
    pool.targets = pool.admit("language", _languages(pool, request.targets))
    pool.sources = (
        pool.targets
        if request.source == request.target
        else pool.admit("language", _languages(pool, request.sources))
    )
    pool.pairs = pool.admit("bilingual", _pairs(pool))
    pool.tasks = pool.admit("task", task_candidates(request, registry, base))
    return pool


def task_candidates(
    request: Request, registry: Registry, base: BaseIdentity | None
) -> list[Candidate]:
    """Return the adapters for the task with labels in the source language."""
    found = registry.find(
        kind=Kind.TASK,
        task=request.task,
        base=base,
        language=(*request.sources, languages.MULTIPLE),
    )
    return _closest(
        Candidate(adapter, *_label_distance(adapter, request.source)) for adapter in found
    )


def _languages(pool: Pool, tags: Sequence[str]) -> list[Candidate]:
    found = pool.registry.find(kind=Kind.LANGUAGE, base=pool.base, language=tags)
    wanted = tags[0]
    return _closest(Candidate(adapter, *_language_distance(adapter, wanted)) for adapter in found)


def _pairs(pool: Pool) -> list[Candidate]:
    request = pool.request
    if request.source == request.target:
        return []
    candidates = (_pair(adapter, request) for adapter in _of_one_side(pool))
    return _closest(candidate for candidate in candidates if candidate is not None)


def _of_one_side(pool: Pool) -> list[Adapter]:
    """Return the bilingual adapters of the side that has few: English may have thousands."""
    for tags in (pool.request.targets, pool.request.sources):
        found = pool.registry.find(
            kind=Kind.BILINGUAL, base=pool.base, language=tags, limit=FEW + 1
        )
        if len(found) <= FEW:
            return found
    return pool.registry.find(kind=Kind.BILINGUAL, base=pool.base, language=pool.request.targets)


def _pair(adapter: Adapter, request: Request) -> Candidate | None:
    manifest = adapter.manifest
    first = manifest.tags(Role.SOURCE) or manifest.tags(Role.LANGUAGE)
    second = manifest.tags(Role.TARGET) or manifest.tags(Role.LANGUAGE)
    for direction, (labels, users) in ((EXACT, (first, second)), (REVERSED, (second, first))):
        source, note_source = _distance(labels, request.source)
        target, note_target = _distance(users, request.target)
        if UNRELATED in (source, target):
            continue
        notes = [note for note in (note_source, note_target) if note]
        if direction == REVERSED:
            notes.append(
                f"was made for {first[0]} -> {second[0]} and serves {request.pair}: it saw both "
                f"languages, but its checkpoint was chosen on `{second[0]}`"
            )
        return Candidate(adapter, direction + source + target, "; ".join(notes))
    return None


def _language_distance(adapter: Adapter, wanted: str) -> tuple[int, str]:
    """Return the distance of a language adapter; a merged one is further."""
    distance, note = _distance(adapter.manifest.tags(), wanted)
    parents = len(adapter.manifest.parents)
    if not parents or distance == UNRELATED:
        return distance, note
    return SEVERAL, f"is merged from {parents} adapters, and was not trained on `{wanted}`"


def _label_distance(adapter: Adapter, source: str) -> tuple[int, str]:
    tags = adapter.manifest.tags(Role.SOURCE, Role.LANGUAGE)
    distance, note = _distance(tags, source)
    if distance == UNRELATED and languages.MULTIPLE in tags:
        return SEVERAL, f"was trained on several languages, `{source}` may be among them"
    return distance, note


def _distance(tags: Sequence[str], wanted: str) -> tuple[int, str]:
    if wanted in tags:
        return EXACT, ""
    for tag in tags:
        if languages.macro(tag) == languages.macro(wanted):
            return MACRO, f"is for `{tag}`, of the same macrolanguage as `{wanted}`"
    return UNRELATED, ""


def _closest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return related candidates, closest first, so that order of insertion plays no part."""
    related = (candidate for candidate in candidates if candidate.distance < UNRELATED)
    return sorted(related, key=lambda c: (c.distance, c.adapter.name, c.adapter.digest))


def _by_digest(registry: Registry, under: Underneath) -> Adapter | None:
    try:
        return registry.get(under.digest) if under.digest else None
    except RefError:
        return None


def _by_source(registry: Registry, base: BaseIdentity, under: Underneath) -> Adapter | None:
    tags = [use.tag for use in under.languages]
    found = registry.find(kind=under.kind, base=base, language=tags or None)
    return next((adapter for adapter in found if is_same(under, adapter)), None)

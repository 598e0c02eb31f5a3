"""Relatives: adapters of languages related to the target, for when it has none of its own.

Which languages have adapters is asked first, by tags alone: all of a base's where they are few,
else those around the target in the family tree.  Of the nearest `CONSIDERED`, the adapters that
may stand where one stood in training are read by one query.  So the cost does not grow with the
registry, and a request that can have no use for relatives reads no facts about languages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapterhub_lite import facts, languages
from adapterhub_lite.adapter import Adapter, Kind, Underneath
from adapterhub_lite.relatedness import Level, Ranked, Relatedness, may_be_related, nearest, rank
from adapterhub_lite.resolver.candidates import Candidate, Pool
from adapterhub_lite.resolver.track import adapter_records, scores_elsewhere, source_records

MOST = 5
"""Members of an average: top five measured better than all (`docs/languages.md`)."""

CONSIDERED = 32
"""Related languages that are looked at, for as long as there are too few members."""

AT_ONCE = 8
"""Languages whose adapters are read by one query."""

FEW = 120
"""Language adapters on a base whose languages are listed outright."""

AROUND = 48
"""Languages of the family around the target that are asked for where a base has more."""

SHOWN = 10
"""Related languages that an answer carries."""

PER_LANGUAGE = 8
"""Adapters of one language that are read, by name, where there are more."""


@dataclass(frozen=True, slots=True)
class Relative:
    """An adapter of a related language, and its language's place."""

    candidate: Candidate
    ranked: Ranked

    @property
    def relatedness(self) -> Relatedness:
        """How related its language is to the target."""
        return self.ranked.relatedness

    @property
    def why(self) -> str:
        """Why it is there, as the end of a sentence."""
        told = f"related to the target ({self.relatedness.explain()})"
        if self.ranked.recorded is None:
            return told
        return f"{told}, {self.ranked.recorded:+.1f} standard deviations on other targets"


def relatives(pool: Pool, under: Underneath) -> tuple[Relative, ...]:
    """Return what may stand where `under` stood, the most promising first; `MOST` at most.

    One adapter a language; the target's own language is not among them.
    """
    key = (under.method, under.config_digest, under.leave_out)
    if key not in pool.related:
        pool.related[key] = _look_up(pool, under)
    found: tuple[Relative, ...] = pool.related[key]
    return found


def of_relatives(pool: Pool) -> list[Relatedness]:
    """Return the related languages that have an adapter on the base, the nearest first."""
    if None not in pool.related:
        target = pool.request.target
        tags = [tag for tag in _other_languages(pool) if may_be_related(target, tag)]
        pool.related[None] = [r for r in nearest(target, tags) if r.related][:CONSIDERED]
    found: list[Relatedness] = pool.related[None]
    return found


def looked_up(pool: Pool) -> tuple[Relatedness, ...]:
    """Return related languages with adapters, if a strategy asked for them; `SHOWN` at most."""
    return tuple(pool.related.get(None, ())[:SHOWN])


def _other_languages(pool: Pool) -> list[str]:
    """Return the languages of adapters on the base, but for the target's own."""
    own = languages.macro(pool.request.target)
    return [tag for tag in _tags(pool) if languages.macro(tag) != own]


def _tags(pool: Pool) -> Sequence[str]:
    registry, target = pool.registry, pool.request.target
    every = registry.tags_if_few(Kind.LANGUAGE, pool.base, FEW)
    if every is not None:
        return every
    around = (*facts.near_in_tree(target, AROUND), *facts.members(target))
    language = target.partition("-")[0]
    return registry.tags_among(Kind.LANGUAGE, pool.base, around, language=language)


def _look_up(pool: Pool, under: Underneath) -> tuple[Relative, ...]:
    near = [r.tag for r in of_relatives(pool)]
    if not near:
        return ()
    by_tag = _usable(pool, under, near)
    if not by_tag:
        return ()
    records = adapter_records(pool)
    best = {tag: min(found, key=lambda a: _key(a, records)) for tag, found in by_tag.items()}
    recorded = {tag: records[a.digest] for tag, a in best.items() if a.digest in records}
    ranked = rank(pool.request.target, best, recorded or _as_sources(pool))
    return tuple(Relative(_candidate(best[r.tag], r.relatedness), r) for r in ranked[:MOST])


def _as_sources(pool: Pool) -> dict[str, float]:
    """Return the records of languages as sources, for where no adapter has one."""
    target = pool.request.target
    scores = scores_elsewhere(pool.request.task, target, pool.registry)
    return source_records(target, scores) if scores else {}


def _usable(pool: Pool, under: Underneath, tags: Sequence[str]) -> dict[str, list[Adapter]]:
    """Return the adapters of each language that hold the rules and may stand there."""
    found: dict[str, list[Adapter]] = {}
    enough = 2 * MOST if adapter_records(pool) else MOST
    for at in range(0, len(tags), AT_ONCE):
        some = tags[at : at + AT_ONCE]
        for adapter in _read(pool, under, some):
            own = adapter.manifest.tags()
            fits = len(own) == 1 and own[0] in some and not adapter.manifest.parents
            if fits and not pool.judge.adapter(adapter) and not pool.judge.unlike(adapter, under):
                found.setdefault(own[0], []).append(adapter)
        if len(found) >= enough:
            break
    return found


def _read(pool: Pool, under: Underneath, tags: Sequence[str]) -> Iterable[Adapter]:
    def find(language: Sequence[str] | str, limit: int) -> list[Adapter]:
        return pool.registry.find(
            kind=Kind.LANGUAGE,
            base=pool.base,
            language=language,
            config_digest=under.config_digest,
            limit=limit,
        )

    most = PER_LANGUAGE * len(tags)
    found = find(tags, most + 1)
    if len(found) <= most:
        return found
    return [adapter for tag in tags for adapter in find(tag, PER_LANGUAGE)]


def _key(adapter: Adapter, records: dict[str, float]) -> tuple[float, float, float, str, str]:
    """Return what orders adapters of one language: record, tokens, newest, name."""
    training = adapter.manifest.training
    return (
        -records.get(adapter.digest, 0.0),
        -(training.tokens if training else 0),
        -adapter.added.timestamp(),
        adapter.name,
        adapter.digest,
    )


def _candidate(adapter: Adapter, relatedness: Relatedness) -> Candidate:
    target = "the target's language"
    notes = {
        Level.VARIANT: f"is for `{relatedness.tag}`: {target} in another script or region",
        Level.MACRO: f"is for `{relatedness.tag}`, of the same macrolanguage as {target}",
    }
    return Candidate(adapter, int(relatedness.level), notes.get(relatedness.level, ""))

"""Strategies for a target without a language adapter: from relatives and the source.

Their order is that of measured results (`docs/languages.md`).  An average of relatives did best;
the nearest relative alone did worse than no language adapter, so it comes last, where only a
recorded score lifts it, unless it is of the very language in another script or region, or of the
same macrolanguage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapterhub_lite.adapter import Kind, Underneath
from adapterhub_lite.relatedness import Level
from adapterhub_lite.resolver.candidates import Candidate, Pool
from adapterhub_lite.resolver.proposals import Proposal, Share, at_the_place, blend, places, swap
from adapterhub_lite.resolver.relatives import MOST, Relative, relatives
from adapterhub_lite.resolver.strategies import Strategy, foreign

UNDER_TASK = tuple[Candidate, Underneath, tuple[Relative, ...]]


class Variant(Strategy):
    """The target's language in another script or region, or another of its macrolanguage."""

    name = "variant"
    rank = 55
    spare = True
    claim = "the language adapter of the target's language in another form"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters over adapters of variants."""
        for task, under, near in _tasks(pool):
            for relative in near:
                if relative.relatedness.level <= Level.MACRO:
                    yield foreign(swap(self, pool, task, relative.candidate), (under,))


class RelatedAverage(Strategy):
    """The mean of the adapters of several relatives (Accou & Poelman 2026)."""

    name = "average"
    rank = 60
    spare = True
    claim = "the average of related languages' adapters, as the target has none of its own"
    advice = (
        "an average of relatives measured better than the source's adapter on named entities, and "
        "the same on parts of speech: measure it here with `ahl evaluate`"
    )

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters over the weighted mean of the most related languages' adapters."""
        for task, under, near in _tasks(pool):
            if len(near) > 1:
                shares = _shares(near)
                yield foreign(blend(self, pool, task, shares, MOST - len(shares)), (under,))


class HalfSource(Strategy):
    """Half the source's adapter, half the nearest relative's (Klimaszewski et al. 2025)."""

    name = "half-source"
    rank = 61
    spare = True
    claim = "half the source's language adapter, half that of the target's nearest relative"
    advice = "nothing here was trained on the target: measure it with `ahl evaluate`"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters over the mean of two adapters."""
        for task, under, near in _tasks(pool):
            source = _source(pool, under)
            other = next((r for r in near if source and not _same(r.candidate, source)), None)
            if source and other:
                shares = (
                    Share(source, 0.5, "the source's"),
                    Share(other.candidate, 0.5, other.why),
                )
                yield foreign(blend(self, pool, task, shares), (under,))


class Nearest(Strategy):
    """The nearest relative's adapter alone, which only a recorded score puts first."""

    name = "nearest-relative"
    rank = 65
    spare = True
    claim = "the language adapter of the target's nearest relative"
    advice = "a single relative's adapter measured worse than none, unless it is very close"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters over the nearest relative's adapter."""
        for task, under, near in _tasks(pool):
            yield from (
                foreign(swap(self, pool, task, relative.candidate), (under,))
                for relative in near[:1]
                if relative.relatedness.level > Level.MACRO
            )


FALLBACKS: list[Strategy] = [Variant(), RelatedAverage(), HalfSource(), Nearest()]
"""The strategies of this file; order plays no part, ranks do."""


def _tasks(pool: Pool) -> Iterator[UNDER_TASK]:
    """Yield task adapters over one language adapter, each with what may take its place."""
    if pool.request.source == pool.request.target:
        return
    for task in pool.tasks:
        stood = at_the_place(task)
        if not stood or len(places(task)) > 1:
            continue
        if all(under.kind is Kind.LANGUAGE for under in stood):
            for under in _by_config(stood):
                yield task, under, relatives(pool, under)


def _by_config(stood: Sequence[Underneath]) -> Iterator[Underneath]:
    """Yield one of those that a task adapter saw for each config; mostly they share one."""
    known = set()
    for under in stood:
        key = (under.method, under.config_digest, under.leave_out)
        if key not in known:
            known.add(key)
            yield under


def _source(pool: Pool, under: Underneath) -> Candidate | None:
    """Return the source's language adapter: the very one, else one like it."""
    kept = pool.kept(under)
    if isinstance(kept, Candidate):
        return kept
    alike = (c for c in pool.sources if pool.judge.unlike(c.adapter, under) is None)
    return next(alike, None)


def _same(one: Candidate, other: Candidate) -> bool:
    return one.adapter.digest == other.adapter.digest


def _shares(near: Sequence[Relative]) -> tuple[Share, ...]:
    """Return the members with weights in proportion to their scores, in hundredths, sum one."""
    whole = sum(r.relatedness.score for r in near)
    exact = [100 * r.relatedness.score / whole for r in near]
    parts = [int(value) for value in exact]
    by_rest = sorted(range(len(near)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_rest[: 100 - sum(parts)]:
        parts[i] += 1
    return tuple(
        Share(relative.candidate, part / 100, relative.why)
        for relative, part in zip(near, parts, strict=True)
    )

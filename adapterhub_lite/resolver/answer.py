"""From request to answer: candidates, rules, preferences, in that order.

Pure: it reads the registry and the methods, nothing else, so the same registry gives the same
answer.  A lock of an answer, and the gaps of many requests, are to be made from what it returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite import base_names
from adapterhub_lite.errors import NoResolutionError, UsageError
from adapterhub_lite.resolver import bases, guarding, lifts, refusal
from adapterhub_lite.resolver.candidates import Pool, gather, task_candidates
from adapterhub_lite.resolver.choices import (
    choices,
    pulls,
    scheme,
    schemes_without_task,
    warnings,
    why,
)
from adapterhub_lite.resolver.preferences import assumed, lost, order
from adapterhub_lite.resolver.proposals import Proposal
from adapterhub_lite.resolver.relatives import looked_up
from adapterhub_lite.resolver.request import Request
from adapterhub_lite.resolver.resolution import Alternative, Missing, Rejection, Resolution
from adapterhub_lite.resolver.rules import Judge
from adapterhub_lite.resolver.scores import Records, main_metric, recorded
from adapterhub_lite.resolver.sources import rank_sources
from adapterhub_lite.resolver.strategies import NoLanguageAdapter, Strategy

if TYPE_CHECKING:
    from adapterhub_lite.adapter import BaseIdentity
    from adapterhub_lite.home import Home
    from adapterhub_lite.plugins import Plugins
    from adapterhub_lite.registry import Registry


def resolve(
    source: str,
    target: str,
    *,
    task: str,
    base: str | None = None,
    home: Home | str | Path | None = None,
    dataset: str | None = None,
    method: str | None = None,
    licences: Iterable[str] = (),
    offline: bool = False,
    policy: str = "bilingual",
) -> Resolution:
    """Return what to run for labels in `source` and users in `target`, and why.

    Args:
        source: language of the labels (BCP 47).
        target: language of the text.
        task: the task's name, as its adapters are registered.
        base: name or fingerprint of the base model; left out, the only one that fits.
        home: a home or its path; left out, the one that `ahl` finds.
        dataset: only task adapters trained on it.
        method: only adapters of this method.
        licences: only adapters under one of these licences.
        offline: only adapters whose weights are on disk.
        policy: `bilingual`, `matched` or `scores`; see `request.POLICIES`.

    Raises:
        NoResolutionError: nothing fits; `resolution` says why and what would help.
        RefError: the base is unknown, or its name is that of several.
        UsageError: several bases fit and none was named.
    """
    from adapterhub_lite.home import Home

    request = Request(source, target, task, base, dataset, method, tuple(licences), offline, policy)
    place = home if isinstance(home, Home) else Home.find(home)
    return answer(request, place.registry, place.plugins())


def answer(
    request: Request,
    registry: Registry,
    plugins: Plugins,
    strategies: Sequence[Strategy] | None = None,
) -> Resolution:
    """Return the answer to a request from a registry; `strategies` are the plugins' if left out."""
    with registry.snapshot():
        return _answer(request, registry, plugins, strategies or plugins.strategies)


def _answer(
    request: Request, registry: Registry, plugins: Plugins, strategies: Sequence[Strategy]
) -> Resolution:
    base = bases.settle(request, registry, plugins)
    if base is None:
        raise _no_base(request, registry, plugins, strategies)
    pool = gather(request, base, registry, Judge(request, base, plugins))
    allowed, forbidden = judged(pool, strategies)
    rejections = (*pool.rejections, *forbidden)
    if allowed:
        notes = _other_bases(request, base, registry, plugins)
        return _resolution(allowed, rejections, strategies, notes)
    rejections = (*rejections, *refusal.of_other_bases(pool))
    ways = _askable(request, registry, plugins, strategies)
    raise refusal.refuse(pool, rejections, (*ways, *_missing(pool, None, strategies)))


def stacks(request: Request, registry: Registry, plugins: Plugins) -> list[Proposal]:
    """Return every stack that holds all rules, preferred first, whatever was measured of them.

    Fallbacks are among them even if the target has adapters of its own: they can be measured.
    """
    with registry.snapshot():
        base = bases.settle(request, registry, plugins)
        if base is None:
            return []
        pool = gather(request, base, registry, Judge(request, base, plugins))
        allowed, _ = judged(pool, plugins.strategies, spare=True)
        return assumed(allowed, Records(request))


def judged(
    pool: Pool, strategies: Sequence[Strategy], *, spare: bool = False
) -> tuple[list[Proposal], list[Rejection]]:
    """Return the proposals that hold all rules, one a composition, and the others' reasons.

    With `spare`, strategies that could change nothing are asked as well.
    """
    allowed: dict[str, Proposal] = {}
    forbidden = []
    policy = pool.request.policy
    secured = None
    for strategy in sorted(strategies, key=lambda s: s.rank_under(policy)):
        if strategy.spare and not spare:
            secured = _secured(pool, allowed.values()) if secured is None else secured
            if secured:
                continue
        for proposal in guarding.propose(strategy, pool):
            broken = pool.judge.stack(proposal)
            if broken is None:
                allowed.setdefault(proposal.digests, proposal)
            else:
                forbidden.append(_rejection(proposal, *broken))
    return list(allowed.values()), forbidden


def _secured(pool: Pool, allowed: Iterable[Proposal]) -> bool:
    """Whether one of these answers is left, whichever one adapter were not there.

    Then fallbacks after them could change nothing, and are not looked up; unless scores were
    recorded, which may lift any stack.
    """
    stacks = [{adapter.digest for adapter in proposal.adapters} for proposal in allowed]
    if not stacks or _measured(pool).by_composition:
        return False
    tasks = {task.adapter.digest for task in pool.tasks}
    return set.intersection(*stacks) <= (tasks if len(tasks) == 1 else set())


def _measured(pool: Pool) -> Records:
    if pool.measured is None:
        pool.measured = recorded(pool.request, pool.registry, lambda: main_metric(pool))
    return pool.measured


def _rejection(proposal: Proposal, rule: str, reason: str) -> Rejection:
    others = tuple(adapter.ref for adapter in proposal.adapters[:-1])
    return Rejection(proposal.task.ref, "task", rule, reason, proposal.strategy.name, others)


def _resolution(
    allowed: list[Proposal],
    rejections: tuple[Rejection, ...],
    strategies: Sequence[Strategy],
    notes: tuple[str, ...],
) -> Resolution:
    pool = allowed[0].pool
    records = _measured(pool)
    winner, *others = order(allowed, records)
    tried = [proposal.strategy for proposal in allowed]
    missing = _missing(pool, winner, [s for s in strategies if s not in tried])
    return Resolution(
        request=pool.request,
        base=pool.base,
        composition=winner.composition,
        strategy=winner.strategy.name,
        why=why(winner, allowed, records),
        choices=choices(winner),
        rejections=rejections,
        warnings=(*warnings(winner, allowed), *pool.problems),
        alternatives=tuple(_alternative(winner, other, records) for other in others),
        missing=missing,
        pulls=pulls(winner),
        relatives=looked_up(pool),
        scheme=scheme(winner),
        notes=(*schemes_without_task(winner), *notes),
    )


def _other_bases(
    request: Request, base: BaseIdentity, registry: Registry, plugins: Plugins
) -> tuple[str, ...]:
    """Say which other bases fit a request that named none."""
    if request.base is not None:
        return ()
    fitting = bases.fitting(request, registry, plugins)
    names = [other.name for other in fitting if not other.same_as(base)]
    if not names:
        return ()
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    known = f"adapters for {request.task} with labels in {request.source} are known for"
    return (f"other {known} {', '.join(names[:3])}{more}: `--base` chooses",)


def _alternative(winner: Proposal, other: Proposal, records: Records) -> Alternative:
    return Alternative(
        composition=other.composition,
        strategy=other.strategy.name,
        lost=lost(winner, other, records),
        warnings=other.warnings,
    )


def _missing(
    pool: Pool, winner: Proposal | None, strategies: Sequence[Strategy]
) -> tuple[Missing, ...]:
    """Return what would lift the answer, the fewest commands first."""
    policy = pool.request.policy
    rank = winner.strategy.rank_under(policy) if winner else None
    better = [s for s in strategies if rank is None or s.rank_under(policy) < rank]
    found = [guarding.lift(s, pool) for s in sorted(better, key=lambda s: s.rank_under(policy))]
    return tuple(sorted((m for m in found if m), key=lambda m: len(m.commands)))


def _askable(
    request: Request, registry: Registry, plugins: Plugins, strategies: Sequence[Strategy]
) -> list[Missing]:
    """Return the changes of a request that do give an answer: each is tried."""
    changes = lifts.relaxed(request) or _elsewhere(request, registry, plugins)
    found = []
    for what, change in changes:
        changed = replace(request, **change)  # type: ignore[arg-type]  # fields of Request
        strategy = _tried(changed, registry, plugins, strategies)
        if strategy is not None:
            found.append(lifts.asking(request, strategy, what, change))
    return found


def _elsewhere(
    request: Request, registry: Registry, plugins: Plugins
) -> list[tuple[str, dict[str, object]]]:
    """Return changes to another base, and to labels in another language."""
    known = refusal.known_sources(request, registry, None)
    others = bases.fitting(replace(request, base=None), registry, plugins) if request.base else []
    asked = base_names.current(request.base or "")
    likeliest = bases.likeliest_first(others, request, registry)
    names = [name for name in likeliest if base_names.current(name) != asked][:3]
    tasks = refusal.near_tasks(request, registry)
    sources = rank_sources(request.target, known, task=request.task, registry=registry)
    return [
        *[_change(f"base {name} instead", base=name) for name in names],
        *[_change(f"labels in {r.tag} instead", source=r.tag) for r in sources[:3]],
        *[_change(f"task {task} instead", task=task) for task in tasks],
    ]


def _change(what: str, **changes: object) -> tuple[str, dict[str, object]]:
    return what, changes


def _tried(
    request: Request, registry: Registry, plugins: Plugins, strategies: Sequence[Strategy]
) -> str | None:
    """Return the strategy that would answer a request, if one does."""
    try:
        base = bases.settle(request, registry, plugins)
    except UsageError:
        base = None
    if base is None:
        return None
    pool = gather(request, base, registry, Judge(request, base, plugins))
    allowed, _ = judged(pool, strategies)
    return order(allowed, _measured(pool))[0].strategy.name if allowed else None


def _no_base(
    request: Request, registry: Registry, plugins: Plugins, strategies: Sequence[Strategy]
) -> NoResolutionError:
    """Return the refusal where no base has a usable adapter for the task."""
    judge = Judge(request, None, plugins)
    rejections = []
    for candidate in task_candidates(request, registry, None):
        broken = judge.adapter(candidate.adapter)
        if broken is not None:
            rejections.append(Rejection(candidate.ref, "task", *broken))
    alone = lifts.task_alone(request, None, NoLanguageAdapter.name)
    missing = (*_askable(request, registry, plugins, strategies), alone)
    return refusal.refuse_task(request, registry, tuple(rejections), missing)

"""What there is to compare: compositions by strategy, one for each seed of the task adapter.

The columns of the papers (`STRATEGIES`) follow from what the task adapters were trained over.  All
others are what the resolver would answer: its fallbacks for a target without an adapter, modules
built into the base, strategies of plugins.  Names are the resolver's, in every command.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adapterhub_lite.adapter import Adapter, Kind, Role
from adapterhub_lite.composition import Composition, Ref, Stack, parse, rename
from adapterhub_lite.errors import NoResolutionError, RefError, UsageError, near
from adapterhub_lite.evaluation.measure import FULL
from adapterhub_lite.resolver import Request, answer
from adapterhub_lite.resolver.answer import stacks

if TYPE_CHECKING:
    from adapterhub_lite.evaluation.measure import Tuned
    from adapterhub_lite.home import Home
    from adapterhub_lite.model.base import Base
    from adapterhub_lite.resolver.proposals import Proposal


@dataclass(frozen=True, slots=True)
class Slots:
    """What there is for one task adapter and one target."""

    task: Adapter
    below: Adapter | None
    source: str
    target: str
    languages: Sequence[Adapter]
    bilinguals: Sequence[Adapter]


@dataclass(frozen=True, slots=True)
class Row:
    """What to measure on one target: by strategy, one thing for each seed.

    `resolved` is what `ahl resolve` answers, by whole digests, if that is on disk.
    """

    columns: Mapping[str, Sequence[Composition | Tuned]] = field(default_factory=dict)
    resolved: str = ""


def _none(slots: Slots) -> Composition | None:
    manifest = slots.task.manifest
    return Ref(slots.task.digest) if not manifest.trained_over and not manifest.seen else None


def _source_kept(slots: Slots) -> Composition | None:
    return _over(slots, slots.below) if _over_source(slots) else None


def _mad_x(slots: Slots) -> Composition | None:
    if not _over_source(slots) or slots.target == slots.source:
        return None
    return _over(slots, _fitting(slots, slots.languages))


def _target_ready(slots: Slots) -> Composition | None:
    seen = {underneath.digest for underneath in slots.task.manifest.seen}
    return _over(slots, next((a for a in slots.languages if a.digest in seen), None))


def _bad_x(slots: Slots) -> Composition | None:
    below = slots.below
    if below is None or below.manifest.kind is not Kind.BILINGUAL:
        return None
    matches = set(below.manifest.tags()) == {slots.source, slots.target}
    return _over(slots, below) if matches else None


def _bilingual(slots: Slots) -> Composition | None:
    return _over(slots, _fitting(slots, slots.bilinguals)) if _over_source(slots) else None


STRATEGIES: dict[str, Callable[[Slots], Composition | None]] = {
    "no-language-adapter": _none,
    "source-kept": _source_kept,
    "mad-x": _mad_x,
    "target-ready": _target_ready,
    "bad-x": _bad_x,
    "bilingual": _bilingual,
}
"""The columns of every table, in this order; those of the resolver's other strategies follow."""

_OLD_NAMES = {"bilingual-other-task-adapter": "bilingual"}


def canonical(name: str) -> str:
    """Return a strategy's name as every command spells it, from `MAD-X`, `source kept`, ...."""
    spelt = re.sub(r"[\s,_]+", "-", name.strip().casefold())
    return _OLD_NAMES.get(spelt, spelt)


def known(home: Home) -> tuple[str, ...]:
    """Return the names of all strategies, in the order of the columns."""
    others = (strategy.name for strategy in reversed(home.plugins().strategies))
    return (*STRATEGIES, *(name for name in others if name not in STRATEGIES), FULL)


def checked(names: Sequence[str], home: Home) -> tuple[str, ...]:
    """Return strategies by their names in every command.

    Raises:
        UsageError: one that there is not.
    """
    strategies = known(home)
    for name in names:
        if canonical(name) not in strategies:
            raise UsageError(f"no strategy `{name}`", hint=near(canonical(name), strategies))
    return tuple(map(canonical, names))


def _over(slots: Slots, below: Adapter | None) -> Composition | None:
    return Stack(Ref(below.digest), Ref(slots.task.digest)) if below is not None else None


def _over_source(slots: Slots) -> bool:
    below = slots.below
    return (
        below is not None
        and below.manifest.kind is Kind.LANGUAGE
        and below.manifest.tags() == (slots.source,)
    )


def _fitting(slots: Slots, candidates: Sequence[Adapter]) -> Adapter | None:
    """Return a candidate of the shape of what is below now; of the task adapter's seed, if any."""
    assert slots.below is not None
    below = slots.below.manifest
    fitting = [
        a
        for a in candidates
        if (a.manifest.config_digest, a.manifest.leave_out)
        == (below.config_digest, below.leave_out)
        and not a.manifest.built_in
    ]
    return min(
        fitting, key=lambda a: (_seed(a) != _seed(slots.task), _seed(a), a.name), default=None
    )


def _seed(adapter: Adapter) -> int:
    return adapter.manifest.training.seed if adapter.manifest.training else 0


def base_of(home: Home, task: str, source: str) -> str:
    """Return the base that the home's adapters for a task are on, if they agree.

    Raises:
        UsageError: they do not, or there are none.
    """
    names = {a.manifest.base.name for a in _task_adapters(home, task, source)}
    if len(names) != 1:
        bases = ", ".join(sorted(names)) or "none"
        raise UsageError(f"which base? adapters for `{task}` here are on: {bases}")
    return names.pop()


def _task_adapters(home: Home, task: str, source: str, **filters: Any) -> list[Adapter]:
    return home.registry.find(
        kind=Kind.TASK, task=task, language=source, role=Role.SOURCE, remote=False, **filters
    )


def to_measure(
    home: Home,
    base: Base,
    *,
    task: str,
    source: str,
    target: str,
    full: Sequence[Tuned],
    strategies: Collection[str] | None = None,
) -> Row:
    """Return what to measure on a target: where a seed has several adapters, the newest.

    Args:
        home: where the adapters are.
        base: what they are attached to.
        task: the task's name.
        source: language of the labels.
        target: language of the texts.
        full: fully fine-tuned models, the last column.
        strategies: only these columns, also those that the table leaves out by itself.
    """
    adapters = _task_adapters(home, task, source, base=base.identity)
    if not adapters:
        return Row({FULL: list(full)}) if full else Row()
    identity = base.identity
    request = Request(source, target, task, identity.fingerprint or identity.name, offline=True)
    resolved = _resolved(request, home)
    columns = _of_papers(home, base, adapters, source, target)
    _add_proposals(columns, stacks(request, home.registry, home.plugins()), strategies, target)
    if resolved is not None:
        strategy, digests, seed = resolved
        if not any(digests == str(c) for column in columns.values() for c in column.values()):
            columns[strategy][seed] = parse(digests)
    runs: dict[str, list[Composition | Tuned]] = {
        name: [columns[name][seed] for seed in sorted(columns[name])]
        for name in known(home)
        if name in columns and (strategies is None or name in strategies)
    }
    if full and (strategies is None or FULL in strategies):
        runs[FULL] = list(full)
    return Row(runs, resolved[1] if resolved else "")


_Columns = defaultdict[str, dict[int, Composition]]


def _of_papers(
    home: Home, base: Base, adapters: Sequence[Adapter], source: str, target: str
) -> _Columns:
    """Return the columns of `STRATEGIES`, for each seed."""
    columns: _Columns = defaultdict(dict)
    for adapter in sorted(adapters, key=lambda a: (a.added, a.digest)):
        slots = _slots(home, base, adapter, source, target)
        for name, strategy in STRATEGIES.items():
            composition = strategy(slots)
            if composition is not None:
                columns[name][_seed(adapter)] = composition
    return columns


def _add_proposals(
    columns: _Columns,
    proposals: Sequence[Proposal],
    strategies: Collection[str] | None,
    target: str,
) -> None:
    """Add what the resolver would answer by its other strategies.

    Fallbacks (averages of relatives) are for targets without an adapter; where a strategy's first
    choice is in a column of the papers, it gets none of its own.  Both are measured if they are
    asked for.
    """
    considered: set[tuple[str, int]] = set()
    covered = any(_is_of(proposal, target) for proposal in proposals)
    measured = {str(c) for column in columns.values() for c in column.values()}
    for proposal in proposals:
        name, seed = proposal.strategy.name, _seed(proposal.task.adapter)
        if (name, seed) in considered:
            continue
        considered.add((name, seed))
        asked = strategies is not None and name in strategies
        needless = (proposal.strategy.spare and covered) or proposal.digests in measured
        if name not in STRATEGIES and (asked or not needless):
            columns[name][seed] = parse(proposal.digests)


def _is_of(proposal: Proposal, target: str) -> bool:
    """Whether a stack has a language or bilingual adapter of the target."""
    return any(
        target in adapter.manifest.tags()
        for adapter in proposal.adapters
        if adapter.manifest.kind is not Kind.TASK and not adapter.manifest.parents
    )


def _resolved(request: Request, home: Home) -> tuple[str, str, int] | None:
    """Return what the resolver answers: strategy, composition by whole digests, seed."""
    try:
        resolution = answer(request, home.registry, home.plugins())
    except NoResolutionError:
        return None
    digests = {choice.ref: choice.digest for choice in resolution.choices}
    composition = parse(str(resolution.composition))
    task = home.registry.get(resolution.choices[-1].digest)
    return resolution.strategy, str(rename(composition, lambda ref: digests[ref])), _seed(task)


def _slots(home: Home, base: Base, adapter: Adapter, source: str, target: str) -> Slots:
    over = adapter.manifest.trained_over
    below = None
    if len(over) == 1 and over[0].digest:
        try:
            below = home.registry.get(over[0].digest)
        except RefError:
            below = None
    return Slots(
        adapter,
        below,
        source,
        target,
        home.registry.find(kind=Kind.LANGUAGE, base=base.identity, language=target, remote=False),
        [
            a
            for a in home.registry.find(
                kind=Kind.BILINGUAL, base=base.identity, language=target, remote=False
            )
            if set(a.manifest.tags()) == {source, target}
        ],
    )

"""What there is to compare: compositions by strategy, from what task adapters were trained over.

Strategies are functions in a table (`STRATEGIES`), in the order of the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapterhub_lite.adapter import Adapter, Kind, Role
from adapterhub_lite.composition import Composition, Ref, Stack
from adapterhub_lite.errors import RefError, UsageError

if TYPE_CHECKING:
    from adapterhub_lite.evaluation.measure import Tuned
    from adapterhub_lite.home import Home
    from adapterhub_lite.model.base import Base


@dataclass(frozen=True, slots=True)
class Slots:
    """What there is for one task adapter and one target."""

    task: Adapter
    below: Adapter | None
    source: str
    target: str
    languages: Sequence[Adapter]
    bilinguals: Sequence[Adapter]


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
    "no language adapter": _none,
    "source kept": _source_kept,
    "MAD-X": _mad_x,
    "target-ready": _target_ready,
    "BAD-X": _bad_x,
    "bilingual, other task adapter": _bilingual,
}
FULL_COLUMN = "full fine-tuning"


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
        found = ", ".join(sorted(names)) or "none"
        raise UsageError(f"which base? adapters for `{task}` here are on: {found}")
    return names.pop()


def _task_adapters(home: Home, task: str, source: str, **more: Any) -> list[Adapter]:
    return home.registry.find(
        kind=Kind.TASK, task=task, language=source, role=Role.SOURCE, remote=False, **more
    )


def to_measure(
    home: Home, base: Base, *, task: str, source: str, target: str, full: Sequence[Tuned]
) -> dict[str, list[Composition | Tuned]]:
    """Return what to measure by strategy, one a seed: where a seed has several, the newest."""
    chosen: dict[str, dict[int, Composition]] = {name: {} for name in STRATEGIES}
    adapters = _task_adapters(home, task, source, base=base.identity)
    for adapter in sorted(adapters, key=lambda a: (a.added, a.digest)):
        slots = _slots(home, base, adapter, source, target)
        for name, strategy in STRATEGIES.items():
            composition = strategy(slots)
            if composition is not None:
                chosen[name][_seed(adapter)] = composition
    found: dict[str, list[Composition | Tuned]] = {
        name: [by_seed[seed] for seed in sorted(by_seed)]
        for name, by_seed in chosen.items()
        if by_seed
    }
    return {**found, FULL_COLUMN: list(full)} if full else found


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

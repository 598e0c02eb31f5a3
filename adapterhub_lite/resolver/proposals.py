"""Proposals: stacks that a strategy puts forward, before rules and preferences have spoken.

A task adapter was trained over something; a proposal keeps that stack and puts another adapter in
the one place where the language was, so domain adapters between language and task stay where they
were.  What stood in that place is kept at the seat, for the rules to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from adapterhub_lite.adapter import Adapter, Kind, Underneath
from adapterhub_lite.composition import Average, Composition, Fuse, Ref, Stack
from adapterhub_lite.resolver.candidates import Candidate, Pool, is_same

if TYPE_CHECKING:
    from adapterhub_lite.resolver.strategies import Strategy

LANGUAGE_KINDS = (Kind.LANGUAGE, Kind.BILINGUAL)


@dataclass(frozen=True, slots=True)
class Share:
    """A member of an average, its weight, and why it is one."""

    candidate: Candidate
    weight: float
    why: str


@dataclass(frozen=True, slots=True)
class Seat:
    """A candidate in its slot; `instead_of` is what stood there when the task was trained.

    Where an average takes the place, `shares` has all of its members and `candidate` is the first.
    """

    slot: str
    candidate: Candidate
    instead_of: tuple[Underneath, ...] = ()
    shares: tuple[Share, ...] = ()

    @property
    def members(self) -> tuple[Candidate, ...]:
        """The candidates at this seat: one, or those of an average."""
        return tuple(share.candidate for share in self.shares) or (self.candidate,)

    def spell(self, name: Callable[[Adapter], str]) -> Composition:
        """Return what stands at this seat as a composition."""
        if not self.shares:
            return Ref(name(self.candidate.adapter))
        names = (name(share.candidate.adapter) for share in self.shares)
        return Average(*names, weights=tuple(share.weight for share in self.shares))

    @property
    def exact(self) -> bool:
        """Whether the candidate is the very adapter that stood there in training."""
        return any(is_same(under, self.candidate.adapter) for under in self.instead_of)


@dataclass(frozen=True)
class Proposal:
    """A stack with the task adapter on top.  `problem` says why it cannot be completed, if so.

    `fit` orders proposals of one strategy before evidence does: smaller is better.
    """

    strategy: Strategy
    pool: Pool = field(repr=False)
    seats: tuple[Seat, ...]
    problem: str = ""
    fit: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def task(self) -> Candidate:
        """The task adapter."""
        return self.seats[-1].candidate

    @cached_property
    def adapters(self) -> tuple[Adapter, ...]:
        """The adapters, bottom first, those of an average in its order."""
        return tuple(member.adapter for seat in self.seats for member in seat.members)

    @cached_property
    def composition(self) -> Composition:
        """The composition, by refs."""
        return self._spell(lambda adapter: adapter.ref)

    @cached_property
    def digests(self) -> str:
        """The composition's text with whole digests, as scores are recorded under."""
        return str(self._spell(lambda adapter: adapter.digest))

    def fused(self, adapter: Adapter) -> tuple[str, ...]:
        """Return the digests of the members that an adapter fuses, in order; mostly none."""
        method, config = self.pool.judge.method(adapter)
        return method.members(config) if method.fuses else ()

    def _spell(self, name: Callable[[Adapter], str]) -> Composition:
        """Return the composition; members that the adapter on them fuses stand side by side."""
        parts: list[Composition] = []
        for seat in self.seats:
            members = len(self.fused(seat.candidate.adapter))
            if members:
                parts[-members:] = [Fuse(*parts[-members:])]
            parts.append(seat.spell(name))
        return parts[0] if len(parts) == 1 else Stack(*parts)

    @cached_property
    def distance(self) -> int:
        """How far the adapters' languages are from those asked for, all together."""
        return self.fit + sum(seat.candidate.distance for seat in self.seats)

    def names(self, seat: Seat) -> str:
        """Return what stood at a seat in training, in words."""
        shown = [self.pool.describe(under) for under in seat.instead_of[:3]]
        more = len(seat.instead_of) - len(shown)
        return " and ".join(shown) + (f" and {more} more" if more else "")


def places(task: Candidate) -> list[int]:
    """Return where in the stack underneath the languages were."""
    over = task.adapter.manifest.trained_over
    return [i for i, under in enumerate(over) if under.kind in LANGUAGE_KINDS]


def at_the_place(task: Candidate) -> tuple[Underneath, ...]:
    """Return what stood in the language's place in training: one adapter, several in turn, none."""
    manifest = task.adapter.manifest
    return manifest.seen or tuple(manifest.trained_over[i] for i in places(task))


def swap(
    strategy: Strategy, pool: Pool, task: Candidate, below: Candidate, fit: int = 0
) -> Proposal:
    """Return the task adapter's stack with `below` in the language's place."""
    where = places(task)
    over = task.adapter.manifest.trained_over
    top = Seat("task", task)
    middle = Seat(below.adapter.manifest.kind, below, at_the_place(task))
    if len(where) > 1:
        problem = f"was trained over {len(where)} language adapters at once, none can be swapped"
        return Proposal(strategy, pool, (middle, top), problem)
    at = where[0] if where else 0
    under, problem_under = _kept(pool, over[:at])
    above, problem_above = _kept(pool, over[at + 1 :] if where else over)
    return Proposal(
        strategy, pool, (*under, middle, *above, top), problem_under or problem_above, fit
    )


def blend(
    strategy: Strategy, pool: Pool, task: Candidate, shares: tuple[Share, ...], fit: int = 0
) -> Proposal:
    """Return the task adapter's stack with an average in the language's place."""
    proposal = swap(strategy, pool, task, shares[0].candidate, fit)
    below = shares[0].candidate
    seats = tuple(replace(s, shares=shares) if s.candidate is below else s for s in proposal.seats)
    return replace(proposal, seats=seats)


def as_trained(strategy: Strategy, pool: Pool, task: Candidate, fit: int = 0) -> Proposal:
    """Return the task adapter over exactly what it was trained over."""
    seats, problem = _kept(pool, task.adapter.manifest.trained_over)
    return Proposal(strategy, pool, (*seats, Seat("task", task)), problem, fit)


def _kept(pool: Pool, over: tuple[Underneath, ...]) -> tuple[list[Seat], str]:
    seats = []
    for under in over:
        kept = pool.kept(under)
        if isinstance(kept, str):
            return [], kept
        seats.append(Seat(under.kind, kept, (under,)))
    return seats, ""

"""Strategies: the ways to put adapters together for a pair, each an object in a table.

A strategy proposes stacks and says where it ranks before any measurement.  Ranks are those of the
order of preferences in `preferences.py`, with gaps; what comes from related languages is in
`fallbacks.py`, at 55, 60, 61 and 65.  Nothing outside asks for a strategy by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from adapterhub_lite.adapter import Kind, Underneath
from adapterhub_lite.languages import macro
from adapterhub_lite.resolver import lifts
from adapterhub_lite.resolver.candidates import Candidate, Pool, is_same
from adapterhub_lite.resolver.proposals import Proposal, as_trained, at_the_place, swap
from adapterhub_lite.resolver.relatives import of_relatives
from adapterhub_lite.resolver.resolution import Missing


class Strategy(ABC):
    """A way to answer a request."""

    name: ClassVar[str]
    rank: ClassVar[int]
    claim: ClassVar[str]
    """What it puts together, as the end of a sentence."""
    advice: ClassVar[str] = ""
    """What to tell everybody who gets such an answer."""
    swaps: ClassVar[bool] = False
    """Whether it is what papers name after the method (`Method.scheme`)."""

    spare: ClassVar[bool] = False
    """Whether to ask it only where what ranks before it might fail with one adapter less."""

    def rank_under(self, policy: str) -> int:  # noqa: ARG002  # for those that override it
        """Return the rank under a policy; smaller is preferred."""
        return self.rank

    @abstractmethod
    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield every stack of this kind, also those that rules may forbid."""

    def lift(self, pool: Pool) -> Missing | None:  # noqa: ARG002  # for those that override it
        """Return what to add so that this strategy gives the answer, if that can be said."""
        return None


class BadX(Strategy):
    """The pair's bilingual adapter under a task adapter trained over it (Parović et al. 2022)."""

    name = "bad-x"
    rank = 20
    claim = "the pair's bilingual adapter under a task adapter trained over it"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters over the bilingual adapter that was underneath in training."""
        for task, pair in _product(pool.tasks, pool.pairs):
            if _stood(pair, at_the_place(task)):
                yield swap(self, pool, task, pair)

    def lift(self, pool: Pool) -> Missing | None:
        """Return the task adapter over the pair's bilingual adapter, and that where it lacks."""
        return lifts.matched_pair(pool, self.name)


class Bilingual(Strategy):
    """The pair's bilingual adapter under a task adapter that was trained over something else."""

    name = "bilingual"
    rank = 25
    claim = "the pair's bilingual adapter under a task adapter trained over something else"
    advice = (
        "a bilingual adapter under a task adapter of another may do worse than monolingual ones: "
        "measure it with `ahl evaluate`, or put matched stacks first with `--policy matched`"
    )

    def rank_under(self, policy: str) -> int:
        """Return a rank after monolingual adapters where the policy wants matches."""
        return 45 if policy == "matched" else self.rank

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters over a bilingual adapter in another's place, with a warning."""
        for task, pair in _product(pool.tasks, pool.pairs):
            stood = at_the_place(task)
            if _stood(pair, stood):
                continue
            foreign = any(under.kind is Kind.BILINGUAL for under in stood)
            proposal = swap(self, pool, task, pair, fit=int(foreign))
            yield replace(proposal, warnings=(_mismatch(proposal, task, pair),))


class TargetReady(Strategy):
    """A task adapter trained over several adapters in turn, on the target's (Parović 2023)."""

    name = "target-ready"
    rank = 30
    claim = "the target's language adapter under a task adapter trained over several in turn"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters with several languages seen, over the target's adapter."""
        for task, target in _product(pool.tasks, pool.targets):
            seen = task.adapter.manifest.seen
            if seen:
                yield swap(self, pool, task, target, fit=int(not _stood(target, seen)))

    def lift(self, pool: Pool) -> Missing | None:
        """Return the target's language adapter, or the task adapter over both languages."""
        return lifts.several(pool, self.name)


class SameLanguage(Strategy):
    """Source and target are one language: the task adapter over what it was trained over."""

    name = "same-language"
    rank = 40
    claim = "the task adapter over what it was trained over, with nothing to swap"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters as trained, where source and target are one."""
        if pool.request.source != pool.request.target:
            return
        for task in pool.tasks:
            stood = at_the_place(task)
            if task.adapter.manifest.seen:
                for language in pool.sources:
                    if _stood(language, stood):
                        yield swap(self, pool, task, language)
            elif stood:
                yield as_trained(self, pool, task, fit=int(stood[0].kind is Kind.BILINGUAL))

    def lift(self, pool: Pool) -> Missing | None:
        """Return the task adapter over a language adapter of the source."""
        return lifts.same_language(pool, self.name)


class MadX(Strategy):
    """The target's language adapter in the place of the source's (Pfeiffer et al. 2020)."""

    name = "mad-x"
    rank = 41
    swaps = True
    claim = "the target's language adapter under a task adapter trained over the source's"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters over the target's language adapter."""
        same = pool.request.source == pool.request.target
        for task, target in _product(pool.tasks, self.targets(pool)):
            stood = at_the_place(task)
            if task.adapter.manifest.seen or (same and _stood(target, stood)):
                continue
            yield _monolingual(swap(self, pool, task, target), stood)

    def targets(self, pool: Pool) -> tuple[Candidate, ...]:
        """Return what may take the place: adapters that were trained for this."""
        return tuple(target for target in pool.targets if not target.adapter.manifest.built_in)

    def lift(self, pool: Pool) -> Missing | None:
        """Return the target's language adapter, and what must be under the task adapter."""
        return lifts.monolingual(pool, self.name)


class BuiltIn(MadX):
    """The base's own module for the target in the place of the source's (Pfeiffer et al. 2022)."""

    name = "built-in"
    rank = 50
    claim = "the base's own module for the target under a task adapter trained over the source's"

    def targets(self, pool: Pool) -> tuple[Candidate, ...]:
        """Return what may take the place: modules that are built into the base."""
        return tuple(target for target in pool.targets if target.adapter.manifest.built_in)

    def lift(self, pool: Pool) -> Missing | None:
        """Return the task adapter over the base's module for the source."""
        return lifts.built_in(pool, self.name)


class SourceKept(Strategy):
    """No adapter of the target: the source's stays underneath."""

    name = "source-kept"
    rank = 62
    claim = "the source's language adapter, kept for the target"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters as trained, and over other adapters of the source like it."""
        unknown = () if pool.targets or pool.pairs else (_unknown(pool),)
        for proposal in self._propose(pool):
            yield replace(proposal, warnings=(*proposal.warnings, *unknown))

    def _propose(self, pool: Pool) -> Iterator[Proposal]:
        if pool.request.source == pool.request.target:
            return
        for task in pool.tasks:
            stood, seen = at_the_place(task), task.adapter.manifest.seen
            if not _of_language(stood):
                continue
            if not seen:
                yield foreign(as_trained(self, pool, task), stood)
            for source in pool.sources:
                exact = _stood(source, stood)
                if seen or not exact:
                    yield foreign(swap(self, pool, task, source, fit=int(not exact)), stood)


class NoLanguageAdapter(Strategy):
    """A task adapter that was trained over no language adapter, used as it is."""

    name = "no-language-adapter"
    rank = 63
    claim = "a task adapter trained over no language adapter, by itself"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        """Yield task adapters that had no language adapter underneath."""
        for task in pool.tasks:
            if not at_the_place(task):
                yield as_trained(self, pool, task)

    def lift(self, pool: Pool) -> Missing | None:
        """Return the task adapter."""
        return lifts.task_alone(pool.request, pool.base, self.name)


TRAINED: list[Strategy] = [
    BadX(),
    Bilingual(),
    TargetReady(),
    SameLanguage(),
    MadX(),
    BuiltIn(),
    SourceKept(),
    NoLanguageAdapter(),
]
"""The strategies of this file; order plays no part, ranks do."""


def _unknown(pool: Pool) -> str:
    target = pool.request.target
    relatives = "" if of_relatives(pool) else ", nor on a relative of it"
    return (
        f"no adapter here was trained on `{target}`{relatives}: measure this one with "
        "`ahl evaluate`, or train what is named below"
    )


def _product(
    tasks: tuple[Candidate, ...], below: tuple[Candidate, ...]
) -> Iterator[tuple[Candidate, Candidate]]:
    return ((task, candidate) for task in tasks for candidate in below)


def _stood(candidate: Candidate, stood: tuple[Underneath, ...]) -> bool:
    return any(is_same(under, candidate.adapter) for under in stood)


def _of_language(stood: tuple[Underneath, ...]) -> bool:
    return bool(stood) and all(under.kind is Kind.LANGUAGE for under in stood)


def _monolingual(proposal: Proposal, stood: tuple[Underneath, ...]) -> Proposal:
    if any(under.kind is Kind.BILINGUAL for under in stood):
        was = proposal.pool.describe(stood[0])
        problem = f"was trained over {was}, and a monolingual adapter is not of its kind"
        return replace(proposal, problem=problem)
    return foreign(proposal, stood)


def foreign(proposal: Proposal, stood: tuple[Underneath, ...]) -> Proposal:
    """Warn where the task's labels and the adapter underneath were in different languages."""
    source = proposal.pool.request.source
    tags = [use.tag for under in stood for use in under.languages]
    if not tags or any(macro(tag) == macro(source) for tag in tags):
        return proposal
    warning = (
        f"`{proposal.task.ref}` has labels in `{source}` but was trained over "
        f"{proposal.pool.describe(stood[0])}"
    )
    return replace(proposal, fit=proposal.fit + 1, warnings=(*proposal.warnings, warning))


def _mismatch(proposal: Proposal, task: Candidate, pair: Candidate) -> str:
    stood = at_the_place(task)
    over = proposal.pool.describe(stood[0]) if stood else "nothing"
    more = f" and {len(stood) - 1} more in turn" if len(stood) > 1 else ""
    return f"`{task.ref}` was trained over {over}{more}, not over `{pair.ref}`"

"""Preferences: which of the stacks that hold all rules comes first.

In this order (`PREFERENCES`), the first difference decides:

1. the strategy's rank under the request's policy;
2. the languages closest to those asked for (exact tag, reversed pair, macrolanguage, several);
3. methods that may run here before those whose plugin file is not trusted yet;
4. the task adapter with the better record on other targets (`track_records.py`);
5. more evidence: recorded scores, then tokens trained on;
6. adapters at hand: fewest to pull, then fewest whose place on the Hub is only derived;
7. the newest adapters;
8. names, so that there is always one order.

A recorded score beats these assumptions where both sides have one on the same data: the stack that
comes first by them gives way to the best one measured on the same data.  The whole order is that
choice repeated: the answer, the answer without it, and so on; so the first alternative is what
would be chosen if the answer's stack were not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

from adapterhub_lite.resolver.proposals import Proposal
from adapterhub_lite.resolver.scores import Data, Records, words
from adapterhub_lite.resolver.track import adapter_records


@dataclass(frozen=True, slots=True)
class Preference:
    """One criterion: its key (smaller is preferred) and the words for having lost by it."""

    name: str
    key: Callable[[Proposal, Records], Any]
    lost: Callable[[Proposal, Proposal, Records], str]


def _rank(proposal: Proposal, records: Records) -> int:
    return proposal.strategy.rank_under(records.request.policy)


def _lost_rank(winner: Proposal, loser: Proposal, records: Records) -> str:
    policy = records.request.policy
    under = "" if policy == "bilingual" else f" under policy `{policy}`"
    return f"{loser.strategy.name} comes after {winner.strategy.name}{under}"


def _lost_distance(_winner: Proposal, loser: Proposal, _records: Records) -> str:
    notes = [f"`{s.candidate.ref}` {s.candidate.note}" for s in loser.seats if s.candidate.note]
    reasons = [*loser.warnings, *notes, "its adapters were not trained on each other"]
    return f"is further from what was asked: {reasons[0]}"


def _record(proposal: Proposal) -> float:
    """Return the task adapter's record on other targets; none counts as the mean."""
    return adapter_records(proposal.pool).get(proposal.task.adapter.digest, 0.0)


def _lost_record(winner: Proposal, loser: Proposal, _records: Records) -> str:
    ours, theirs = _record(winner), _record(loser)
    return f"did {theirs:+.1f} standard deviations on other targets, the answer's {ours:+.1f}"


def _lost_scores(winner: Proposal, loser: Proposal, records: Records) -> str:
    theirs, ours = records.count(loser), records.count(winner)
    return f"has {theirs} recorded scores on this target, the answer {ours}"


def tokens(proposal: Proposal) -> int:
    """Return how many tokens the adapters of a proposal were trained on, together."""
    trainings = (adapter.manifest.training for adapter in proposal.adapters)
    return sum(training.tokens for training in trainings if training)


def _lost_tokens(winner: Proposal, loser: Proposal, _records: Records) -> str:
    return f"was trained on {tokens(loser):,} tokens, the answer on {tokens(winner):,}"


def _age(proposal: Proposal) -> tuple[float, ...]:
    return tuple(sorted(-adapter.added.timestamp() for adapter in proposal.adapters))


def _names(proposal: Proposal) -> tuple[str, ...]:
    return tuple(adapter.ref for adapter in proposal.adapters)


def _untrusted(proposal: Proposal, _records: Records) -> int:
    return sum(proposal.pool.judge.awaits_trust(adapter) for adapter in proposal.adapters)


def _far(proposal: Proposal, _records: Records) -> tuple[int, int]:
    """Return how many adapters are to be pulled, and how many of their ids are not verified."""
    remote = [adapter.manifest.source for adapter in proposal.adapters if adapter.remote]
    return len(remote), sum(source is None or source.status == "derived" for source in remote)


def _lost_far(winner: Proposal, loser: Proposal, records: Records) -> str:
    (ours, _), (theirs, derived) = _far(winner, records), _far(loser, records)
    if theirs > ours:
        return f"needs more to be pulled ({theirs}, the answer {ours})"
    return f"has more adapters whose Hub id is derived, not verified ({derived})"


PREFERENCES: list[Preference] = [
    Preference("strategy", _rank, _lost_rank),
    Preference("closeness", lambda p, _: p.distance, _lost_distance),
    Preference("trusted", _untrusted, lambda *_: "needs a plugin file that may not run yet"),
    Preference("record", lambda p, _: -_record(p), _lost_record),
    Preference("scores", lambda p, r: -r.count(p), _lost_scores),
    Preference("tokens", lambda p, _: -tokens(p), _lost_tokens),
    Preference("at hand", _far, _lost_far),
    Preference("newest", lambda p, _: _age(p), lambda *_: "is older"),
    Preference("name", lambda p, _: _names(p), lambda *_: "is equal but for its name"),
]


def order(proposals: Sequence[Proposal], records: Records) -> list[Proposal]:
    """Return the proposals, preferred first; see the module's docstring."""
    left = assumed(proposals, records)
    if not any(records.of(proposal) for proposal in left):
        return left
    ordered = []
    while left:
        first = _first(left, records)
        left = [proposal for proposal in left if proposal is not first]
        ordered.append(first)
    return ordered


def assumed(proposals: Sequence[Proposal], records: Records) -> list[Proposal]:
    """Return the proposals in the order of assumptions alone.

    A preference is asked only where all before it are level: some read facts about languages.
    """
    known: dict[tuple[int, int], Any] = {}

    def key(number: int, proposal: Proposal) -> Any:
        place = number, id(proposal)
        if place not in known:
            known[place] = PREFERENCES[number].key(proposal, records)
        return known[place]

    def compare(one: Proposal, other: Proposal) -> int:
        for number in range(len(PREFERENCES)):
            ours, theirs = key(number, one), key(number, other)
            if ours != theirs:
                return -1 if ours < theirs else 1
        return 0

    return sorted(proposals, key=cmp_to_key(compare))


def _first(left: list[Proposal], records: Records) -> Proposal:
    """Return the preferred one of proposals that are in the order of assumptions."""
    first = left[0]
    if records.request.policy == "scores":
        first = next((p for p in left if records.of(p)), first)
    data = shared(first, left, records)
    if data is None:
        return first
    measured = [p for p in left if data in records.of(p)]
    return max(measured, key=lambda p: records.better(data, p))


def shared(proposal: Proposal, others: Sequence[Proposal], records: Records) -> Data | None:
    """Return the data that a proposal and at least one other were measured on."""
    for data in records.preferred(records.of(proposal)):
        if any(other is not proposal and data in records.of(other) for other in others):
            return data
    return None


def lost(winner: Proposal, loser: Proposal, records: Records) -> str:
    """Return why `loser` comes after `winner`: by a measurement, else the first difference."""
    data = shared(winner, [loser], records)
    if data is not None and records.better(data, winner) > records.better(data, loser):
        ours, theirs = records.of(winner)[data], records.of(loser)[data]
        return f"measured {words(data, theirs)}, the answer {ours.value:.4g}"
    if records.request.policy == "scores" and records.of(winner) and not records.of(loser):
        return "has no recorded score on this target, which policy `scores` asks for"
    for preference in PREFERENCES:
        if preference.key(winner, records) < preference.key(loser, records):
            return preference.lost(winner, loser, records)
    return "ranks below an alternative that the answer was measured to beat"

"""What it costs to cover a whole grid: N monolingual adapters, or one bilingual adapter a pair.

Counted in adapters that are there and that lack, and in training tokens, for which the median of
the adapters of that kind in the registry stands (so it is what users here have spent, no forecast).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapterhub_lite.adapter import Adapter, BaseIdentity, Kind, LanguageUse, Role
from adapterhub_lite.languages import macro

if TYPE_CHECKING:
    from adapterhub_lite.home import Home


@dataclass(frozen=True, slots=True)
class Cost:
    """One scheme for a grid: adapters needed of each kind, those that lack, tokens for the latter.

    `tokens` is `None` where no adapter of a kind that lacks says how many it took.
    """

    scheme: str
    kind: Kind
    needed: int
    lacking: int
    tasks_needed: int
    tasks_lacking: int
    tokens: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the cost as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def costs(
    home: Home,
    base: BaseIdentity,
    sources: Sequence[str],
    targets: Sequence[str],
    tasks: Sequence[str],
) -> tuple[Cost, Cost]:
    """Return the costs of MAD-X and of BAD-X for a grid.

    For S sources, T targets and K tasks MAD-X needs a language adapter for each of the S + T
    languages (less those in both) and S K task adapters, BAD-X one bilingual adapter for each pair
    and K task adapters over each of them.
    """
    found = {
        kind: home.registry.find(kind=kind, base=base)
        for kind in (Kind.LANGUAGE, Kind.BILINGUAL, Kind.TASK)
    }
    names = {macro(tag) for tag in (*sources, *targets)}
    have = {macro(tag) for adapter in found[Kind.LANGUAGE] for tag in adapter.manifest.tags()}
    over = {key for task in found[Kind.TASK] for key in _over(task, Kind.LANGUAGE)}
    singles = {(task, macro(s)) for task in tasks for s in sources}
    over_single = {(task, s) for task, s, languages in over if languages == {s}}

    pairs = {frozenset({macro(s), macro(t)}) for s in sources for t in targets}
    pairs = {pair for pair in pairs if len(pair) == 2}
    have_pairs = {_languages(a.manifest.languages) for a in found[Kind.BILINGUAL]}
    doubles = {
        (task, macro(s), frozenset({macro(s), macro(t)}))
        for task in tasks
        for s in sources
        for t in targets
        if macro(s) != macro(t)
    }
    over_pairs = {key for task in found[Kind.TASK] for key in _over(task, Kind.BILINGUAL)}
    spent = {kind: _median(adapters) for kind, adapters in found.items()}
    single = Cost(
        scheme="mad-x",
        kind=Kind.LANGUAGE,
        needed=len(names),
        lacking=len(names - have),
        tasks_needed=len(singles),
        tasks_lacking=len(singles - over_single),
    )
    double = Cost(
        scheme="bad-x",
        kind=Kind.BILINGUAL,
        needed=len(pairs),
        lacking=len(pairs - have_pairs),
        tasks_needed=len(doubles),
        tasks_lacking=len(doubles - over_pairs),
    )
    return _priced(single, spent), _priced(double, spent)


def _priced(cost: Cost, spent: Mapping[Kind, float | None]) -> Cost:
    parts = [(cost.lacking, spent[cost.kind]), (cost.tasks_lacking, spent[Kind.TASK])]
    if any(count and median is None for count, median in parts):
        return cost
    return replace(cost, tokens=sum(round(count * (median or 0)) for count, median in parts))


def _median(adapters: Iterable[Adapter]) -> float | None:
    tokens = [a.manifest.training.tokens for a in adapters if a.manifest.training is not None]
    return statistics.median(tokens) if tokens else None


def _over(task: Adapter, kind: Kind) -> Iterable[tuple[str, str, frozenset[str]]]:
    """Yield task, language of the labels, and languages of what is underneath, of one kind."""
    manifest = task.manifest
    below = [u for u in (*manifest.trained_over, *manifest.seen) if u.kind is kind]
    for tag in manifest.tags(Role.SOURCE, Role.LANGUAGE):
        for under in below:
            yield manifest.task or "", macro(tag), _languages(under.languages)


def _languages(uses: Iterable[LanguageUse]) -> frozenset[str]:
    return frozenset(macro(use.tag) for use in uses)

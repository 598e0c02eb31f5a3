"""How related two languages are: genealogy, geography, script and typology, each told apart.

    score = dice + 0.3 exp(-km / 2000) + 0.3 same script + 0.5 cosine

`dice` is over the Glottolog paths, each ending in the language itself (0 where no family is
shared); `cosine` over URIEL's 103 syntax features.  The weights were set by hand and measured, with
their parts alone, in `docs/languages.md`.  `langcodes.tag_distance` is no substitute: it measures
whether readers cope.

Before any score come the levels: the same tag; the same language in another script or region; the
same macrolanguage.  `RELATED` means that a family is shared; a language that shares none may still
be the nearest there is, and is then not called related.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from math import asin, cos, exp, radians, sin, sqrt

from adapterhub_lite import facts
from adapterhub_lite.languages import macro

PLACE, SCRIPT, TYPOLOGY = 0.3, 0.3, 1.0
"""Weights of the terms beside genealogy, which has weight 1."""

FAR = 2000.0
"""Kilometres over which the geographic term falls to 1/e."""

EARTH = 6371.0


class Level(IntEnum):
    """What two tags have in common; smaller is closer."""

    SAME = 0
    VARIANT = 1
    MACRO = 2
    RELATED = 3
    UNRELATED = 4


@dataclass(frozen=True, slots=True)
class Relatedness:
    """How related `tag` is to a target.  Terms are `None` where a fact is missing.

    Args:
        tag: the other language.
        level: what the two have in common.
        shared: families that both belong to, the widest first.
        genealogy: Dice coefficient of the paths, 0 to 1.
        km: distance.
        geography: exp(-km / 2000).
        script: whether a script is shared.
        typology: cosine of the syntax features.
    """

    tag: str
    level: Level
    shared: int
    genealogy: float
    km: float | None
    script: bool | None
    typology: float | None

    @property
    def geography(self) -> float | None:
        """The geographic term, 0 to 1."""
        return None if self.km is None else exp(-self.km / FAR)

    @property
    def score(self) -> float:
        """The weighted sum of the terms, 0 to 2.1; a missing fact counts as nothing in common."""
        return (
            self.genealogy
            + PLACE * (self.geography or 0.0)
            + SCRIPT * bool(self.script)
            + TYPOLOGY * (self.typology or 0.0)
        )

    @property
    def related(self) -> bool:
        """Whether the two share a family at least."""
        return self.level < Level.UNRELATED

    def explain(self) -> str:
        """Return the terms as messages show them."""
        parts = [f"genealogy {self.genealogy:.2f}"]
        parts += [f"{self.km:,.0f} km"] if self.km is not None else []
        parts += [f"{'same' if self.script else 'other'} script"] if self.script is not None else []
        parts += [f"typology {self.typology:.2f}"] if self.typology is not None else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A language in its place: by relatedness, by what was recorded of it, and by both."""

    relatedness: Relatedness
    place: int
    recorded: float | None
    record_place: float | None

    @property
    def tag(self) -> str:
        """The language."""
        return self.relatedness.tag

    @property
    def sum(self) -> float:
        """The sum of the two places that decides; twice the one where nothing is recorded."""
        return self.place + (self.place if self.record_place is None else self.record_place)


@lru_cache(maxsize=20_000)
def relate(target: str, other: str) -> Relatedness:
    """Return how related `other` is to `target` (normal tags)."""
    ours, theirs = facts.about(target), facts.about(other)
    shared, genealogy, km = 0, 0.0, None
    if ours and theirs:
        shared = _shared(ours.path, theirs.path)
        genealogy = 2 * shared / (len(ours.path) + len(theirs.path))
        km = _km(ours.place, theirs.place) if ours.place and theirs.place else None
    return Relatedness(
        tag=other,
        level=_level(target, other, shared),
        shared=shared,
        genealogy=genealogy,
        km=km,
        script=_same_script(facts.scripts(target), facts.scripts(other)),
        typology=_cosine(facts.syntax(target), facts.syntax(other)),
    )


def _level(target: str, other: str, shared: int) -> Level:
    if target == other:
        return Level.SAME
    if target.partition("-")[0] == other.partition("-")[0]:
        return Level.VARIANT
    if macro(target) == macro(other):
        return Level.MACRO
    return Level.RELATED if shared else Level.UNRELATED


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    count = 0
    for ours, theirs in zip(one, other, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance on the sphere (haversine)."""
    north, east = map(radians, one)
    north_2, east_2 = map(radians, other)
    across = sin((north_2 - north) / 2) ** 2
    along = cos(north) * cos(north_2) * sin((east_2 - east) / 2) ** 2
    return 2 * EARTH * asin(min(1.0, sqrt(across + along)))


def _same_script(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool | None:
    return not set(ours).isdisjoint(theirs) if ours and theirs else None


def _cosine(ours: int | None, theirs: int | None) -> float | None:
    if not ours or not theirs:
        return None
    return (ours & theirs).bit_count() / sqrt(ours.bit_count() * theirs.bit_count())


def nearest(target: str, others: Iterable[str]) -> list[Relatedness]:
    """Return other languages, the most related first; equal ones by tag."""
    found = (relate(target, other) for other in others)
    return sorted(found, key=lambda r: (min(r.level, Level.RELATED), -r.score, r.tag))


def rank(
    target: str, others: Iterable[str], recorded: Mapping[str, float] | None = None
) -> list[Ranked]:
    """Return other languages, the most promising first.

    Where `recorded` says how well a language did elsewhere (more is better), the places by
    relatedness and by record are added: what is good everywhere comes before what is near but poor.
    A language without a record keeps its place by relatedness in both.
    """
    near = nearest(target, others)
    known = {r.tag: recorded[r.tag] for r in near if r.tag in recorded} if recorded else {}
    best = sorted(known, key=lambda tag: (-known[tag], tag))
    stretch = len(near) / len(best) if best else 1.0
    record_places = {tag: place * stretch for place, tag in enumerate(best)}
    ranked = [
        Ranked(r, place, known.get(r.tag), record_places.get(r.tag)) for place, r in enumerate(near)
    ]
    return sorted(ranked, key=lambda r: (r.sum, r.place))

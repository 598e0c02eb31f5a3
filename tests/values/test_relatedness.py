"""Relatedness: the formula written out, its levels, and the ranking with records."""

from __future__ import annotations

from math import acos, cos, exp, radians, sin, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite import facts
from adapterhub_lite.relatedness import Level, may_be_related, nearest, rank, relate
from adapterhub_lite.track_records import Measurement, track_records

TAGS = st.sampled_from(facts.tags())


def test_the_score_is_the_formula_in_the_docs() -> None:
    """gv and cy, every term by hand from the facts; the distance by the law of cosines."""
    manx, welsh = facts.about("gv"), facts.about("cy")
    assert manx is not None
    assert welsh is not None
    assert manx.place is not None
    assert welsh.place is not None
    families = [a for a, b in zip(manx.families, welsh.families, strict=False) if a == b]
    dice = 2 * len(families) / (len(manx.families) + 1 + len(welsh.families) + 1)
    (a, b), (c, d) = (tuple(map(radians, place)) for place in (manx.place, welsh.place))
    km = 6371 * acos(sin(a) * sin(c) + cos(a) * cos(c) * cos(b - d))
    ours, theirs = facts.syntax("gv") or 0, facts.syntax("cy") or 0
    alike = f"{ours & theirs:b}".count("1")
    cosine = alike / sqrt(f"{ours:b}".count("1") * f"{theirs:b}".count("1"))
    found = relate("gv", "cy")
    assert found.km == pytest.approx(km, rel=1e-6)
    assert found.genealogy == pytest.approx(dice)
    assert found.score == pytest.approx(dice + 0.3 * exp(-km / 2000) + 0.3 + 1.0 * cosine)


@pytest.mark.parametrize(
    ("target", "other", "level"),
    [
        ("sw", "sw", Level.SAME),
        ("sr-Cyrl", "sr-Latn", Level.VARIANT),
        ("pt-BR", "pt", Level.VARIANT),
        ("swh", "sw", Level.MACRO),
        ("quy", "quz", Level.MACRO),
        ("sw", "zu", Level.RELATED),
        ("gv", "fi", Level.UNRELATED),
        ("eu", "es", Level.UNRELATED),
        ("ase", "bfi", Level.UNRELATED),
        ("nah", "es", Level.UNRELATED),
    ],
)
def test_levels(target: str, other: str, level: Level) -> None:
    found = relate(target, other)
    assert found.level is level
    assert found.related == (level < Level.UNRELATED)


def test_no_shared_family_is_no_genealogy() -> None:
    assert relate("eu", "es").genealogy == 0
    assert relate("eu", "es").shared == 0


@pytest.mark.parametrize(
    ("target", "others", "first"),
    [
        ("sw", ["en", "ar", "zu", "so"], "zu"),
        ("gv", ["en", "ga", "fo", "fi"], "ga"),
        ("uk", ["pl", "ro", "ru", "hu"], "ru"),
        ("sr-Cyrl", ["hr", "ru", "sr-Latn"], "sr-Latn"),
    ],
)
def test_the_nearest_is_what_a_linguist_says(target: str, others: list[str], first: str) -> None:
    assert nearest(target, others)[0].tag == first


@given(TAGS, TAGS)
def test_every_pair_has_a_score(one: str, other: str) -> None:
    found, back = relate(one, other), relate(other, one)
    assert 0 <= found.score <= 2.61
    assert found.score == pytest.approx(back.score)
    assert found.level == back.level
    assert found.explain()
    assert may_be_related(one, other) == found.related


def test_good_everywhere_comes_before_near_but_poor() -> None:
    others = ["ga", "cy"]
    assert [r.tag for r in rank("gv", others)] == ["ga", "cy"]
    assert [r.tag for r in rank("gv", others, {"ga": -1.0, "cy": 1.0})] == ["cy", "ga"]


def test_places_are_added() -> None:
    """Five languages: places by relatedness 0 to 4, by record as given; the least sum is first."""
    near = [r.tag for r in nearest("gv", ["ga", "gd", "cy", "en", "fi"])]
    records = dict(zip(near, [0.1, 0.9, 0.3, 0.8, 0.5], strict=True))
    sums = dict(zip(near, [0 + 4, 1 + 0, 2 + 3, 3 + 1, 4 + 2], strict=True))
    ranked = rank("gv", near, records)
    assert {r.tag: r.sum for r in ranked} == sums
    assert ranked[0].tag == near[1]


def test_a_language_without_record_keeps_its_place() -> None:
    ranked = rank("gv", ["ga", "cy", "fi"], {"fi": 0.4})
    assert ranked[0].tag == "ga"
    assert {r.tag: r.record_place for r in ranked}["ga"] is None


def test_track_records_are_standings_weighted_by_relatedness() -> None:
    """Two targets, written out: on each the better of two stands at +1, the other at -1."""
    found = track_records(
        "gv",
        [
            Measurement("a", "ga", "ud", 0.9),
            Measurement("b", "ga", "ud", 0.5),
            Measurement("a", "sw", "ud", 0.1),
            Measurement("b", "sw", "ud", 0.2),
        ],
    )
    near, far = (exp(relate("gv", tag).score / 0.4) for tag in ("ga", "sw"))
    assert found["a"] == pytest.approx((near - far) / (near + far))
    assert found["b"] == pytest.approx(-found["a"])


def test_scores_on_the_target_itself_and_single_ones_are_no_record() -> None:
    own = [Measurement("a", "gv", "ud", 0.9), Measurement("b", "gv", "ud", 0.5)]
    alone = [Measurement("a", "ga", "ud", 0.9)]
    assert track_records("gv", [*own, *alone]) == {}

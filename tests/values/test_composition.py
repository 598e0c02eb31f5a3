"""Compositions: values that print, compare and parse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.composition import (
    Average,
    Composition,
    Fuse,
    Parallel,
    Ref,
    Stack,
    parse,
    refs,
    rename,
)
from adapterhub_lite.errors import CompositionError

NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._\-/]{0,8}(@[a-f0-9]{1,12})?", fullmatch=True)
WEIGHT = st.floats(0, 1e6, allow_nan=False)


def _average(parts: list[Composition]) -> st.SearchStrategy[Composition]:
    weights = st.lists(WEIGHT, min_size=len(parts), max_size=len(parts))
    return weights.map(lambda found: Average(*parts, weights=tuple(found)))


def _many(inner: st.SearchStrategy[Composition]) -> st.SearchStrategy[Composition]:
    parts = st.lists(inner, min_size=1, max_size=3)
    kinds = st.sampled_from([Stack, Fuse, Parallel])
    plain = st.builds(lambda kind, found: kind(*found), kinds, parts)
    return plain | parts.flatmap(_average)


COMPOSITIONS = st.recursive(st.builds(Ref, NAME), _many, max_leaves=8)


@given(COMPOSITIONS)
def test_parse_is_the_inverse_of_print(composition: Composition) -> None:
    again = parse(str(composition))
    assert again == composition
    assert hash(again) == hash(composition)
    assert str(again) == str(composition)


@given(COMPOSITIONS, COMPOSITIONS)
def test_equal_means_same_text(one: Composition, two: Composition) -> None:
    assert (one == two) == (str(one) == str(two))


@given(COMPOSITIONS)
def test_rename_visits_every_ref_in_order(composition: Composition) -> None:
    numbered = {ref: f"n{number}" for number, ref in enumerate(dict.fromkeys(refs(composition)))}
    renamed = rename(composition, numbered.__getitem__)
    assert refs(renamed) == tuple(numbered[ref] for ref in refs(composition))
    back = {name: ref for ref, name in numbered.items()}
    assert rename(renamed, back.__getitem__) == composition


def test_what_peers_confuse_is_told_apart() -> None:
    different = [
        Ref("a"),
        Stack("a"),
        Stack("a", "b"),
        Stack("b", "a"),
        Fuse("a", "b"),
        Parallel("a", "b"),
        Average("a", "b", weights=(0.5, 0.5)),
        Average("a", "b", weights=(0.25, 0.75)),
        Stack("a", Stack("b")),
    ]
    assert len(set(different)) == len(different)


def test_spelling() -> None:
    assert str(Stack("en", "ner@3f2a9c")) == "stack(en, ner@3f2a9c)"
    assert str(Average("a", "b", weights=(0.25, 0.75))) == "average(0.25*a, 0.75*b)"
    assert parse(" stack( en ,average(a,b) ) ") == Stack("en", Average("a", "b"))
    assert parse("average(1e-3*a, 2 * b)") == Average("a", "b", weights=(0.001, 2.0))
    assert parse("stack") == Ref("stack")


@pytest.mark.parametrize(
    "text",
    ["", "stack()", "stack(a", "stack(a,)", "a b", "a)", "0.5*a", "stack(0.5*a)",
     "average(0.5*a, b)",
     "pile(a)", "a@", "-a", "stack(a))", "average()", "ü"],
)  # fmt: skip
def test_what_is_no_composition(text: str) -> None:
    with pytest.raises(CompositionError):
        parse(text)


@given(st.text("ab1(),*.@ stackverge", max_size=25))
def test_any_text_is_a_composition_or_one_clear_error(text: str) -> None:
    try:
        found = parse(text)
    except CompositionError:
        return
    assert parse(str(found)) == found


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (1.0, float("nan"))])
def test_weights_of_an_average(weights: tuple[float, ...]) -> None:
    with pytest.raises(CompositionError, match="as many weights >= 0"):
        Average("a", "b", weights=weights)


@pytest.mark.parametrize("kind", [Stack, Fuse, Parallel, Average])
def test_nothing_is_no_composition(kind: type[Stack]) -> None:
    with pytest.raises(CompositionError, match="has no adapter in it"):
        kind()

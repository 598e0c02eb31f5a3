"""Digests: one text for one value, whatever order it was put together in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite import digests

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_canonical_text_is_the_value(value: object) -> None:
    text = digests.canonical(value)
    assert json.loads(text) == value
    assert digests.canonical(json.loads(text)) == text
    assert digests.of_json(value) == hashlib.sha256(text.encode()).hexdigest()


@given(st.dictionaries(st.text(), PLAIN, min_size=2))
def test_order_does_not_count(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert digests.of_json(turned) == digests.of_json(value)


def test_known_texts_and_digests() -> None:
    assert (
        digests.canonical({"b": [1, 2.5, None, True], "a": "ü\n"})
        == '{"a":"ü\\n","b":[1,2.5,null,true]}'
    )
    # FIPS 180-2, appendix B.1
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digests.of_bytes(b"abc") == known


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_that_json_lacks(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digests.canonical(value)


@given(st.binary(max_size=200))
def test_a_file_is_its_bytes(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        assert digests.of_file(path) == digests.of_bytes(data)

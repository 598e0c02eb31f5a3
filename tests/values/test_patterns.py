"""Patterns of strangers: what `re.fullmatch` says, or an error in bounded time."""

from __future__ import annotations

import re
import time

import pytest

from adapterhub_lite import patterns
from adapterhub_lite.errors import ExchangeError

NAMES = [
    f"model.layers.{layer}.self_attn.{part}_proj" for layer in range(12) for part in ("q", "v", "o")
]


@pytest.mark.parametrize(
    "pattern",
    [
        r".*\.(q|v)_proj",
        r"model\.layers\.[0-5]\..*",
        r"q_proj",
        r"(?:.*?(?:self_attn).*?(?:q_proj|v_proj).*?)",
        r"модель",
    ],
)
def test_same_answer_as_the_engine(pattern: str) -> None:
    expected = tuple(re.fullmatch(pattern, name) is not None for name in NAMES)
    assert patterns.bounded_fullmatch(pattern, NAMES) == expected


@pytest.mark.parametrize("pattern", [r"([a-z_0-9.]+)+X", r"(.*.*)*Y"])
def test_hostile_patterns_are_refused_in_bounded_time(pattern: str) -> None:
    start = time.monotonic()
    with pytest.raises(ExchangeError, match="does not come to an end"):
        patterns.bounded_fullmatch(pattern, NAMES, seconds=0.5)
    assert time.monotonic() - start < 5


def test_no_expression_and_too_long() -> None:
    with pytest.raises(ExchangeError, match=r"`\(q_proj` is no regular expression: missing \)"):
        patterns.bounded_fullmatch("(q_proj", NAMES)
    with pytest.raises(ExchangeError, match="at most 1000 characters"):
        patterns.bounded_fullmatch("a" * 1001, NAMES)

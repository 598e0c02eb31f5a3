"""Spans in tags (names, chunks), whatever the scheme that marks them.

IOB1, BIO (IOB2), BIOES (IOBES, BMES) and BILOU (BMEWO) write down the same spans; scores are made
from the spans.  Tags are read as `conlleval` and seqeval's default mode read them: an `I-` that
continues nothing opens a span.  seqeval's strict mode would not count such a span.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

OUTSIDE = "O"
"""The tag of a word in no span."""

_TAG = re.compile(r"([BIESLUMW])(?:[-_](.*))?")
_SAME = {"L": "E", "U": "S", "M": "I", "W": "S"}
"""Letters of BILOU, BMES and BMEWO, and those of BIOES that mean the same."""
_CLOSING = "ESLUW"
"""Letters that only schemes have that mark where a span ends."""


class Span(NamedTuple):
    """A span of words: its type, its first word, and the word after its last."""

    type: str
    start: int
    end: int


def marks_spans(labels: Iterable[str]) -> bool:
    """Whether labels mark spans: `O`, and otherwise a letter of a scheme with a type (`B-PER`).

    Labels without types (`B`, `I`, `O`) need a `B` or an `I` among them.  Beside `O` and a typed
    `B-` or `I-`, a label that fits no scheme (`X`, `PAD`) does not make words of spans.
    """
    names = set(labels)
    typed = {name for name in names if _TAG.fullmatch(name) and len(name) > 1}
    opening = {name for name in typed if name[0] in "BI"}
    if OUTSIDE in names and opening:
        return True
    fitting = {name for name in names if name == OUTSIDE or _TAG.fullmatch(name)}
    return fitting == names and bool(typed or names & {"B", "I"})


def read(tags: Sequence[str | None]) -> list[Span]:
    """Return the spans in the tags of one sentence, in order.

    A tag of no scheme, and `None`, is outside.
    """
    spans: list[Span] = []
    start: int | None = None
    before, kind = OUTSIDE, ""
    for position, tag in enumerate([*tags, OUTSIDE]):
        letter, name = _parts(tag)
        continues = letter in "IE" and before in "BI" and name == kind
        if start is not None and not continues:
            spans.append(Span(kind, start, position))
            start = None
        if letter != OUTSIDE and start is None:
            start, kind = position, name
        before = letter
    return spans


def _parts(tag: str | None) -> tuple[str, str]:
    """Return a tag's letter in BIOES, and its type (empty where it has none)."""
    match = _TAG.fullmatch(tag or OUTSIDE)
    if match is None:
        return OUTSIDE, ""
    return _SAME.get(match[1], match[1]), match[2] or ""


def prefixes(tags: Iterable[str | None]) -> set[str]:
    """Return what stands before the types in tags: `B-` and `I-`, or `B`, `E_` and so on."""
    matches = (_TAG.fullmatch(tag or OUTSIDE) for tag in tags)
    return {match[0][:2] if match[2] is not None else match[0] for match in matches if match}


def same_scheme(data: Collection[str], labels: Collection[str]) -> bool:
    """Whether the prefixes of some data can be of the scheme whose prefixes a head's labels have.

    A scheme that marks the last word of a span is another than one that does not.
    """
    closed = [any(prefix[0] in _CLOSING for prefix in prefixes) for prefixes in (data, labels)]
    return set(data) <= set(labels) and (not data or closed[0] == closed[1])


def in_bio(tags: Sequence[str | None]) -> list[str]:
    """Return the tags of one sentence in BIO (IOB2): the same spans, each opened by a `B-`."""
    written = [OUTSIDE] * len(tags)
    for span in read(tags):
        for position in range(span.start, span.end):
            letter = "B" if position == span.start else "I"
            written[position] = f"{letter}-{span.type}" if span.type else letter
    return written

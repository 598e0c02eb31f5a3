"""Spans in tags: each scheme's reading written out by hand (seqeval's is asked in `test_peers`)."""

from __future__ import annotations

import pytest

from adapterhub_lite.tasks import spans


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (("B-A", "I-A", "I-B"), [("A", 0, 2), ("B", 2, 3)]),
        (("I-A", "O", "I-A"), [("A", 0, 1), ("A", 2, 3)]),
        (("B-A", "B-A", None), [("A", 0, 1), ("A", 1, 2)]),
        (("B", "I", "O", "B"), [("", 0, 2), ("", 3, 4)]),
        (("O", "X", "_"), []),
        ((), []),
    ],
)
def test_spans_of_bio(tags: tuple[str | None, ...], expected: list[tuple[str, int, int]]) -> None:
    assert spans.read(tags) == expected


SCHEMES = {
    "IOB1": ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-LOC", "I-PER", "O", "I-geo-loc"],
    "BIO": ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-LOC", "B-PER", "O", "B-geo-loc"],
    "BIOES": ["B-PER", "E-PER", "O", "S-LOC", "B-LOC", "E-LOC", "S-PER", "O", "S-geo-loc"],
    "BILOU": ["B-PER", "L-PER", "O", "U-LOC", "B-LOC", "L-LOC", "U-PER", "O", "U-geo-loc"],
    "underscores": ["B_PER", "I_PER", "O", "B_LOC", "B_LOC", "I_LOC", "B_PER", "O", "B_geo-loc"],
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_writes_down_the_same_spans(scheme: str) -> None:
    expected = [("PER", 0, 2), ("LOC", 3, 4), ("LOC", 4, 6), ("PER", 6, 7), ("geo-loc", 8, 9)]
    assert spans.read(SCHEMES[scheme]) == expected
    assert spans.in_bio(SCHEMES[scheme]) == SCHEMES["BIO"]
    assert spans.marks_spans(SCHEMES[scheme])


def test_long_spans_of_bmes() -> None:
    assert spans.read(["B-A", "M-A", "M-A", "E-A", "M-A"]) == [("A", 0, 4), ("A", 4, 5)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("B-A", "I-A", "O"), True),
        (("I-A", "O"), True),
        (("O", "S-A"), True),
        (("B", "I", "O"), True),
        (("B-A", "I-A", "O", "X"), True),  # a padding label among them
        (("NOUN", "VERB"), False),
        (("NOUN", "X", "O"), False),
        (("O",), False),
        (("S", "E", "N"), False),
        ((), False),
    ],
)
def test_which_labels_mark_spans(labels: tuple[str, ...], expected: bool) -> None:
    assert spans.marks_spans(labels) is expected

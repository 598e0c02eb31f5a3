"""Formulas of scores, with values worked out by hand."""

from __future__ import annotations

import pytest

from adapterhub_lite.plugins import load
from adapterhub_lite.tasks import metrics
from adapterhub_lite.tasks.base import Example, Prediction

TEXTS = load(entry_points=False).task_type("sequence-classification")
ANSWERS = load(entry_points=False).task_type("question-answering")


def test_macro_f1_leaves_out_labels_that_do_not_occur() -> None:
    labels = ("a", "b", "c")
    pairs = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "b")]
    tallies = [
        TEXTS.tally(Example(("t",), (gold,)), Prediction((said,), ()), labels)
        for gold, said in pairs
    ]
    total = [sum(column) for column in zip(*tallies, strict=True)]
    found = TEXTS.metrics(total, labels)
    # a: precision 1, recall 1/2, F1 2/3;  b: precision 2/3, recall 1, F1 4/5
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["accuracy"] == pytest.approx(3 / 4)


def test_answers() -> None:
    assert metrics.plain_answer("The «Old» Mill!") == ["old", "mill"]
    # shared: old, mill; precision 2/2, recall 2/3
    assert metrics.answer_f1("old mill", "the old grey mill") == pytest.approx(2 * 2 / 5)
    gold = Example(("q", "c"), ("grey mill", "mill"))
    tally = ANSWERS.tally(gold, Prediction(("Mill.",), ()), ())
    assert ANSWERS.metrics(tally, ()) == {"f1": 1.0, "exact_match": 1.0}

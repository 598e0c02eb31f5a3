"""Formulas of scores, with values worked out by hand (peers are asked in another file)."""

from __future__ import annotations

import pytest

from adapterhub_lite.plugins import load
from adapterhub_lite.tasks import metrics
from adapterhub_lite.tasks.base import Example, Prediction
from adapterhub_lite.tasks.scoring import add_up, columns, in_form, tallies_of

TEXTS = load(entry_points=False).task_type("sequence-classification")
ANSWERS = load(entry_points=False).task_type("question-answering")


def measured(pairs: list[tuple[str | None, str]], labels: tuple[str, ...]) -> dict[str, float]:
    examples = [Example(("t",), (gold,)) for gold, _ in pairs]
    predictions = [Prediction((said,), ()) for _, said in pairs]
    return TEXTS.metrics(add_up(tallies_of(TEXTS, examples, predictions, labels)), labels)


def test_macro_f1_leaves_out_labels_that_do_not_occur() -> None:
    found = measured([("a", "a"), ("a", "b"), ("b", "b"), ("b", "b")], ("a", "b", "c"))
    # a: precision 1, recall 1/2, F1 2/3;  b: precision 2/3, recall 1, F1 4/5
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["accuracy"] == pytest.approx(3 / 4)


def test_macro_f1_counts_gold_labels_that_the_head_lacks() -> None:
    pairs: list[tuple[str | None, str]] = [
        ("pos", "pos"), ("neg", "neg"), ("neu", "pos"), ("neu", "pos"), ("neu", "neg")
    ]  # fmt: skip
    found = measured(pairs, ("neg", "pos"))
    # neg: precision 1/2, recall 1, F1 2/3;  pos: 1/3, 1, 1/2;  neu is never predicted: 0
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found["accuracy"] == pytest.approx(2 / 5)


def test_texts_without_a_gold_label_do_not_count() -> None:
    assert measured([("a", "a"), (None, "b")], ("a", "b")) == {"macro_f1": 1.0, "accuracy": 1.0}


def test_answers() -> None:
    assert metrics.plain_answer("The «Old» Mill!") == ["«old»", "mill"]
    assert metrics.plain_answer("An-other a thousand") == ["another", "thousand"]
    # shared: old, mill; precision 2/2, recall 2/3
    assert metrics.answer_f1("old mill", "the old grey mill") == pytest.approx(2 * 2 / 5)
    gold = Example(("q", "c"), ("grey mill", "mill"))
    total = add_up([ANSWERS.tally(gold, Prediction(("Mill.",), ()), ())])
    assert ANSWERS.metrics(total, ()) == {"f1": 1.0, "exact_match": 1.0}


def test_answers_without_a_word_follow_each_script() -> None:
    """SQuAD 1.1 gives them exact matches and no F1, 2.0 both: its empty answer is an answer."""
    article = Example(("q", "c"), ("the",))
    given = Prediction(("a",), ())
    old = add_up([ANSWERS.tally(article, given, ())])
    assert ANSWERS.metrics(old, ()) == {"f1": 0.0, "exact_match": 1.0}
    none = Example(("q", "c"), ("",))
    new = add_up([ANSWERS.tally(example, given, ()) for example in (article, none)])
    found = ANSWERS.metrics(new, ())
    assert (found["f1"], found["exact_match"]) == (1.0, 1.0)
    missed = add_up([ANSWERS.tally(none, Prediction(("mill",), ()), ())])
    assert ANSWERS.metrics(missed, ())["no_answer_f1"] == 0.0


def test_tallies_of_numbers_add_up_as_well_as_those_with_names() -> None:
    """A plugin's task type may return either."""
    assert add_up([(1.0, 2.0), (0.0, 3.0)]) == [1.0, 5.0]
    assert add_up([{"a": 1}, {"b": 2.5}, {"a": 1}]) == {"a": 2, "b": 2.5}
    for tallies in ([(1.0, 2.0), (0.0, 3.0)], [{"a": 1.0}, {"b": 2.5}]):
        keys, rows = columns(tallies)
        sums = [sum(column) for column in zip(*rows, strict=True)]
        assert in_form(keys, sums) == add_up(tallies)

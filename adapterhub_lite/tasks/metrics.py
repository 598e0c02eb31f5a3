"""Formulas of the scores, over tallies: counts that add up over examples."""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from collections.abc import Sequence


def ratio(part: float, whole: float) -> float:
    """Return part / whole, 0 where there is nothing."""
    return part / whole if whole else 0.0


def f1(right: float, predicted: float, gold: float) -> float:
    """Return the harmonic mean of precision and recall from three counts."""
    return ratio(2 * right, predicted + gold)


def macro_f1(counts: Sequence[float]) -> float:
    """Return the mean F1 over labels from (right, predicted, gold) of each, one after the other.

    A label that is neither in the gold data nor predicted has no F1 and is left out, as
    scikit-learn does for labels that it does not see.
    """
    triples = [counts[i : i + 3] for i in range(0, len(counts), 3)]
    present = [f1(*triple) for triple in triples if triple[1] or triple[2]]
    return ratio(sum(present), len(present))


def plain_answer(text: str) -> list[str]:
    """Return an answer's words for comparison: lower case, no punctuation, no English articles.

    SQuAD's rule, with Unicode's punctuation instead of ASCII's.
    """
    kept = "".join(
        letter
        for letter in text.lower()
        if letter not in string.punctuation and not unicodedata.category(letter).startswith("P")
    )
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def answer_f1(predicted: str, gold: str) -> float:
    """Return the F1 of two answers' words."""
    ours, theirs = plain_answer(predicted), plain_answer(gold)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return f1(shared, len(ours), len(theirs))

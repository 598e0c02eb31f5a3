"""Formulas of the scores, over tallies: counts that add up over examples.

Each agrees with the program that its field scores with, to the last digit: scikit-learn for labels,
seqeval (its default reading) for spans, the CoNLL 2018 evaluation script for words of treebanks,
SQuAD's scripts, 1.1 and 2.0, for answers.  The tests ask these programs.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

_PUNCTUATION = frozenset(string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")

Count = Literal["right", "predicted", "gold"]
LabelCounts = Mapping[tuple[str, Count], float]
"""How often each label is predicted rightly, is predicted, and is in the gold data."""


def ratio(part: float, whole: float) -> float:
    """Return part / whole, 0 where there is nothing."""
    return part / whole if whole else 0.0


def f1(right: float, predicted: float, gold: float) -> float:
    """Return the harmonic mean of precision and recall from three counts."""
    return ratio(2 * right, predicted + gold)


class LabelScore(NamedTuple):
    """Precision, recall and F1 of one label, and how often it is gold and is predicted."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


def label_counts(pairs: Iterable[tuple[str, str]]) -> Counter[tuple[str, Count]]:
    """Return the counts of each label from pairs of a gold and a predicted one."""
    counts: Counter[tuple[str, Count]] = Counter()
    for gold, predicted in pairs:
        counts[gold, "gold"] += 1
        counts[predicted, "predicted"] += 1
        if gold == predicted:
            counts[gold, "right"] += 1
    return counts


def label_scores(counts: LabelCounts) -> list[LabelScore]:
    """Return the scores of every label that is gold or predicted at least once, by name.

    A label that training did not have counts like any other; its recall is 0.
    """
    names = {label for (label, _), count in counts.items() if count}
    return [_label_score(label, counts) for label in sorted(names)]


def _label_score(label: str, counts: LabelCounts) -> LabelScore:
    right, predicted, gold = (
        counts.get((label, "right"), 0),
        counts.get((label, "predicted"), 0),
        counts.get((label, "gold"), 0),
    )
    return LabelScore(
        label,
        ratio(right, predicted),
        ratio(right, gold),
        f1(right, predicted, gold),
        int(gold),
        int(predicted),
    )


def macro_f1(counts: LabelCounts) -> float:
    """Return the mean F1 over the labels that are gold or predicted, as scikit-learn does."""
    scores = [score.f1 for score in label_scores(counts)]
    return ratio(sum(scores), len(scores))


def micro_f1(counts: LabelCounts) -> float:
    """Return the F1 of the counts of all labels together."""
    sums = dict.fromkeys(("right", "predicted", "gold"), 0.0)
    for (_, kind), count in counts.items():
        sums[kind] += count
    return f1(sums["right"], sums["predicted"], sums["gold"])


def plain_answer(text: str) -> list[str]:
    """Return an answer's words for comparison, by SQuAD's rule.

    Lower case; without ASCII punctuation, then without English articles.  Other punctuation (`«`)
    stays, as in the script, so that figures on other languages compare with published ones.
    """
    letters = "".join(letter for letter in text.lower() if letter not in _PUNCTUATION)
    return _ARTICLES.sub(" ", letters).split()


def exact_match(predicted: str, answers: Sequence[str]) -> float:
    """Return 1 for an answer that equals one of the gold ones, in `plain_answer`'s form."""
    words = plain_answer(predicted)
    return float(any(words == plain_answer(answer) for answer in answers))


def answer_f1(predicted: str, gold: str, *, empty_agree: bool = False) -> float:
    """Return the F1 of two answers' words.

    Args:
        predicted: the answer given.
        gold: a right answer.
        empty_agree: whether two answers without a word agree (SQuAD 2.0), or score 0 (1.1).
    """
    words, gold_words = plain_answer(predicted), plain_answer(gold)
    if empty_agree and not (words and gold_words):
        return float(words == gold_words)
    shared = sum((Counter(words) & Counter(gold_words)).values())
    return f1(shared, len(words), len(gold_words))


def best_answer_f1(predicted: str, answers: Sequence[str], *, empty_agree: bool = False) -> float:
    """Return the best F1 of an answer over the gold ones."""
    return max(answer_f1(predicted, answer, empty_agree=empty_agree) for answer in answers)


def with_words(answers: Sequence[str]) -> tuple[str, ...]:
    """Return the gold answers that SQuAD 2.0 compares with: those with a word, else no answer."""
    return tuple(answer for answer in answers if plain_answer(answer)) or ("",)

"""Token classification: a label for every word (part of speech, names).

A word's vector is the mean of its pieces' vectors.  Sentences longer than the base model reads are
cut between words into windows, so every word gets its label.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from adapterhub_lite.adapter import BaseIdentity, HeadSpec
from adapterhub_lite.errors import DataError, UsageError, near
from adapterhub_lite.tasks import heads, metrics, pieces, spans
from adapterhub_lite.tasks.base import (
    IGNORED,
    Batch,
    Columns,
    Example,
    Prediction,
    TaskType,
    Window,
)
from adapterhub_lite.tasks.heads import HeadShape
from adapterhub_lite.tasks.metrics import LabelCounts
from adapterhub_lite.tasks.scoring import Tally
from adapterhub_lite.tasks.sentences import read_sentences
from adapterhub_lite.tasks.spans import Span

if TYPE_CHECKING:
    from torch import Tensor

UPOS = frozenset(
    {"ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN"}
    | {"PUNCT", "SCONJ", "SYM", "VERB", "X"}
)
"""The 17 universal part-of-speech tags.  Training on them passes over any other tag."""
_STRAY = 0.02
_INSIDE = "'’.-·"
_JOINERS = "_\u200c\u200d"


def split_words(text: str) -> tuple[str, ...]:
    """Return the words and punctuation marks of running text, by Unicode's classes of characters.

    Apostrophes, hyphens and full stops inside a word stay in it.  Scripts that write no spaces
    (Thai, Chinese) need words from a tokenizer of their own.
    """
    found: list[str] = []
    for run in text.split():
        word = ""
        for at, letter in enumerate(run):
            inside = letter in _INSIDE and word and _in_word(run[at + 1 : at + 2])
            if _in_word(letter) or inside:
                word += letter
                continue
            found += [word, letter] if word else [letter]
            word = ""
        found += [word] if word else []
    return tuple(found)


def _in_word(letter: str) -> bool:
    """Whether a character is part of words: letters, digits, marks on letters, joiners.

    The word characters of `re` would leave out the vowel signs of Indic scripts.
    """
    return bool(letter) and (
        letter.isalnum() or letter in _JOINERS or unicodedata.category(letter)[0] == "M"
    )


class TokenClassification(TaskType):
    """A label a word; scored by accuracy, or by span F1 where labels mark spans."""

    name = "token-classification"
    main_metric = "accuracy"

    def __init__(self, shape: HeadShape | None = None) -> None:
        self.shape = shape or HeadShape()

    def for_head(self, head: HeadSpec) -> Self:
        """Return this task type with the pooling and layers of a head's config."""
        return type(self)(heads.shape_of(head))

    def read(
        self, path: Path, columns: Columns | None = None, *, gold: bool = True
    ) -> list[Example]:
        """Return the sentences of a CoNLL-U, two-column or JSON lines file (text without gold)."""
        return [
            Example(s.words, s.tags, s.lines, s.language, str(path))
            for s in read_sentences(path, dict(columns or {}), tagged=gold)
        ]

    def examples(self, inputs: Sequence[Any]) -> list[Example]:
        """Return examples of lists of words, or of texts, which are split into words."""
        return [Example(_words(item)) for item in inputs]

    def labels(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return the tags that occur, sorted; of almost-universal tags only the universal ones."""
        counts: dict[str, int] = {}
        for example in examples:
            for tag in example.gold:
                if tag is not None:
                    counts[tag] = counts.get(tag, 0) + 1
        stray = sum(count for tag, count in counts.items() if tag not in UPOS)
        if stray <= _STRAY * sum(counts.values()):
            counts = {tag: count for tag, count in counts.items() if tag in UPOS}
        return tuple(sorted(counts))

    def encode(
        self, tokenizer: Any, examples: Sequence[Example], labels: Sequence[str], max_length: int
    ) -> list[Window]:
        """Return windows of whole words."""
        table = pieces.word_pieces(tokenizer, [w for e in examples for w in e.inputs])
        frame = pieces.frame(tokenizer)
        numbers = {label: number for number, label in enumerate(labels)}
        return [
            window
            for at, example in enumerate(examples)
            for window in _windows(
                at,
                [table[word] for word in example.inputs],
                _targets(example, numbers),
                frame,
                max_length,
            )
        ]

    def init_head(self, head: HeadSpec, base: BaseIdentity) -> dict[str, Tensor]:
        """Return linear layers, the last to labels."""
        return heads.init(head, base.hidden_size, len(head.labels))

    def logits(self, head: Mapping[str, Tensor], outputs: Tensor, batch: Batch) -> Tensor:
        """Return the linear layer's values at every word's vector."""
        return heads.scores(self.shape, head, heads.pooled(self.shape, outputs, batch["units"]))

    def decode(
        self, example: Example, windows: Sequence[tuple[Window, Tensor]], labels: Sequence[str]
    ) -> Prediction:
        """Return the likeliest label of every word."""
        names: list[str] = []
        sure: list[float] = []
        for window, logits in windows:
            best = logits[: window.count].float().softmax(-1).max(-1)
            names += [labels[i] for i in best.indices.tolist()]
            sure += best.values.tolist()
        return Prediction(tuple(names), tuple(sure))

    def tally(self, example: Example, prediction: Prediction, labels: Sequence[str]) -> Tally:
        """Return right and counted words; of spans also those right, predicted and gold.

        Every word with a gold tag counts, also if the head does not have the tag.
        """
        pairs = list(self.pairs(example, prediction))
        words = {"right": _equal(pairs), "words": len(pairs)}
        if not spans.marks_spans(labels):
            return words
        gold, predicted = _spans(example, prediction)
        return {
            **words,
            "right in BIO": _equal(_pairs_in_bio(example, prediction)),
            **{("gold", prefix): 1 for prefix in spans.prefixes(example.gold)},
            "right spans": len(gold & predicted),
            "predicted spans": len(predicted),
            "gold spans": len(gold),
        }

    def metrics(self, total: Mapping[Any, float], labels: Sequence[str]) -> dict[str, float]:
        """Return accuracy, after span F1 where labels mark spans.

        Where the data is in another scheme than the head's labels, words are compared in BIO.
        """
        right, words = total.get("right", 0), total.get("words", 0)
        if not spans.marks_spans(labels):
            return {"accuracy": metrics.ratio(right, words)}
        gold = {key[1] for key, count in total.items() if isinstance(key, tuple) and count}
        if not spans.same_scheme(gold, spans.prefixes(labels)):
            right = total.get("right in BIO", 0)
        counts = (total.get(f"{kind} spans", 0) for kind in ("right", "predicted", "gold"))
        return {"f1": metrics.f1(*counts), "accuracy": metrics.ratio(right, words)}

    def label_counts(
        self, example: Example, prediction: Prediction, labels: Sequence[str]
    ) -> LabelCounts:
        """Return the counts of every tag; where labels mark spans, those of spans by type."""
        if not spans.marks_spans(labels):
            return super().label_counts(example, prediction, labels)
        gold, predicted = _spans(example, prediction)
        counts: Counter[tuple[str, metrics.Count]] = Counter()
        counts.update((span.type, "gold") for span in gold)
        counts.update((span.type, "predicted") for span in predicted)
        counts.update((span.type, "right") for span in gold & predicted)
        return counts

    def main_metric_for(self, labels: Sequence[str]) -> str:
        """Return span F1 where labels mark spans, accuracy for other labels."""
        if not labels:
            return ""
        return "f1" if spans.marks_spans(labels) else self.main_metric

    def size(self, example: Example) -> int:
        """Return the number of words with a gold tag."""
        return sum(tag is not None for tag in example.gold)


def _words(item: Any) -> tuple[str, ...]:
    words = split_words(item) if isinstance(item, str) else tuple(item)
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise UsageError(f"a sentence is a text or a list of words, found {item!r}")
    return words


def _spans(example: Example, prediction: Prediction) -> tuple[set[Span], set[Span]]:
    """Return gold and predicted spans; what is predicted of a word without gold is left out."""
    pairs = zip(example.gold, prediction.labels, strict=True)
    predicted = [None if gold is None else tag for gold, tag in pairs]
    return set(spans.read(example.gold)), set(spans.read(predicted))


def _equal(pairs: Iterable[tuple[str, str]]) -> int:
    return sum(gold == predicted for gold, predicted in pairs)


def _pairs_in_bio(example: Example, prediction: Prediction) -> Iterator[tuple[str, str]]:
    """Yield (gold, predicted) tag of every word with a gold tag, both in BIO."""
    gold, predicted = spans.in_bio(example.gold), spans.in_bio(prediction.labels)
    for tag, *pair in zip(example.gold, gold, predicted, strict=True):
        if tag is not None:
            yield pair[0], pair[1]


def _targets(example: Example, numbers: Mapping[str, int]) -> list[int]:
    universal = UPOS.issuperset(numbers)
    targets = []
    for at, tag in enumerate(example.gold or (None,) * len(example.inputs)):
        if tag is None or (universal and tag not in numbers):
            targets.append(IGNORED)
        elif tag in numbers:
            targets.append(numbers[tag])
        else:
            line = example.starts[at] if example.starts else None
            raise DataError(
                f"{example.origin}:{line}: unknown tag `{tag}`", hint=near(tag, numbers), tag=tag
            )
    return targets


def _windows(
    at: int,
    words: Sequence[tuple[int, ...]],
    targets: Sequence[int],
    frame: pieces.Frame,
    max_length: int,
) -> Iterator[Window]:
    room = max_length - frame.length
    first = 0
    while first < len(words):
        ids: list[int] = []
        units: list[int] = []
        lost = 0
        end = first
        while end < len(words) and (end == first or len(ids) + len(words[end]) <= room):
            kept = words[end][:room]
            lost += len(words[end]) - len(kept)
            ids += kept
            units += [end - first] * len(kept)
            end += 1
        yield Window(
            example=at,
            ids=frame.around(ids),
            units=(*[-1] * len(frame.before), *units, *[-1] * len(frame.after)),
            count=end - first,
            targets=tuple(targets[first:end]),
            first=first,
            lost=lost,
        )
        first = end

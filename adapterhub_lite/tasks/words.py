"""Token classification: a label for every word (part of speech, names).

A word's vector is the mean of its pieces' vectors.  Sentences longer than the base model reads are
cut between words into windows, so every word gets its label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from adapterhub_lite.adapter import BaseIdentity, HeadSpec
from adapterhub_lite.errors import DataError, UsageError, near
from adapterhub_lite.tasks import annotating, heads, metrics, pieces, spans
from adapterhub_lite.tasks.base import (
    IGNORED,
    Batch,
    Columns,
    Example,
    Prediction,
    TaskType,
    Window,
)
from adapterhub_lite.tasks.files import composed, read_lines
from adapterhub_lite.tasks.formats import words_layout
from adapterhub_lite.tasks.heads import HeadShape
from adapterhub_lite.tasks.metrics import LabelCounts
from adapterhub_lite.tasks.rows import UPOS
from adapterhub_lite.tasks.schemes import in_scheme
from adapterhub_lite.tasks.scoring import Tally
from adapterhub_lite.tasks.segments import split_words
from adapterhub_lite.tasks.sentences import (
    Sentence,
    annotated,
    of_records,
    read_sentences,
    rows_columns,
)
from adapterhub_lite.tasks.spans import Span

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.tasks.predicted import Predicted
    from adapterhub_lite.tasks.tables import Record

_STRAY = 0.02


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
        self,
        path: Path,
        columns: Columns | None = None,
        *,
        gold: bool = True,
        format: str | None = None,
    ) -> list[Example]:
        """Return the sentences of a file: CoNLL-U, words in rows, JSON, or (untagged) text."""
        sentences = read_sentences(path, dict(columns or {}), tagged=gold, format=format)
        return _examples(sentences)

    def from_records(
        self, records: Sequence[Record], columns: Columns | None = None, *, gold: bool = True
    ) -> list[Example]:
        """Return the sentences of records with lists `words` and `tags`, or (untagged) `text`."""
        return _examples(of_records(records, dict(columns or {}), tagged=gold))

    def annotated(
        self, path: Path, predictions: Sequence[Predicted], columns: Columns, format: str | None
    ) -> bytes:
        """Return a file with a tag for each of its words; for running text words and tags."""
        return annotated(path, predictions, columns, format)

    def check_annotated(
        self, path: Path, labels: Sequence[str], columns: Columns, format: str | None
    ) -> None:
        """Refuse to write tags of one kind over those of another, unless the column was named."""
        layout = words_layout(path, read_lines(path), format)
        tag = rows_columns(path, layout.rows, columns)[1] if layout.rows is not None else None
        annotating.check_words(path, layout, labels, columns, tag)

    def examples(self, inputs: Sequence[Any]) -> list[Example]:
        """Return examples of lists of words, or of texts, which are split into words."""
        return [Example(_words(item, at), origin=f"inputs[{at}]") for at, item in enumerate(inputs)]

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
        table = pieces.word_pieces(tokenizer, [composed(w) for e in examples for w in e.inputs])
        frame = pieces.frame(tokenizer)
        numbers = {label: number for number, label in enumerate(labels)}
        windows: list[Window] = []
        for at, example in enumerate(examples):
            words = [table[composed(word)] for word in example.inputs]
            cut = list(_windows(at, words, _targets(example, numbers), frame, max_length))
            self.check_lost(example, sum(window.lost for window in cut), max_length)
            windows += cut
        return windows

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
        return Prediction(tuple(names), tuple(sure), sum(window.lost for window, _ in windows))

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


def _examples(sentences: Iterable[Sentence]) -> list[Example]:
    return [
        Example(
            s.words,
            s.tags,
            language=s.language,
            origin=s.origin,
            line=s.line,
            lines=s.lines,
            key=s.key,
        )
        for s in sentences
    ]


def _words(item: Any, number: int) -> tuple[str, ...]:
    if isinstance(item, str):
        return split_words(item)
    words = item.tolist() if hasattr(item, "tolist") else item
    if not isinstance(words, list | tuple) or not all(
        isinstance(word, str) and word.strip() for word in words
    ):
        raise UsageError(
            f"inputs[{number}]: a sentence is a text or a list of words, found {item!r}"
        )
    return tuple(words)


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
    """Return a label number a word.  Tags of spans count in whichever scheme the labels are."""
    universal = UPOS.issuperset(numbers)
    gold = example.gold or (None,) * len(example.inputs)
    targets = []
    for at, tag in enumerate(in_scheme(gold, numbers) if numbers else gold):
        if tag is None or (universal and tag not in numbers):
            targets.append(IGNORED)
        elif tag in numbers:
            targets.append(numbers[tag])
        else:
            raise DataError(
                f"{example.position(at)}: unknown tag `{gold[at]}`",
                hint=near(tag, numbers),
                tag=gold[at],
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

"""Extractive question answering: where in a context the answer to a question stands.

Data as in SQuAD (`questions`).  Long contexts are read in overlapping windows.

A head that was trained on questions without answers has the label `unanswerable`.  It may answer
with nothing: that is the span of the first token alone, as in BERT for SQuAD 2.0 (Devlin et al.
2019, section 4.3), taken where it is likelier than every other span, in all windows.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from adapterhub_lite.adapter import BaseIdentity, HeadSpec
from adapterhub_lite.errors import UsageError
from adapterhub_lite.tasks import heads, metrics
from adapterhub_lite.tasks.base import (
    IGNORED,
    Batch,
    Columns,
    Example,
    Prediction,
    TaskType,
    Window,
)
from adapterhub_lite.tasks.files import composed
from adapterhub_lite.tasks.heads import HeadShape
from adapterhub_lite.tasks.questions import annotated, of_records, read_questions
from adapterhub_lite.tasks.scoring import Tally

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.tasks.predicted import Predicted
    from adapterhub_lite.tasks.tables import Record

LONGEST = 30
"""Most tokens of an answer that is predicted."""
UNANSWERABLE = "unanswerable"
"""Label of heads that may answer with nothing."""
_OVERLAP = 3
"""Windows overlap by a third of their length."""


class QuestionAnswering(TaskType):
    """A span of the context; scored by F1 over words, with exact matches."""

    name = "question-answering"
    main_metric = "f1"
    labelled = False

    def __init__(self, shape: HeadShape | None = None, *, unanswerable: bool = False) -> None:
        self.shape = shape or HeadShape()
        self.unanswerable = unanswerable

    def for_head(self, head: HeadSpec) -> Self:
        """Return this task type with a head's config, and with nothing as an answer or without."""
        return type(self)(heads.shape_of(head), unanswerable=UNANSWERABLE in head.labels)

    def read(
        self,
        path: Path,
        columns: Columns | None = None,
        *,
        gold: bool = True,
        format: str | None = None,
    ) -> list[Example]:
        """Return the questions of SQuAD's JSON, of JSON lines, or (without gold) of a table."""
        return read_questions(path, dict(columns or {}), gold=gold, format=format)

    def from_records(
        self, records: Sequence[Record], columns: Columns | None = None, *, gold: bool = True
    ) -> list[Example]:
        """Return the questions of records with `question`, `context` and `answers`."""
        return of_records(records, dict(columns or {}), gold=gold)

    def annotated(
        self, path: Path, predictions: Sequence[Predicted], columns: Columns, format: str | None
    ) -> bytes:
        """Return answers by the ids of questions, for SQuAD's script; or JSON with answers."""
        return annotated(path, predictions, format)

    def examples(self, inputs: Sequence[Any]) -> list[Example]:
        """Return examples of (question, context) pairs."""
        for at, item in enumerate(inputs):
            pair = item if isinstance(item, list | tuple) else ()
            if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
                raise UsageError(
                    f"inputs[{at}]: to answer: a pair of question and context, found {item!r}"
                )
        return [Example(tuple(item), origin=f"inputs[{at}]") for at, item in enumerate(inputs)]

    def labels(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return `unanswerable` if there are such questions; outputs are start and end anyway."""
        return (UNANSWERABLE,) if any(_is_unanswerable(e) for e in examples) else ()

    def encode(
        self, tokenizer: Any, examples: Sequence[Example], labels: Sequence[str], max_length: int
    ) -> list[Window]:
        """Return overlapping windows over the context, each with the whole question."""
        if not examples:
            return []
        encoded = tokenizer(
            [composed(example.inputs[0]) for example in examples],
            [composed(example.inputs[1]) for example in examples],
            truncation="only_second",
            max_length=max_length,
            stride=max_length // _OVERLAP,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        as_written = [_Composed(example.inputs[1]) for example in examples]
        return [
            _window(
                examples[at],
                at,
                encoded["input_ids"][row],
                [as_written[at].span(*span) for span in encoded["offset_mapping"][row]],
                encoded.sequence_ids(row),
                nothing=(0, 0) if UNANSWERABLE in labels else (IGNORED, IGNORED),
            )
            for row, at in enumerate(encoded["overflow_to_sample_mapping"])
        ]

    def init_head(self, head: HeadSpec, base: BaseIdentity) -> dict[str, Tensor]:
        """Return linear layers, the last to start and end."""
        return heads.init(head, base.hidden_size, 2)

    def logits(self, head: Mapping[str, Tensor], outputs: Tensor, batch: Batch) -> Tensor:
        """Return (rows, tokens, 2): how likely every token starts and ends the answer."""
        scores = heads.scores(self.shape, head, outputs)
        outside = batch["units"].unsqueeze(-1) < 0
        if self.unanswerable:
            outside[:, 0] = False
        return scores.masked_fill(outside, float("-inf"))

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of start and end, over windows that hold the answer."""
        from torch.nn.functional import cross_entropy

        targets = batch["targets"]
        known = targets[:, 0] != IGNORED
        if not known.any():
            return logits.masked_fill(logits.isinf(), 0).sum() * 0
        start = cross_entropy(logits[known, :, 0].float(), targets[known, 0])
        end = cross_entropy(logits[known, :, 1].float(), targets[known, 1])
        return (start + end) / 2

    def decode(
        self, example: Example, windows: Sequence[tuple[Window, Tensor]], labels: Sequence[str]
    ) -> Prediction:
        """Return the likeliest span over all windows; probability within its window.

        With `unanswerable` among the labels it is the empty text where in no window any span is
        likelier than the first token.
        """
        best: tuple[float, str] = (float("-inf"), "")
        nothing = float("inf") if UNANSWERABLE in labels else float("-inf")
        for window, logits in windows:
            scores = logits[: len(window.ids)].float().log_softmax(0)
            best = max(best, _best_span(example, window, scores))
            nothing = min(nothing, float(scores[0].sum()))
        answered = best[1] and (best[0] >= nothing or not windows)
        score = best[0] if answered else nothing
        sure = math.exp(score) if math.isfinite(score) else 0.0
        return Prediction((best[1] if answered else "",), (sure,))

    def tally(
        self,
        example: Example,
        prediction: Prediction,
        labels: Sequence[str],  # answers have no labels
    ) -> Tally:
        """Return F1 and exact match over the gold answers, by both of SQuAD's scripts.

        An unanswerable question has one gold answer, the empty text.
        """
        answers = [answer for answer in example.gold if answer is not None]
        if not answers:
            return {}
        text = prediction.labels[0]
        compared = metrics.with_words(answers)
        found = {
            "f1": metrics.best_answer_f1(text, compared, empty_agree=True),
            "exact_match": metrics.exact_match(text, compared),
        }
        kind = "has_answer" if any(answers) else "no_answer"
        return {
            ("1.1", "f1"): metrics.best_answer_f1(text, answers),
            ("1.1", "exact_match"): metrics.exact_match(text, answers),
            **{(kind, name): value for name, value in found.items()},
            (kind, "n"): 1,
        }

    def metrics(
        self,
        total: Mapping[tuple[str, str], float],
        labels: Sequence[str],  # answers have no labels
    ) -> dict[str, float]:
        """Return F1 and exact match: by SQuAD 2.0's rule if a question is unanswerable, else 1.1's.

        With unanswerable questions also those of each kind.
        """
        sizes = {kind: total.get((kind, "n"), 0) for kind in ("has_answer", "no_answer")}
        names = ("f1", "exact_match")
        if not sizes["no_answer"]:
            n = sizes["has_answer"]
            return {name: metrics.ratio(total.get(("1.1", name), 0), n) for name in names}
        sums = {(kind, name): total.get((kind, name), 0) for kind in sizes for name in names}
        n = sum(sizes.values())
        both = {name: sum(sums[kind, name] for kind in sizes) / n for name in names}
        return both | {
            f"{kind}_{name}": value / sizes[kind]
            for (kind, name), value in sums.items()
            if sizes[kind]
        }

    def size(self, example: Example) -> int:
        """Return 1 for a question with a gold answer."""
        return int(any(answer is not None for answer in example.gold))


def _is_unanswerable(example: Example) -> bool:
    return example.gold == ("",)


class _Composed:
    """A text in composed form, and where each of its characters is in the text as written."""

    def __init__(self, text: str) -> None:
        self._starts: list[int] | None = None
        if unicodedata.is_normalized("NFC", text):
            return
        self._starts, start = [], 0
        while start < len(text):
            end = start + 1
            while end < len(text) and _joins(text[start:end], text[end]):
                end += 1
            self._starts += [start] * len(composed(text[start:end]))
            start = end
        self._starts.append(len(text))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a span of the composed text is in the text as written."""
        if self._starts is None or end >= len(self._starts):
            return int(start), int(end)
        return self._starts[start], self._starts[end]


def _joins(before: str, letter: str) -> bool:
    """Whether composing changes something across the border, or the letter is a mark on it."""
    together = composed(before + letter)
    return bool(unicodedata.combining(letter)) or together != composed(before) + letter


def _window(
    example: Example,
    at: int,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    parts: Sequence[int | None],
    *,
    nothing: tuple[int, int],
) -> Window:
    inside = [i for i, part in enumerate(parts) if part == 1]
    return Window(
        example=at,
        ids=tuple(ids),
        units=tuple(i if part == 1 else -1 for i, part in enumerate(parts)),
        count=len(ids),
        targets=_span(example, offsets, inside, nothing),
        offsets=tuple(offsets),
    )


def _span(
    example: Example,
    offsets: Sequence[tuple[int, int]],
    inside: Sequence[int],
    nothing: tuple[int, int],
) -> tuple[int, int]:
    """Return the first and last token of the first answer, `nothing` if it is not in here whole."""
    if _is_unanswerable(example):
        return nothing
    if not example.starts or example.gold[0] is None:
        return IGNORED, IGNORED
    start, end = example.starts[0], example.starts[0] + len(example.gold[0])
    if not inside or offsets[inside[0]][0] > start or offsets[inside[-1]][1] < end:
        return nothing
    touching = [i for i in inside if offsets[i][0] < end and offsets[i][1] > start]
    return (touching[0], touching[-1]) if touching else nothing


def _best_span(example: Example, window: Window, scores: Tensor) -> tuple[float, str]:
    """Return the likeliest span of a window's context, from log probabilities (tokens, 2)."""
    context = scores.clone()
    context[[i for i, unit in enumerate(window.units) if unit < 0]] = float("-inf")
    return max(
        (
            (score, example.inputs[1][window.offsets[i][0] : window.offsets[j][1]])
            for score, i, j in _spans(context)
        ),
        default=(float("-inf"), ""),
    )


def _spans(scores: Tensor) -> Iterator[tuple[float, int, int]]:
    """Yield (log probability, start, end) of the best span of each of the ten likeliest starts."""
    import torch

    count = int(torch.isfinite(scores[:, 0]).sum())
    for start in scores[:, 0].topk(min(10, count)).indices.tolist():
        ends = scores[start : start + LONGEST, 1]
        end = int(ends.argmax())
        yield float(scores[start, 0] + ends[end]), start, start + end

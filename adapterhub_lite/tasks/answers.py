"""Extractive question answering: where in a context the answer to a question stands.

Data as in SQuAD, one JSON object a line: `question`, `context` and `answers` with `text` (list)
and `answer_start` (list of places in the context).  Long contexts are read in overlapping windows.
"""

from __future__ import annotations

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
from adapterhub_lite.tasks.files import fail, read_lines
from adapterhub_lite.tasks.heads import HeadShape
from adapterhub_lite.tasks.scoring import Tally
from adapterhub_lite.tasks.tables import json_objects

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 30
"""Most tokens of an answer that is predicted."""
_FIELDS = ("question", "context", "answers", "language")
_OVERLAP = 3
"""Windows overlap by a third of their length."""


class QuestionAnswering(TaskType):
    """A span of the context; scored by F1 over words, with exact matches."""

    name = "question-answering"
    main_metric = "f1"
    labelled = False

    def __init__(self, shape: HeadShape | None = None) -> None:
        self.shape = shape or HeadShape()

    def for_head(self, head: HeadSpec) -> Self:
        """Return this task type with the pooling and layers of a head's config."""
        return type(self)(heads.shape_of(head))

    def read(
        self, path: Path, columns: Columns | None = None, *, gold: bool = True
    ) -> list[Example]:
        """Return the questions of a JSON lines file."""
        names = {key: (columns or {}).get(key, key) for key in _FIELDS}
        lines = read_lines(path)
        return [
            _example(path, number, item, names, gold=gold)
            for number, item in json_objects(path, lines)
        ]

    def examples(self, inputs: Sequence[Any]) -> list[Example]:
        """Return examples of (question, context) pairs."""
        for item in inputs:
            if isinstance(item, str) or len(item) != 2:
                raise UsageError(f"to answer: a pair of question and context, found {item!r}")
        return [Example(tuple(item)) for item in inputs]

    def labels(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return no labels: the two outputs a token are start and end."""
        return ()

    def encode(
        self, tokenizer: Any, examples: Sequence[Example], labels: Sequence[str], max_length: int
    ) -> list[Window]:
        """Return overlapping windows over the context, each with the whole question."""
        if not examples:
            return []
        encoded = tokenizer(
            [example.inputs[0] for example in examples],
            [example.inputs[1] for example in examples],
            truncation="only_second",
            max_length=max_length,
            stride=max_length // _OVERLAP,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        return [
            _window(
                examples[at],
                at,
                encoded["input_ids"][row],
                encoded["offset_mapping"][row],
                encoded.sequence_ids(row),
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
        """Return the likeliest span over all windows; probability within its window."""
        best: tuple[float, str] = (float("-inf"), "")
        for window, logits in windows:
            best = max(best, _best_span(example, window, logits[: len(window.ids)]))
        import math

        return Prediction((best[1],), (math.exp(best[0]) if best[1] else 0.0,))

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


def _example(
    path: Path, number: int, item: Mapping[str, Any], names: Mapping[str, str], *, gold: bool
) -> Example:
    question, context = item.get(names["question"]), item.get(names["context"])
    if not (isinstance(question, str) and isinstance(context, str) and context.strip()):
        fail(path, number, f"needs texts `{names['question']}` and `{names['context']}`")
    texts: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    if gold:
        texts, starts = _answers(path, number, item.get(names["answers"]), context)
    language = item.get(names["language"])
    return Example((question, context), texts, starts, language, f"{path}:{number}")


def _answers(
    path: Path, number: int, answers: object, context: str
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    texts = answers.get("text") if isinstance(answers, dict) else None
    starts = answers.get("answer_start") if isinstance(answers, dict) else None
    if not texts or not isinstance(texts, list) or not isinstance(starts, list):
        fail(path, number, "`answers` needs lists `text` and `answer_start`, not empty")
    if len(texts) != len(starts):
        fail(path, number, f"{len(texts)} answers but {len(starts)} starts")
    for text, start in zip(texts, starts, strict=True):
        if not isinstance(start, int) or context[start : start + len(text)] != text:
            fail(path, number, f"the answer `{text}` does not stand at {start} in the context")
    return tuple(texts), tuple(starts)


def _window(
    example: Example,
    at: int,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    parts: Sequence[int | None],
) -> Window:
    inside = [i for i, part in enumerate(parts) if part == 1]
    return Window(
        example=at,
        ids=tuple(ids),
        units=tuple(i if part == 1 else -1 for i, part in enumerate(parts)),
        count=len(ids),
        targets=_span(example, offsets, inside),
        offsets=tuple((int(a), int(b)) for a, b in offsets),
    )


def _span(
    example: Example, offsets: Sequence[tuple[int, int]], inside: Sequence[int]
) -> tuple[int, int]:
    """Return the first and last token of the first answer, if this window holds all of it."""
    if not example.starts or example.gold[0] is None:
        return IGNORED, IGNORED
    start, end = example.starts[0], example.starts[0] + len(example.gold[0])
    if not inside or offsets[inside[0]][0] > start or offsets[inside[-1]][1] < end:
        return IGNORED, IGNORED
    touching = [i for i in inside if offsets[i][0] < end and offsets[i][1] > start]
    return (touching[0], touching[-1]) if touching else (IGNORED, IGNORED)


def _best_span(example: Example, window: Window, logits: Tensor) -> tuple[float, str]:
    scores = logits.float().log_softmax(0)
    return max(
        (
            (score, example.inputs[1][window.offsets[i][0] : window.offsets[j][1]])
            for score, i, j in _spans(scores)
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

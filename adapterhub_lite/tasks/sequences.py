"""Sequence classification: one label for a text or a pair of texts.

The text's vector is the mean over all of its tokens, the special ones included, as sentence
encoders of the E5 kind are trained; so it is never the mean of nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from adapterhub_lite.adapter import BaseIdentity, HeadSpec
from adapterhub_lite.errors import DataError, UsageError, near
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
from adapterhub_lite.tasks.metrics import LabelCounts
from adapterhub_lite.tasks.scoring import Tally
from adapterhub_lite.tasks.texts import annotated, of_records, read_texts

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.tasks.predicted import Predicted
    from adapterhub_lite.tasks.tables import Record


class SequenceClassification(TaskType):
    """A label a text; scored by macro F1, with accuracy."""

    name = "sequence-classification"
    main_metric = "macro_f1"

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
        """Return the records of a table, of JSON, or (without gold) of plain text.

        Fields: `text`, `label`, and where there are any `second` (a second text), `language`,
        `id`.  Without a header: text, then label.
        """
        return read_texts(path, dict(columns or {}), gold=gold, format=format)

    def from_records(
        self, records: Sequence[Record], columns: Columns | None = None, *, gold: bool = True
    ) -> list[Example]:
        """Return the examples of records with the fields that `read` looks for."""
        return of_records(records, dict(columns or {}), gold=gold)

    def annotated(
        self, path: Path, predictions: Sequence[Predicted], columns: Columns, format: str | None
    ) -> bytes:
        """Return a table or JSON with a label a text; for plain text a table."""
        return annotated(path, predictions, columns, format)

    def examples(self, inputs: Sequence[Any]) -> list[Example]:
        """Return examples of texts, or of pairs of texts."""
        return [Example(_texts(item, at), origin=f"inputs[{at}]") for at, item in enumerate(inputs)]

    def labels(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return the labels that occur, sorted."""
        return tuple(sorted({label for e in examples for label in e.gold if label is not None}))

    def encode(
        self, tokenizer: Any, examples: Sequence[Example], labels: Sequence[str], max_length: int
    ) -> list[Window]:
        """Return one window a text, cut at its end where it is too long; or windows of all of it.

        Which of them, `with_long` says.
        """
        if not examples:
            return []
        firsts = [composed(example.inputs[0]) for example in examples]
        seconds = [composed("".join(example.inputs[1:])) for example in examples]
        texts = (firsts, seconds) if any(seconds) else (firsts, None)
        whole = tokenizer(*texts, verbose=False)["input_ids"]
        cut = tokenizer(*texts, truncation=True, max_length=max_length)["input_ids"]
        windows: list[Window] = []
        for at, (example, ids, full) in enumerate(zip(examples, cut, whole, strict=True)):
            lost = len(full) - len(ids)
            target = _target(example, labels)
            if lost and self.long == "split":
                parts = _parts(tokenizer, firsts[at], seconds[at] or None, max_length)
                windows += [_window(at, part, target) for part in parts]
                continue
            self.check_lost(example, lost, max_length)
            windows.append(_window(at, ids, target, lost))
        return windows

    def init_head(self, head: HeadSpec, base: BaseIdentity) -> dict[str, Tensor]:
        """Return linear layers, the last to labels."""
        return heads.init(head, base.hidden_size, len(head.labels))

    def logits(self, head: Mapping[str, Tensor], outputs: Tensor, batch: Batch) -> Tensor:
        """Return the linear layer's values at every text's vector."""
        return heads.scores(self.shape, head, heads.pooled(self.shape, outputs, batch["units"]))

    def decode(
        self, example: Example, windows: Sequence[tuple[Window, Tensor]], labels: Sequence[str]
    ) -> Prediction:
        """Return the likeliest label; for a text in parts, by their mean weighted by length."""
        import torch

        if not windows:
            return Prediction((), ())
        lengths = torch.tensor([float(len(window.ids)) for window, _ in windows])
        each = torch.stack([logits[0].float().softmax(-1) for _, logits in windows])
        best = (lengths @ each / lengths.sum()).max(-1)
        lost = sum(window.lost for window, _ in windows)
        return Prediction((labels[int(best.indices)],), (float(best.values),), lost)

    def tally(
        self,
        example: Example,
        prediction: Prediction,
        labels: Sequence[str],  # every gold label counts, the head's or not
    ) -> Tally:
        """Return how often each label is right, predicted and gold."""
        return metrics.label_counts(self.pairs(example, prediction))

    def metrics(self, total: LabelCounts, labels: Sequence[str]) -> dict[str, float]:
        """Return macro F1, over gold and predicted labels, and accuracy."""
        return {"macro_f1": metrics.macro_f1(total), "accuracy": metrics.micro_f1(total)}

    def size(self, example: Example) -> int:
        """Return 1 for a text with a gold label."""
        return int(bool(example.gold) and example.gold[0] is not None)


def _texts(item: Any, number: int) -> tuple[str, ...]:
    texts = (item,) if isinstance(item, str) else item
    if (
        not isinstance(texts, list | tuple)
        or len(texts) not in (1, 2)
        or not all(isinstance(text, str) for text in texts)
    ):
        raise UsageError(
            f"inputs[{number}]: to classify: a text, or a pair of texts, found {item!r}"
        )
    return tuple(texts)


def _window(at: int, ids: Sequence[int], target: int, lost: int = 0) -> Window:
    return Window(at, tuple(ids), (0,) * len(ids), 1, targets=(target,), lost=lost)


def _parts(tokenizer: Any, text: str, second: str | None, max_length: int) -> list[list[int]]:
    """Return the token ids of a text, or of a pair, in parts; the longer of a pair is parted."""
    longer = "only_second" if second is not None and len(second) > len(text) else "only_first"
    parts: list[list[int]] = tokenizer(
        text,
        second,
        truncation=longer,
        max_length=max_length,
        return_overflowing_tokens=True,
    )["input_ids"]
    return parts


def _target(example: Example, labels: Sequence[str]) -> int:
    label = example.gold[0] if example.gold else None
    if label is None or not labels:
        return IGNORED
    if label not in labels:
        raise DataError(
            f"{example.position()}: unknown label `{label}`", hint=near(label, labels), label=label
        )
    return list(labels).index(label)

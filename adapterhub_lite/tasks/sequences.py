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
from adapterhub_lite.tasks.heads import HeadShape
from adapterhub_lite.tasks.metrics import LabelCounts
from adapterhub_lite.tasks.scoring import Tally
from adapterhub_lite.tasks.tables import read_records

if TYPE_CHECKING:
    from torch import Tensor


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
        self, path: Path, columns: Columns | None = None, *, gold: bool = True
    ) -> list[Example]:
        """Return the records of a CSV, TSV or JSON lines file (plain text without gold).

        Fields: `text`, `label`, and where there are any `second` (a second text), `language`.
        Without a header: text, then label.
        """
        names = {
            key: (columns or {}).get(key, key) for key in ("text", "label", "second", "language")
        }
        records = read_records(
            path,
            (names["text"], names["label"]),
            required=(names["text"], names["label"]) if gold else (names["text"],),
        )
        examples = []
        for record in records:
            text, label, second, language = (record.fields.get(n) for n in names.values())
            examples.append(
                Example(
                    inputs=(str(text), str(second)) if second else (str(text),),
                    gold=(None if label is None else str(label),),
                    language=str(language) if language else None,
                    origin=f"{path}:{record.line}",
                )
            )
        return examples

    def examples(self, inputs: Sequence[Any]) -> list[Example]:
        """Return examples of texts, or of pairs of texts."""
        return [Example(_texts(item)) for item in inputs]

    def labels(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return the labels that occur, sorted."""
        return tuple(sorted({label for e in examples for label in e.gold if label is not None}))

    def encode(
        self, tokenizer: Any, examples: Sequence[Example], labels: Sequence[str], max_length: int
    ) -> list[Window]:
        """Return one window a text, cut at the end where it is too long."""
        firsts = [example.inputs[0] for example in examples]
        seconds = [example.inputs[1] if len(example.inputs) > 1 else None for example in examples]
        pairs = (
            (firsts, None) if not any(seconds) else (firsts, [second or "" for second in seconds])
        )
        if not examples:
            return []
        whole = tokenizer(*pairs, verbose=False)["input_ids"]
        cut = tokenizer(*pairs, truncation=True, max_length=max_length)["input_ids"]
        return [
            Window(
                example=at,
                ids=tuple(ids),
                units=(0,) * len(ids),
                count=1,
                targets=(_target(example, labels),),
                lost=len(full) - len(ids),
            )
            for at, (example, ids, full) in enumerate(zip(examples, cut, whole, strict=True))
        ]

    def init_head(self, head: HeadSpec, base: BaseIdentity) -> dict[str, Tensor]:
        """Return linear layers, the last to labels."""
        return heads.init(head, base.hidden_size, len(head.labels))

    def logits(self, head: Mapping[str, Tensor], outputs: Tensor, batch: Batch) -> Tensor:
        """Return the linear layer's values at every text's vector."""
        return heads.scores(self.shape, head, heads.pooled(self.shape, outputs, batch["units"]))

    def decode(
        self, example: Example, windows: Sequence[tuple[Window, Tensor]], labels: Sequence[str]
    ) -> Prediction:
        """Return the likeliest label."""
        (_, logits), *_ = windows
        best = logits[0].float().softmax(-1).max(-1)
        return Prediction((labels[int(best.indices)],), (float(best.values),))

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


def _texts(item: Any) -> tuple[str, ...]:
    texts = (item,) if isinstance(item, str) else tuple(item)
    if len(texts) not in (1, 2) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"to classify: a text, or a pair of texts, found {item!r}")
    return texts


def _target(example: Example, labels: Sequence[str]) -> int:
    label = example.gold[0] if example.gold else None
    if label is None or not labels:
        return IGNORED
    if label not in labels:
        raise DataError(
            f"{example.origin}: unknown label `{label}`", hint=near(label, labels), label=label
        )
    return list(labels).index(label)

"""Language modelling: predict masked tokens, or the next one, with a bias per language.

The head is one vector over the vocabulary, added to the base model's own scores.  A language whose
pieces the base hardly ever predicted would otherwise spend its adapter on raising frequent pieces.

As a task, it fills in the mask token of a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.adapter import BaseIdentity, HeadSpec
from adapterhub_lite.errors import UsageError
from adapterhub_lite.tasks import metrics
from adapterhub_lite.tasks.base import (
    IGNORED,
    Batch,
    Columns,
    Example,
    Prediction,
    TaskType,
    Window,
)
from adapterhub_lite.tasks.files import composed, fail, read_lines
from adapterhub_lite.tasks.formats import check_format
from adapterhub_lite.tasks.scoring import Tally

if TYPE_CHECKING:
    from torch import Tensor


class LanguageModelling(TaskType):
    """Scores over the vocabulary at the places that are asked for."""

    name = "language-modelling"
    main_metric = "accuracy"
    reads = "vocabulary"
    labelled = False

    def read(
        self,
        path: Path,
        columns: Columns | None = None,
        *,
        gold: bool = True,
        format: str | None = None,
    ) -> list[Example]:
        """Return the lines of a text file; blank ones are skipped."""
        check_format(format, ("text",), "language modelling")
        lines = [line for line in read_lines(path) if line.text.strip()]
        if not lines:
            fail(path, None, "no text in the file")
        return [Example((line.text.strip(),), origin=str(path), line=line.number) for line in lines]

    def examples(self, inputs: Sequence[Any]) -> list[Example]:
        """Return examples of texts with the mask token in them."""
        for at, item in enumerate(inputs):
            if not isinstance(item, str):
                raise UsageError(
                    f"inputs[{at}]: to fill in: a text with the mask token, found {item!r}"
                )
        return [Example((item,), origin=f"inputs[{at}]") for at, item in enumerate(inputs)]

    def labels(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return no labels: the vocabulary is the base model's."""
        return ()

    def encode(
        self, tokenizer: Any, examples: Sequence[Example], labels: Sequence[str], max_length: int
    ) -> list[Window]:
        """Return one window a text; its units are the mask tokens."""
        if not examples:
            return []
        texts = [composed(example.inputs[0]) for example in examples]
        whole = tokenizer(texts, verbose=False)["input_ids"]
        encoded = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
        windows = []
        for at, ids in enumerate(encoded):
            lost = len(whole[at]) - len(ids)
            self.check_lost(examples[at], lost, max_length)
            units, count = [], 0
            for token in ids:
                asked = token == tokenizer.mask_token_id
                units.append(count if asked else -1)
                count += asked
            targets = (IGNORED,) * count
            windows.append(Window(at, tuple(ids), tuple(units), count, targets, lost=lost))
        return windows

    def init_head(self, head: HeadSpec, base: BaseIdentity) -> dict[str, Tensor]:
        """Return a zero bias over the vocabulary."""
        import torch

        return {"bias": torch.zeros(base.vocab_size)}

    def logits(self, head: Mapping[str, Tensor], outputs: Tensor, batch: Batch) -> Tensor:
        """Return the base model's scores plus the bias."""
        return outputs + head["bias"] if head else outputs

    def decode(
        self, example: Example, windows: Sequence[tuple[Window, Tensor]], labels: Sequence[str]
    ) -> Prediction:
        """Return the likeliest piece's id, as text, at every mask token."""
        window, logits = windows[0]
        best = logits[: window.count].float().softmax(-1).max(-1)
        names = tuple(str(i) for i in best.indices.tolist())
        return Prediction(names, tuple(best.values.tolist()), window.lost)

    def tally(
        self,
        example: Example,
        prediction: Prediction,
        labels: Sequence[str],  # pieces are no labels
    ) -> Tally:
        """Return right and counted pieces."""
        pairs = list(self.pairs(example, prediction))
        return {"right": sum(gold == piece for gold, piece in pairs), "pieces": len(pairs)}

    def metrics(
        self,
        total: Mapping[str, float],
        labels: Sequence[str],  # as above
    ) -> dict[str, float]:
        """Return accuracy."""
        return {"accuracy": metrics.ratio(total.get("right", 0), total.get("pieces", 0))}

    def size(self, example: Example) -> int:
        """Return the number of gold pieces."""
        return sum(piece is not None for piece in example.gold)

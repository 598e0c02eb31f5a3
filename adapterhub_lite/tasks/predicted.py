"""What was predicted of one item, with where the item came from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterhub_lite.tasks.base import Example, Prediction


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Predicted:
    """What was predicted of one item: a label a unit, and how sure the head is of each.

    For tagging, `inputs` are the words and there is a label a word; for a text there is one label.
    An item without content (a blank line, a sentence without words) has no labels.

    Args:
        inputs: as they are in the file, or were handed over.
        language: that the item is in; `None` where a composition was run as it is.
        file: that the item is from; `None` for items of a program or of the command line.
        line: the item's first line there.
        key: the item's id there (`# sent_id`, a field `id`).
        cut: how many tokens at the end were left out, since the base reads no more at once.
        lines: the line of every word.
        task_type: name of the task type of the head.
    """

    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    language: str | None = None
    file: str | None = None
    line: int | None = None
    key: str | None = None
    cut: int = 0
    lines: tuple[int, ...] = field(default=(), repr=False)
    task_type: str = field(default="", repr=False)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Words and labels side by side (a text's only label beside the text)."""
        return list(zip(self.inputs, self.labels, strict=False))

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as JSON values."""
        return {
            "inputs": list(self.inputs),
            "labels": list(self.labels),
            "probabilities": [round(p, 4) for p in self.probabilities],
            "language": self.language,
            "file": self.file,
            "line": self.line,
            "id": self.key,
            "cut": self.cut,
        }


def predicted(
    example: Example, prediction: Prediction, task_type: str, language: str | None = None
) -> Predicted:
    """Return the prediction of an example, with where the example is from."""
    return Predicted(
        example.inputs,
        prediction.labels,
        prediction.probabilities,
        language if language is not None else example.language,
        example.file,
        example.line,
        example.key,
        prediction.lost,
        example.lines,
        task_type,
    )


def say_cut(lost: Sequence[int]) -> int:
    """Warn of inputs of which tokens were lost, and return how many such inputs there are."""
    cut = [tokens for tokens in lost if tokens]
    if cut:
        log.warning(
            "%d of %d inputs are longer than the base model reads at once: %d tokens at their ends "
            "were left out (`--long split` reads them in parts)",
            len(cut),
            len(lost),
            sum(cut),
        )
    return len(cut)

"""What a task type is: how examples are read, encoded and scored, and what its head computes.

One example may need several windows of tokens (a sentence longer than the base model reads, a long
text that holds an answer).  A window has *units*: the things that get an output, words or a whole
text.  The head's logits are one row a unit; `decode` puts an example's windows together again.

Scores are made from *tallies*, counts that add up over examples: that is what lets a bootstrap
draw examples again without scoring them again.  A tally may count anything, also a gold label that
the head does not have.

This module must stay free of torch at import: plugins are loaded by `ahl --help`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, get_args

from adapterhub_lite.adapter import BaseIdentity, HeadSpec
from adapterhub_lite.errors import DataError, TaskTypeError, UsageError, near
from adapterhub_lite.tasks import annotating, metrics
from adapterhub_lite.tasks.metrics import LabelCounts
from adapterhub_lite.tasks.scoring import Tally

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.tasks.predicted import Predicted
    from adapterhub_lite.tasks.tables import Record

IGNORED = -100
"""Target of a unit that neither loss nor score looks at (torch's `ignore_index`)."""

Long = Literal["split", "cut", "refuse"]
"""What becomes of an input that is longer than the base model reads: all of it is read in parts,
its end is left out, or it is an error."""

Batch = dict[str, Any]
Columns = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Example:
    """One item: its input texts (words, a text, question and context) and what is right.

    `gold` has one entry a unit, `None` where nothing is known; `starts` are the places of answers
    in their context.  `origin` is the file, or what a program handed over (`data[3]`), or both
    (`squad.json: question ...`); `line` is the first line there, `lines` has the line of every
    unit, `key` is the id that it has there.  `file` is the path, if it is from one.
    """

    inputs: tuple[str, ...]
    gold: tuple[str | None, ...] = ()
    starts: tuple[int, ...] = ()
    language: str | None = None
    origin: str = ""
    line: int | None = None
    lines: tuple[int, ...] = ()
    key: str | None = None
    file: str | None = None

    def position(self, unit: int | None = None) -> str:
        """Return where the example, or one unit of it, is from: `file:line`, for messages."""
        line = self.lines[unit] if unit is not None and self.lines else self.line
        return self.origin if line is None else f"{self.origin}:{line}"


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids of one example or a part of it.

    `units` gives each token's unit (-1: none), `first` the example's first unit in this window,
    `targets` one label number a unit, `offsets` each token's place in the text where that matters,
    `lost` how many tokens did not fit in and are in no other window either.
    """

    example: int
    ids: tuple[int, ...]
    units: tuple[int, ...]
    count: int
    targets: tuple[int, ...] = ()
    first: int = 0
    offsets: tuple[tuple[int, int], ...] = ()
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a head says of one example: a label a unit, and how sure it is of each.

    `lost` is how many tokens of the example the model did not read.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    lost: int = 0


class Objective(Protocol):
    """What training minimises: something of the base model's is read, and a loss is made of it."""

    @property
    def reads(self) -> Literal["hidden", "vocabulary"]:
        """What of the base model is read."""
        ...

    def logits(self, head: Mapping[str, Tensor], outputs: Tensor, batch: Batch) -> Tensor:
        """Return what the loss is made from."""
        ...

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar."""
        ...


class TaskType(ABC):
    """A kind of task.  See the module's docstring for the words."""

    name: ClassVar[str]
    reads: ClassVar[Literal["hidden", "vocabulary"]] = "hidden"
    """What of the base model the head reads: last hidden states, or its own vocabulary scores."""
    labelled: ClassVar[bool] = True
    """Whether training needs a list of labels."""
    main_metric: ClassVar[str] = ""
    """The metric, of those that `metrics` returns, that compositions are compared by.

    Tables show it first, and the resolver compares recorded scores of it alone; scores of other
    metrics are shown.  Left empty, tables show the first that `metrics` returns, and the resolver
    goes by a general order of metrics (`resolver.scores.GENERAL_ORDER`).  Where it depends on the
    labels, `main_metric_for` says it.
    """

    long: Long = "cut"
    """What becomes of an input that is longer than the base model reads."""

    @abstractmethod
    def read(
        self,
        path: Path,
        columns: Columns | None = None,
        *,
        gold: bool = True,
        format: str | None = None,
    ) -> list[Example]:
        """Return the examples of a file, in the order they have there.

        A file is read the same way with and without `gold`; with it, labels must be there.

        Args:
            columns: the file's names or numbers (from 1 on) of the columns that are looked for.
            format: one of `formats.FORMATS`; left out, it is told from the content.

        Raises:
            DataError: the file or a line of it cannot be used; the message starts with file:line.
            UsageError: a format that the task type does not read.
        """

    def from_records(
        self, records: Sequence[Record], columns: Columns | None = None, *, gold: bool = True
    ) -> list[Example]:
        """Return the examples of records that a program holds, as `read` does of a file's.

        Raises:
            TaskTypeError: the task type only reads files.
        """
        raise TaskTypeError(f"`{self.name}` has no use for records", hint="give a path")

    def with_long(self, long: Long) -> Self:
        """Return this task type with another way to treat inputs that are too long.

        Raises:
            UsageError: there is no such way.
        """
        if long not in get_args(Long):
            raise UsageError(
                f"no way `{long}` to treat long inputs", hint=near(long, get_args(Long))
            )
        changed = copy.copy(self)
        changed.long = long
        return changed

    def check_lost(self, example: Example, lost: int, max_length: int) -> None:
        """Raise `DataError` if tokens of an example are lost, and that was to be refused."""
        if lost and self.long == "refuse":
            raise DataError(
                f"{example.position()}: {lost} tokens more than the {max_length} that the base "
                "model reads at once",
                hint="`--long split` reads all of it in parts, `--long cut` leaves the end out",
            )

    def annotated(
        self, path: Path, predictions: Sequence[Predicted], columns: Columns, format: str | None
    ) -> bytes:
        """Return the content of a file with predictions in the place of its labels.

        Everything else in it stays as it is.  A task type that does not say how that looks for its
        files gets a table: inputs, then labels.

        Raises:
            DataError: it is not clear where in the file predictions belong.
        """
        return annotating.table(predictions).encode()

    def check_annotated(
        self, path: Path, labels: Sequence[str], columns: Columns, format: str | None
    ) -> None:
        """Raise `DataError` if `annotated` could not put a head's labels into a file."""
        return

    @abstractmethod
    def examples(self, inputs: Sequence[Any]) -> list[Example]:
        """Return examples made from what a caller of `predict` hands over."""

    @abstractmethod
    def labels(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return the label list that training examples define."""

    def gold_labels(self, example: Example) -> list[str]:
        """Return the labels in an example's gold data, each as often as it occurs."""
        return [label for label in example.gold if label is not None]

    @abstractmethod
    def encode(
        self, tokenizer: Any, examples: Sequence[Example], labels: Sequence[str], max_length: int
    ) -> list[Window]:
        """Return the windows of examples, in their order.

        Raises:
            DataError: a gold label that `labels` does not have.
        """

    @abstractmethod
    def init_head(self, head: HeadSpec, base: BaseIdentity) -> dict[str, Tensor]:
        """Return fresh head weights (float32), drawn from torch's default generator."""

    def for_head(self, head: HeadSpec) -> Self:
        """Return this task type, with `logits` as a head's config says.

        Raises:
            TaskTypeError: a config that this task type does not know.
        """
        if head.config:
            raise TaskTypeError(f"heads of `{self.name}` have no config, found {dict(head.config)}")
        return self

    @abstractmethod
    def logits(self, head: Mapping[str, Tensor], outputs: Tensor, batch: Batch) -> Tensor:
        """Return (rows, units, choices) from what the head reads of the base model."""

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy over units with a target (0 where there is none)."""
        from torch.nn.functional import cross_entropy

        targets = batch["targets"].flatten()
        total: Tensor = cross_entropy(
            logits.float().flatten(0, -2), targets, ignore_index=IGNORED, reduction="sum"
        )
        return total.div((targets != IGNORED).sum().clamp(min=1))

    def collate(self, windows: Sequence[Window], pad: int) -> Batch:
        """Return padded tensors of some windows."""
        import torch

        tokens = max(len(window.ids) for window in windows)
        units = max(window.count for window in windows)
        return {
            "input_ids": torch.tensor([_padded(w.ids, tokens, pad) for w in windows]),
            "attention_mask": torch.tensor(
                [_padded((1,) * len(w.ids), tokens, 0) for w in windows]
            ),
            "units": torch.tensor([_padded(w.units, tokens, -1) for w in windows]),
            "targets": torch.tensor([_padded(w.targets, units, IGNORED) for w in windows]),
        }

    @abstractmethod
    def decode(
        self, example: Example, windows: Sequence[tuple[Window, Tensor]], labels: Sequence[str]
    ) -> Prediction:
        """Return the prediction for one example from its windows and their logits."""

    @abstractmethod
    def tally(self, example: Example, prediction: Prediction, labels: Sequence[str]) -> Tally:
        """Return the counts of one example that add up to a score."""

    @abstractmethod
    def metrics(self, total: Any, labels: Sequence[str]) -> dict[str, float]:
        """Return metrics from the sum of tallies (of their form), the main one among them.

        What a mapping does not have was counted 0 times.
        """

    def pairs(self, example: Example, prediction: Prediction) -> Iterable[tuple[str, str]]:
        """Yield (gold, predicted) label of every unit with a gold label, for a confusion matrix."""
        pairs = zip(example.gold, prediction.labels, strict=True)
        return ((gold, label) for gold, label in pairs if gold is not None)

    def label_counts(
        self,
        example: Example,
        prediction: Prediction,
        labels: Sequence[str],  # for task types that score something else by label
    ) -> LabelCounts:
        """Return how often each label is predicted rightly, predicted and gold in an example."""
        return metrics.label_counts(self.pairs(example, prediction))

    def main_metric_for(self, labels: Sequence[str]) -> str:
        """Return the main metric for heads with these labels; empty where none is named."""
        return self.main_metric

    @abstractmethod
    def size(self, example: Example) -> int:
        """Return how many units of an example count in a score."""


def _padded(values: Sequence[int], length: int, fill: int) -> list[int]:
    return [*values, *[fill] * (length - len(values))]


def unit_means(hidden: Tensor, units: Tensor) -> Tensor:
    """Return (rows, units, width): for every unit the mean of its tokens' vectors, 0 for none."""
    import torch

    count = max(int(units.max()) + 1, 1)
    belongs = units.unsqueeze(1) == torch.arange(count, device=units.device).unsqueeze(-1)
    share = belongs.to(hidden.dtype)
    share = share / share.sum(-1, keepdim=True).clamp(min=1)
    return share @ hidden


def linear_head(hidden_size: int, choices: int) -> dict[str, Tensor]:
    """Return a fresh linear layer as BERT draws it: N(0, 0.02), bias 0."""
    import torch

    return {"weight": torch.randn(choices, hidden_size) * 0.02, "bias": torch.zeros(choices)}

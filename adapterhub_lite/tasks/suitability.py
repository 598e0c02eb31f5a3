"""Whether data suit a job, looked at before the work starts: one door for every command.

Every check refuses what cannot be meant, and says what was counted; what is merely odd is warned
of.  `Checks(allow=True)` is the user's word that the data are meant: then nothing is refused that
can be done, and the same words come as a warning.  Labels of which a head knows none are refused
all the same: what they would give is not a score.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import DataError
from adapterhub_lite.foreign.text import shell
from adapterhub_lite.tasks import label_sets, spans
from adapterhub_lite.tasks.annotation import Annotation, annotation
from adapterhub_lite.tasks.label_sets import listed
from adapterhub_lite.tasks.readable import Readability, readability

if TYPE_CHECKING:
    from adapterhub_lite.model.base import Base
    from adapterhub_lite.tasks.base import Example, TaskType

log = logging.getLogger(__name__)

MOST_UNREADABLE = 0.5
"""Share of the words that a vocabulary cannot read above which text is refused."""
FEW_UNREADABLE = 0.05
"""Share up to which nothing is said."""
FEWEST_WORDS = 3
"""Fewer words than this are no evidence of a script."""
MOST_ANNOTATED = 0.5
"""Share of the lines that are no running text from which a file is refused as text."""
FEW_ANNOTATED = 0.05
FEW_UNKNOWN = 0.01
"""Share of the gold labels that a head does not know up to which nothing is said."""
ALLOW = "`--allow-unsuitable` goes on all the same"


@dataclass(frozen=True, slots=True)
class UnknownLabels:
    """Gold labels that were compared with a head's, and how often each unknown one occurs.

    In span tags, `O` is not counted, and a label is known by its type in whatever scheme.
    """

    total: int
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of the gold labels that the head does not know."""
        return sum(self.counts.values()) / self.total if self.total else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values, the most frequent label first."""
        return {"share": self.share, "of": self.total, "labels": dict(self.counts)}


def unknown_labels(
    task_type: TaskType, examples: Sequence[Example], labels: Sequence[str]
) -> UnknownLabels:
    """Return the gold labels of examples that are not among a head's labels."""
    counts = _gold(task_type, examples)
    known = set(labels)
    if spans.marks_spans(labels):
        types = {span.type for label in labels for span in spans.read([label])}
        counts.pop(spans.OUTSIDE, None)
        known |= {label for label in counts if {s.type for s in spans.read([label])} & types}
    unknown = {label: n for label, n in counts.most_common() if label not in known}
    return UnknownLabels(counts.total(), unknown)


def _gold(task_type: TaskType, examples: Sequence[Example]) -> Counter[str]:
    return Counter(label for example in examples for label in task_type.gold_labels(example))


@dataclass(slots=True)
class Checks:
    """The checks of one command; `warnings` are those that were made, each once."""

    allow: bool = False
    warnings: list[str] = field(default_factory=list)

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            log.warning("%s", message)

    def _refuse(self, message: str, hint: str, **facts: object) -> None:
        """Refuse data, or warn where they are allowed."""
        if not self.allow:
            raise DataError(message, hint=f"{hint}; {ALLOW}", **facts)
        self._warn(message)

    def running_text(self, path: object, lines: Sequence[str]) -> Annotation | None:
        """Check that a file is running text; return what it is instead.

        Raises:
            DataError: most of its lines are annotation, a table, markup or code.
        """
        kind = annotation(lines)
        if kind is None or kind.share < FEW_ANNOTATED:
            return None
        message = f"{path}: this is {kind.name}, not running text"
        if kind.share < MOST_ANNOTATED:
            self._warn(f"{path}: {kind.share:.0%} of the lines look like {kind.name}")
            return None
        if kind.extract is not None and kind.extract(lines):
            hint = "`--extract-text` takes the sentences out of it"
        elif "\t" in lines[0]:
            cut = shell("cut", "-f", "2", path)
            hint = f"take the column with the text out of it: `{cut} > text.txt`"
        else:
            hint = "make a file of its sentences, one a line"
        self._refuse(message, hint, found=kind.name)
        return kind

    def readable(self, tokenizer: Any, texts: Sequence[str], data: str, base: str) -> Readability:
        """Check that a base's vocabulary can read texts.

        Args:
            data: the file or whatever else the texts are from, for messages.
            base: the base's name, for messages.

        Raises:
            DataError: it cannot read most of the words.
        """
        read = readability(tokenizer, texts)
        if read.share <= FEW_UNREADABLE:
            return read
        message = (
            f"{data}: the vocabulary of `{base}` cannot read {read.unreadable} of {read.words} "
            f"words ({read.share:.0%}), as {listed(read.examples, 3)}"
        )
        if read.share > MOST_UNREADABLE and read.words >= FEWEST_WORDS:
            self._refuse(
                message,
                "take a base whose vocabulary has this script, or write the text in another one",
                words=read.words,
                unreadable=read.unreadable,
            )
        else:
            self._warn(message)
        return read

    def readable_examples(self, base: Base, data: Sequence[Example], source: object) -> Readability:
        """Check that a base's vocabulary can read the inputs of examples; see `readable`."""
        texts = [" ".join(example.inputs) for example in data]
        return self.readable(base.tokenizer, texts, str(source), base.identity.name)

    def left_out(
        self, task_type: TaskType, path: object, data: Sequence[Example], labels: Sequence[str]
    ) -> None:
        """Warn of labels of training examples that are not learned (stray tags beside UPOS)."""
        stray = unknown_labels(task_type, data, labels)
        if task_type.labelled and labels and stray.counts:
            self._warn(
                f"{path}: {sum(stray.counts.values())} of {stray.total} labels "
                f"({stray.share:.1%}) are no {label_sets.UNIVERSAL.name} and are not trained on: "
                f"{_counted(stray.counts)}"
            )

    def training(
        self, task: str, task_type: TaskType, path: object, data: Sequence[Example]
    ) -> None:
        """Check the labels of training examples, before a head is made for them.

        Raises:
            DataError: they are of another task, or no labels at all.
        """
        counts = _gold(task_type, data)
        if not task_type.labelled or not counts:
            return
        if label_sets.are_numbers(counts):
            self._refuse(
                f"{path}: the labels are numbers ({listed(counts)}), and no task type here "
                "predicts numbers",
                "name the column with the labels: `--column label=NAME`",
            )
        elif label_sets.are_texts(counts):
            self._refuse(
                f"{path}: {len(counts)} labels in {counts.total()}, nearly every one its own, as "
                f"{listed(counts, 2)}",
                "is the text where the label should be? `--column label=NAME` names the column",
            )
        if _holds_texts(task_type, data):
            self._refuse(
                f"{path}: whole texts where words should be, as `{data[0].inputs[0][:60]}`",
                "for texts with one label each: `--type sequence-classification`",
            )
        other = label_sets.of_another_task(task, counts)
        if other is not None:
            self._refuse(
                f"{path}: the labels are {other.name} ({listed(counts)}), and the task is `{task}`",
                f"train `{min(other.tasks)}` on them",
            )
        self._cases(path, counts)

    def _cases(self, path: object, counts: Mapping[str, int]) -> None:
        for group in label_sets.cases(counts):
            self._warn(f"{path}: {' and '.join(f'`{n}`' for n in group)} differ in case alone")
        labels = label_sets.label_set(counts)
        if labels is label_sets.UNIVERSAL and not any(name.isupper() for name in counts):
            self._warn(
                f"{path}: the labels are {labels.name} in another case ({listed(counts)}): a head "
                "for them knows no label of data in upper case"
            )

    def gold(
        self, task_type: TaskType, path: object, data: Sequence[Example], labels: Sequence[str]
    ) -> UnknownLabels:
        """Check that a head knows the gold labels of a file; return those that it does not know.

        Raises:
            DataError: it knows none of them.  That is never allowed: there is nothing to score.
        """
        if not task_type.labelled:
            return UnknownLabels(0)
        unknown = unknown_labels(task_type, data, labels)
        variants = label_sets.case_of(unknown.counts, labels)
        also = "".join(f"; `{label}` is `{head}` there" for label, head in [*variants.items()][:1])
        if unknown.total and unknown.share == 1:
            raise DataError(
                f"{path}: the head knows none of the labels ({listed(unknown.counts)}); it has "
                f"{listed(labels)}{also}",
                hint="write the labels as the head has them"
                if variants
                else "another column may have the labels (`--column`), or these are data of "
                "another task",
                unknown_labels=dict(unknown.counts),
            )
        if unknown.share > FEW_UNKNOWN:
            self._warn(
                f"{path}: {sum(unknown.counts.values())} of {unknown.total} labels "
                f"({unknown.share:.1%}) are unknown to the head and count as wrong: "
                f"{_counted(unknown.counts)}{also}"
            )
        self._one_label(task_type, path, data, labels)
        return unknown

    def _one_label(
        self, task_type: TaskType, path: object, data: Sequence[Example], labels: Sequence[str]
    ) -> None:
        counts = _gold(task_type, data)
        if len(counts) == 1 and len(labels) > 1 and counts.total() > 1:
            self._warn(f"{path}: every label is {listed(counts)}: any score of it says little")


def _counted(counts: Mapping[str, int], most: int = 5) -> str:
    words = ", ".join(f"`{label[:40]}` {count}" for label, count in list(counts.items())[:most])
    return words + (f" and {len(counts) - most} more" if len(counts) > most else "")


def _holds_texts(task_type: TaskType, data: Sequence[Example]) -> bool:
    """Whether what should be single words are mostly several."""
    words = [word for example in data for word in example.inputs[: len(example.gold)]]
    one_each = all(len(example.gold) == len(example.inputs) for example in data)
    if not one_each or task_type.name != "token-classification":
        return False
    return sum(len(word.split()) > 1 for word in words) > 0.5 * len(words)

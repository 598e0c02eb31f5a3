"""Well-known sets of labels, to notice data that are for another task, and odd lists of labels.

Only labels that most of the data carry, and more than one of them, say what the data are: a task of
somebody's own may well have a label `X` or `pos`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from adapterhub_lite.tasks import spans
from adapterhub_lite.tasks.rows import UPOS

_MOST = 0.5
_FEW = 10
"""Fewer labels than this are no evidence that every line has its own."""
_NUMBER = re.compile(r"[-+]?\d+\.\d+")
_SENTIMENT = frozenset({"pos", "neg", "neu", "positive", "negative", "neutral", "mixed"})
_INFERENCE = frozenset({"entailment", "contradiction", "neutral", "not_entailment"})


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A well-known set of labels: what they are, and the tasks that have them."""

    name: str
    tasks: frozenset[str]


UNIVERSAL = LabelSet("universal parts of speech", frozenset({"pos", "upos"}))
SPANS = LabelSet("tags of spans (names, chunks)", frozenset({"ner", "chunking"}))
SENTIMENT = LabelSet("labels of sentiment", frozenset({"sentiment"}))
INFERENCE = LabelSet("labels of inference", frozenset({"nli"}))
_SETS = (UNIVERSAL, SPANS, SENTIMENT, INFERENCE)
_TASKS = frozenset().union(*(labels.tasks for labels in _SETS)) | {"names", "topic", "intent"}
"""Tasks of which it is known what their labels are, or that they are none of these sets."""


def label_set(counts: Mapping[str, int]) -> LabelSet | None:
    """Return the well-known set that most of the counted labels are from."""
    total = sum(counts.values())
    if not total:
        return None

    def most(kept: Iterable[str]) -> bool:
        names = set(kept)
        return len(names) > 1 and sum(counts[name] for name in names) >= _MOST * total

    if most(name for name in counts if name.upper() in UPOS):
        return UNIVERSAL
    if spans.marks_spans(counts) and any(len(name) > 2 for name in counts):  # not just `B`, `M`
        return SPANS
    if most(name for name in counts if name.lower() in _SENTIMENT):
        return SENTIMENT
    if most(name for name in counts if name.lower() in _INFERENCE):
        return INFERENCE
    return None


def of_another_task(task: str, counts: Mapping[str, int]) -> LabelSet | None:
    """Return the set that labels are from, if it is that of tasks other than `task`."""
    labels = label_set(counts)
    if labels is None or task in labels.tasks or task not in _TASKS:
        return None
    return labels


def are_numbers(counts: Mapping[str, int]) -> bool:
    """Whether labels are decimal numbers, which nothing here predicts."""
    return len(counts) > 1 and all(_NUMBER.fullmatch(label) for label in counts)


def are_texts(counts: Mapping[str, int]) -> bool:
    """Whether nearly every item has a label of its own: the text in the place of the label."""
    total = sum(counts.values())
    return total >= _FEW and len(counts) > 0.8 * total


def cases(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of labels that differ in case alone."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(label.casefold(), []).append(label)
    return [tuple(sorted(group)) for group in groups.values() if len(group) > 1]


def case_of(labels: Iterable[str], others: Sequence[str]) -> dict[str, str]:
    """Return labels that `others` have in another case, each with that spelling."""
    folded = {other.casefold(): other for other in others}
    return {label: folded[label.casefold()] for label in labels if label.casefold() in folded}


def listed(counts: Mapping[str, int] | Iterable[str], most: int = 5) -> str:
    """Return labels for a message, the most frequent first."""
    names = [n for n, _ in Counter(counts).most_common()] if isinstance(counts, Mapping) else None
    names = list(counts) if names is None else names
    words = ", ".join(f"`{name[:40]}`" for name in names[:most])
    return words + (f" and {len(names) - most} more" if len(names) > most else "")

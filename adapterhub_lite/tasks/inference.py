"""Examples to predictions and scores, with compositions that are attached.

Windows of similar length share a forward pass; rows of one pass may have different compositions,
each with the head that is on top of it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from adapterhub_lite.errors import CompositionError
from adapterhub_lite.tasks import pieces
from adapterhub_lite.tasks.base import Batch, Example, Prediction, TaskType, Window
from adapterhub_lite.tasks.forward import on_device, outputs_of
from adapterhub_lite.tasks.scoring import Tally, add_up, tallies_of

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.adapter import HeadSpec
    from adapterhub_lite.model.attach import Attachment

BATCH = 32
"""Windows in one forward pass."""

_encoding = threading.Lock()
"""Fast tokenizers change settings of their own while they encode, which two threads must not."""

Head = tuple["HeadSpec", "Mapping[str, Tensor]"]


def head_of(attachment: Attachment, name: str) -> Head:
    """Return the head on top of an attached composition.

    Raises:
        CompositionError: it has none, so there is nothing to predict.
    """
    head = attachment.head(name)
    if head is None:
        raise CompositionError(
            f"composition `{name}` has no head: there is nothing to predict",
            hint="put a task adapter on top: `stack(LANGUAGE, TASK)`",
        )
    return head


def predict_examples(
    attachment: Attachment,
    task_type: TaskType,
    examples: Sequence[Example],
    names: Sequence[str],
    *,
    heads: Mapping[str, Head] | None = None,
    batch_size: int = BATCH,
) -> list[Prediction]:
    """Return a prediction for every example.

    Args:
        names: for every example the attached composition to use.
        heads: heads by composition, where they are not those on top of the compositions.

    Raises:
        CompositionError: a head of another task type, or none.
        AttachError: the attachment is detached, or covered by a later one.
    """
    attachment.check_at_work()
    if not examples:
        return []
    if heads is None:
        heads = {name: head_of(attachment, name) for name in dict.fromkeys(names)}
    _check_types(heads, task_type)
    base = attachment.base
    longest = pieces.max_length(base.tokenizer, base.model.config)
    with _encoding:
        windows = task_type.encode(base.tokenizer, [_unlabelled(e) for e in examples], (), longest)
    logits = _window_logits(attachment, task_type, windows, names, heads, batch_size=batch_size)
    parts: list[list[tuple[Window, Tensor]]] = [[] for _ in examples]
    for window, part in zip(windows, logits, strict=True):
        parts[window.example].append((window, part))
    return [
        task_type.decode(example, part, heads[name][0].labels)
        for example, part, name in zip(examples, parts, names, strict=True)
    ]


def score_examples(
    attachment: Attachment,
    task_type: TaskType,
    examples: Sequence[Example],
    *,
    name: str,
    head: Head | None = None,
    batch_size: int = BATCH,
) -> tuple[dict[str, float], list[Tally]]:
    """Return the metrics of one attached composition over examples, and each example's tally."""
    head = head or head_of(attachment, name)
    predictions = predict_examples(
        attachment,
        task_type,
        examples,
        [name] * len(examples),
        heads={name: head},
        batch_size=batch_size,
    )
    tallies = tallies_of(task_type, examples, predictions, head[0].labels)
    return task_type.metrics(add_up(tallies), head[0].labels), tallies


def _unlabelled(example: Example) -> Example:
    """Return the example without what is right, which prediction must not see."""
    return replace(example, gold=(), starts=())


def _check_types(heads: Mapping[str, Head], task_type: TaskType) -> None:
    for name, (spec, _) in heads.items():
        if spec.type != task_type.name:
            raise CompositionError(
                f"the head of composition `{name}` is for {spec.type}, asked was {task_type.name}",
                hint="predict the rows of each task type by themselves",
            )


def _window_logits(
    attachment: Attachment,
    task_type: TaskType,
    windows: Sequence[Window],
    names: Sequence[str],
    heads: Mapping[str, Head],
    *,
    batch_size: int,
) -> list[Tensor]:
    """Return (units, choices) for every window."""
    import torch

    order = sorted(range(len(windows)), key=lambda at: len(windows[at].ids))
    found: dict[int, Tensor] = {}
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            some = [windows[at] for at in chosen]
            rows = [names[window.example] for window in some]
            found.update(
                zip(chosen, _batch_logits(attachment, task_type, some, rows, heads), strict=True)
            )
    return [found[at] for at in range(len(windows))]


def _batch_logits(
    attachment: Attachment,
    task_type: TaskType,
    windows: Sequence[Window],
    rows: Sequence[str],
    heads: Mapping[str, Head],
) -> list[Tensor]:
    """Return every window's logits: the base runs once, then each head on its own rows."""
    base = attachment.base
    batch = on_device(task_type.collate(windows, pieces.pad_id(base.tokenizer)), base)
    with attachment.rows(rows):
        outputs = outputs_of(base, task_type, batch)
    found: dict[int, Tensor] = {}
    for name in dict.fromkeys(rows):
        mine = [at for at, row in enumerate(rows) if row == name]
        spec, weights = heads[name]
        kind = task_type.for_head(spec)
        logits = kind.logits(weights, outputs[mine], _rows_of(batch, mine)).cpu()
        found.update(zip(mine, logits, strict=True))
    return [found[at][: window.count] for at, window in enumerate(windows)]


def _rows_of(batch: Batch, rows: Sequence[int]) -> Batch:
    return {key: value[list(rows)] for key, value in batch.items()}

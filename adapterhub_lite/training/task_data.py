"""Labelled data of a task: read, checked, with its label list, and cut into batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapterhub_lite.adapter import Corpus, HeadSpec
from adapterhub_lite.errors import DataError, TrainingError, UsageError
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks import memory, pieces
from adapterhub_lite.tasks.base import Columns, Example, TaskType
from adapterhub_lite.tasks.reading import read_examples
from adapterhub_lite.tasks.suitability import Checks
from adapterhub_lite.training import setup
from adapterhub_lite.training.batches import WindowBatches
from adapterhub_lite.training.settings import TaskSettings
from adapterhub_lite.training.setup import Place

log = logging.getLogger(__name__)

TASK_TYPES = {
    **dict.fromkeys(("pos", "upos", "ner", "chunking"), "token-classification"),
    **dict.fromkeys(("names", "nli", "sentiment", "topic", "intent"), "sequence-classification"),
    **dict.fromkeys(("qa", "squad"), "question-answering"),
}
"""Task types of tasks that go by one name everywhere."""


@dataclass(frozen=True, slots=True)
class Data:
    """Training data of a task, read and with its label list."""

    task: str
    task_type: TaskType
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    head: HeadSpec
    corpora: tuple[Corpus, ...]
    dev_corpus: Corpus | None = None


def type_of(task: str, task_type: str | None) -> str:
    """Return the task type's name: as given, else by the task's name.

    Raises:
        UsageError: an unknown task with no task type given.
    """
    if task_type is None and task not in TASK_TYPES:
        raise UsageError(
            f"which type of task is `{task}`?",
            hint="add `--type token-classification`, `sequence-classification` or "
            "`question-answering`",
        )
    return task_type or TASK_TYPES[task]


def read_data(
    where: Place,
    task: str,
    *,
    task_type: str | None,
    train: Any,
    dev: Any,
    columns: Columns | None,
    format: str | None = None,
    tag: str,
    settings: TaskSettings,
    checks: Checks | None = None,
) -> Data:
    """Return the data of a task.

    Raises:
        DataError: a bad line, one label only, labels of another task, no label in `dev` that
            `train` has, or text that the base's vocabulary cannot read.
    """
    kind = where.plugins.task_type(type_of(task, task_type))
    files = _data_list(train)
    read = [(data, read_examples(kind, data, columns, format=format)) for data in files]
    examples = tuple(e for _, found in read for e in found)[: settings.limit]
    checks = checks or Checks()
    checks.training(task, kind, _name(files[0]), examples)
    labels = kind.labels(examples)
    if kind.labelled and len(labels) < 2:
        found = f"only `{labels[0]}`" if labels else "none"
        raise DataError(f"{_name(files[0])}: at least two labels are needed, found {found}")
    development: tuple[Example, ...] = ()
    if dev is not None:
        dev = _read_once(dev, "dev")
        development = tuple(read_examples(kind, dev, columns, format=format, name="dev"))
        _check_dev(kind, str(dev) if memory.is_path(dev) else "dev", development, labels, checks)
        checks.readable_examples(where.base, development, dev if memory.is_path(dev) else "dev")
    checks.left_out(kind, _name(files[0]), examples, labels)
    checks.readable_examples(where.base, examples, _name(files[0]))
    head = HeadSpec(kind.name, labels)
    return Data(
        task,
        kind.for_head(head),
        examples,
        development,
        head,
        tuple(_corpus(data, len(found), tag) for data, found in read),
        _corpus(dev, len(development), tag) if dev is not None else None,
    )


def _data_list(data: Any) -> list[Any]:
    """Return training data as a list: of files, or of one thing that holds records."""
    if memory.is_path(data):
        return [data]
    if isinstance(data, list | tuple) and data and all(map(memory.is_path, data)):
        return list(data)
    return [_read_once(data, "train")]


def _read_once(data: Any, name: str) -> Any:
    """Return a path as it is, and records as a list: a generator has nothing the second time."""
    if memory.is_path(data):
        return data
    return [record.fields for record in memory.records(data, name)]


def _name(data: Any) -> str:
    return str(data) if memory.is_path(data) else "train"


def _corpus(data: Any, examples: int, tag: str) -> Corpus:
    if memory.is_path(data):
        return setup.corpus(Path(data), examples, tag)
    return Corpus("records", memory.digest(memory.records(data, "train")), examples, tag)


def _check_dev(
    kind: TaskType,
    name: str,
    examples: Sequence[Example],
    labels: Sequence[str],
    checks: Checks,
) -> None:
    if not any(kind.size(example) for example in examples):
        raise DataError(f"{name}: nothing in it has a label to compare with")
    checks.gold(kind, name, examples, labels)


def fresh_head(data: Data, base: Base, seed: int) -> dict[str, torch.Tensor]:
    """Return a new head's weights by their full keys.  Same seed, same bytes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = data.task_type.init_head(data.head, base.identity)
    return {f"head.{key}": tensor for key, tensor in head.items()}


def window_batches(
    data: Data, base: Base, settings: TaskSettings, compositions: Sequence[str] = ()
) -> WindowBatches:
    """Return the batches of the training examples.

    Raises:
        TrainingError: no example has a label.
    """
    longest = settings.max_length or pieces.max_length(base.tokenizer, base.model.config)
    windows = data.task_type.encode(base.tokenizer, data.train, data.head.labels, longest)
    lost = sum(window.lost for window in windows)
    if lost:
        log.warning("%d tokens were cut from examples longer than %d tokens", lost, longest)
    batches = WindowBatches(
        windows,
        data.task_type,
        pad=pieces.pad_id(base.tokenizer),
        batch_size=settings.batch_size,
        seed=settings.seed,
        compositions=compositions,
    )
    if not batches.windows:
        raise TrainingError("no training example has a label that can be learned")
    return batches

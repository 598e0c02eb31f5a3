"""Examples of whatever labelled data a caller has: a file, or what a program holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import UsageError
from adapterhub_lite.tasks import memory

if TYPE_CHECKING:
    from adapterhub_lite.tasks.base import Columns, Example, TaskType


def read_examples(
    task_type: TaskType,
    data: Any,
    columns: Columns | None = None,
    *,
    gold: bool = True,
    format: str | None = None,
    name: str = "data",
) -> list[Example]:
    """Return the examples of a file, or of records: a frame, a split, dictionaries.

    Args:
        columns: the data's names or numbers of the columns that are looked for.
        gold: whether labels must be there.
        format: of a file, one of `formats.FORMATS`; left out, it is told from the content.
        name: of the argument, for messages.

    Raises:
        DataError: data that cannot be used; the message starts with `file:line` or `data[3]`.
        UsageError: a format that does not fit, or data of no kind that can be read.
    """
    if memory.is_path(data):
        options = {} if format is None else {"format": format}
        examples = task_type.read(Path(data), columns, gold=gold, **options)
        return [replace(example, file=str(data)) for example in examples]
    if format is not None:
        raise UsageError(f"`{name}` is no file, so it has no format", hint="leave `format` out")
    return task_type.from_records(memory.records(data, name), columns, gold=gold)


def read_inputs(task_type: TaskType, inputs: Any, columns: Columns | None = None) -> list[Example]:
    """Return examples of what a caller of `predict` has: items, a text alone, or records.

    Raises:
        UsageError: an item that the task type cannot use.
        DataError: an item that is nothing, or a record without what is needed.
    """
    items = [inputs] if isinstance(inputs, str) else memory.items(inputs, "inputs")
    if items and all(isinstance(item, Mapping) for item in items):
        records = memory.records(items, "inputs")
        return task_type.from_records(records, columns, gold=False)
    return task_type.examples(items)

"""Data that a Python program holds: lists of dictionaries, data frames, data sets of `datasets`.

None of these libraries is imported: what is needed of them is told by what they can do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapterhub_lite.errors import DataError, UsageError
from adapterhub_lite.tasks.tables import Record, missing

FORMS = "a path, a data frame, a data set's split, or dictionaries"


def is_path(data: object) -> bool:
    """Whether data is the path of a file."""
    return isinstance(data, str | Path)


def holds_records(data: Any) -> bool:
    """Whether something holds records by its own form: a data frame, or a split of a data set."""
    return hasattr(data, "column_names") or (hasattr(data, "columns") and hasattr(data, "to_dict"))


def items(data: Any, name: str = "data") -> list[Any]:
    """Return what data holds, one by one; rows of a frame and of a split are dictionaries.

    Raises:
        UsageError: a whole data set with several splits, or nothing that can be gone through.
        DataError: an item that is `None`.
    """
    if isinstance(data, Mapping):
        data = _only_split(data, name)
    if hasattr(data, "columns") and hasattr(data, "to_dict"):
        found: list[Any] = _rows(data)
    elif isinstance(data, Iterable) and not isinstance(data, str | bytes):
        found = _named_labels(data) if hasattr(data, "features") else list(data)
    else:
        raise UsageError(f"`{name}` is {type(data).__name__}, expected {FORMS}")
    for number, item in enumerate(found):
        if not isinstance(item, str) and missing(item):
            raise DataError(
                f"{name}[{number}] is `{item}`, expected a text or another item to work on",
                hint=f"leave it out, as in `[item for item in {name} if item is not None]`",
            )
    return found


def records(data: Any, name: str = "data") -> list[Record]:
    """Return records.

    Raises:
        UsageError, DataError: see `items`; also an item that is no dictionary, or no item.
    """
    found = []
    for number, item in enumerate(items(data, name)):
        if not isinstance(item, Mapping):
            kind = type(item).__name__
            raise DataError(f"{name}[{number}]: expected a dictionary, found {kind}")
        found.append(Record(None, dict(item), f"{name}[{number}]"))
    if not found:
        raise DataError(f"`{name}` is empty")
    return found


def digest(data: Sequence[Record]) -> str:
    """Return the SHA-256 of records: equal where their fields and values are."""
    text = "\n".join(
        json.dumps(record.fields, sort_keys=True, ensure_ascii=False, default=str)
        for record in data
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _only_split(data: Mapping[Any, Any], name: str) -> Any:
    splits = {key: value for key, value in data.items() if holds_records(value)}
    if len(splits) == 1 and len(data) == 1:
        return next(iter(splits.values()))
    if splits:
        names = ", ".join(f"`{key}`" for key in splits)
        first = next(iter(splits))
        raise UsageError(
            f"`{name}` has several splits: {names}", hint=f"choose one, as `{name}[{first!r}]`"
        )
    return [data]


def _rows(frame: Any) -> list[dict[str, Any]]:
    """Return a frame's rows (pandas: `orient="records"`; Polars: `to_dicts`)."""
    if hasattr(frame, "to_dicts"):
        return list(frame.to_dicts())
    rows: list[dict[str, Any]] = frame.to_dict(orient="records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _named_labels(data: Any) -> list[Any]:
    """Return a split's rows, with the numbers of its labels replaced by their names."""
    names = {
        column: labels
        for column, feature in dict(data.features or {}).items()
        if (labels := _label_names(feature)) is not None
    }
    return [
        {**row, **{column: _spelt(row.get(column), labels) for column, labels in names.items()}}
        for row in data
    ]


def _label_names(feature: Any) -> Sequence[str] | None:
    """Return the names of a `ClassLabel`, or of a list of them."""
    inner = feature[0] if isinstance(feature, list) and feature else feature
    inner = getattr(inner, "feature", inner)
    names = getattr(inner, "names", None)
    return list(names) if isinstance(names, list | tuple) else None


def _spelt(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list | tuple):
        return [_spelt(item, names) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else None
    return value

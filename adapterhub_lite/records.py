"""Frozen dataclasses as JSON values, and back, read strictly.

What a record holds decides what runs, so nothing in it may be guessed: an unknown key, a missing
key or a wrong type is an error that names it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from adapterhub_lite import digests
from adapterhub_lite.errors import AhlError, near

Fields: TypeAlias = tuple[tuple[str, Any], ...]
_PLAIN = frozenset({str, int, float, bool, type(None)})
_KEPT = 4096
_texts: dict[str, str] = {}


class RecordError(AhlError):
    """JSON values that do not spell a record; who reads a file turns it into an error of theirs."""


def plain(value: Any) -> Any:
    """Return JSON values; fields at their default are left out."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if (fields := fields_of(kind)) is not None:
        found = ((name, getattr(value, name), default) for name, default in fields)
        return {
            name: plain(item)
            for name, item, default in found
            if item is not default and item != default
        }
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


def config_text(config: Mapping[str, Any]) -> str:
    """Return a config's canonical JSON, from memory if it was asked before: adapters share configs.

    Of plain values, `repr` spells alike only what is alike (`==` takes 1 for 1.0 and for True).
    """
    if not _PLAIN.issuperset(map(type, config.values())):
        return digests.canonical(plain(config))
    spelt = repr(config)
    if spelt not in _texts:
        if len(_texts) >= _KEPT:
            _texts.clear()
        _texts[spelt] = digests.canonical(plain(config))
    return _texts[spelt]


@functools.cache
def fields_of(kind: Any) -> Fields | None:
    """Return a dataclass's fields and defaults; a required one's default equals nothing."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple((f.name, _default(f)) for f in dataclasses.fields(kind))


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


Reader: TypeAlias = Callable[[Any, str], Any]


@functools.cache
def reader(hint: Any) -> Reader:
    """Return the function that reads a value of a type; `where` is how errors call its place."""
    if dataclasses.is_dataclass(hint):
        return _object_reader(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        (inner,) = (a for a in arguments if a is not type(None))
        read = reader(inner)
        return lambda value, where: None if value is None else read(value, where)
    if origin is tuple:
        return _list_reader(reader(arguments[0]))
    if origin is list:
        as_tuple = _list_reader(reader(arguments[0]))
        return lambda value, where: list(as_tuple(value, where))
    if hint is Any:
        return lambda value, _where: value
    if origin is not None and issubclass(origin, Mapping):
        return _mapping_reader(reader(arguments[1]))
    return _enum_reader(hint) if issubclass(hint, StrEnum) else _scalar_reader(hint)


def _object_reader(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    readers = {f.name: reader(hints[f.name]) for f in dataclasses.fields(kind)}
    required = [name for name, default in fields_of(kind) or () if default is dataclasses.MISSING]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        for key in value:
            if key not in readers:
                raise RecordError(f"{where} has no field `{key}`", hint=near(key, readers))
        for name in required:
            if name not in value:
                raise RecordError(f"{where} lacks `{name}`")
        return kind(**{k: readers[k](v, f"{where}.{k}") for k, v in value.items()})

    return read


def _list_reader(inner: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(inner(item, f"{where}[{i}]") for i, item in enumerate(value))

    return read


def _mapping_reader(inner: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {key: inner(item, f"{where}.{key}") for key, item in value.items()}

    return read


def _enum_reader(kind: type[StrEnum]) -> Reader:
    known = {str(member): member for member in kind}

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, str) or value not in known:
            raise _wrong(where, "one of " + ", ".join(known), value)
        return known[value]

    return read


def _scalar_reader(kind: type) -> Reader:
    def read(value: Any, where: str) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise _wrong(where, kind.__name__, value)

    return read


def _wrong(where: str, wanted: str, found: Any) -> RecordError:
    return RecordError(f"{where} must be {wanted}, found {json.dumps(found, default=str)[:80]}")

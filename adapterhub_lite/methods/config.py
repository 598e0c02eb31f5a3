"""Configs of methods: frozen dataclasses that are strict about what they are made from.

A config survives JSON, refuses unknown keys and wrong types by name, and lists its own fields for
`ahl methods` and for `--set name=value`.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

from adapterhub_lite.errors import MethodError, near
from adapterhub_lite.foreign.reading import Reader

_READER = Reader(MethodError)


WIDEST = 65_536
"""The largest rank, length or inner width that is taken: what is larger is no adapter."""

SMALLEST_REDUCTION = 1 / 64
"""The smallest factor that sizes are divided by: below it, no adapter is smaller than its base."""


def option(
    default: Any,
    help: str,
    *,
    omit_default: bool = False,
    at_least: float = -math.inf,
    at_most: float = math.inf,
) -> Any:
    """Return a dataclass field with a default and the one-line help that `ahl methods` shows.

    Args:
        omit_default: leave the field out of `to_mapping` at its default, so that configs (and
            their digests) from before the field existed stay what they were.
        at_least: the smallest number that makes sense; of a tuple, for each of its numbers.
        at_most: the largest one: tensors are made of these sizes.
    """
    bounds = (at_least, at_most)
    metadata = {"help": help, "omit_default": omit_default, "bounds": bounds}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One field of a config, for tables."""

    name: str
    type: str
    default: Any
    help: str


@dataclass(frozen=True)
class MethodConfig:
    """Base of all configs.  Subclasses are frozen dataclasses whose fields all have defaults."""

    def __post_init__(self) -> None:
        self.check()
        for f in fields(self):
            value = getattr(self, f.name)
            if not isinstance(value, (str, bool)):
                _check_numbers(f"`{type(self).__name__}.{f.name}`", value, f.metadata)

    def check(self) -> None:
        """Raise `MethodError` for values that make no sense; override to add checks."""

    def to_mapping(self) -> dict[str, Any]:
        """Return the config as JSON values; all fields but `omit_default` ones at their default."""
        return {
            f.name: _plain(getattr(self, f.name))
            for f in fields(self)
            if not (f.metadata.get("omit_default") and getattr(self, f.name) == f.default)
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the config that JSON values spell.

        Raises:
            MethodError: an unknown key, a wrong type, or a value that makes no sense.
        """
        hints = _hints(cls)
        known = {f.name for f in fields(cls)}
        for key in values:
            if key not in known:
                raise MethodError(f"`{cls.__name__}` has no field `{key}`", hint=near(key, known))
        return cls(**{key: _typed(cls, key, value, hints[key]) for key, value in values.items()})

    @classmethod
    def from_settings(cls, settings: Iterable[str]) -> Self:
        """Return the config from `name=value` texts, as `--set` takes them."""
        values: dict[str, Any] = {}
        for setting in settings:
            key, equals, text = setting.partition("=")
            if not equals:
                raise MethodError(f"expected `name=value`, found `{setting}`")
            values[key.strip()] = _from_text(text.strip())
        return cls.from_mapping(values)

    @classmethod
    def describe(cls) -> list[FieldInfo]:
        """Return the fields with type, default and help."""
        hints = _hints(cls)
        return [
            FieldInfo(
                name=f.name,
                type=_type_name(hints[f.name]),
                default=None if f.default is MISSING else _plain(f.default),
                help=f.metadata.get("help", ""),
            )
            for f in fields(cls)
        ]


def _check_numbers(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    """Refuse numbers that are not finite, have more than 64 bits, or are out of their bounds."""
    low, high = metadata.get("bounds", (-math.inf, math.inf))
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            if not low <= number <= high:
                limit = f"at least {low:g}" if number < low else f"at most {high:g}"
                raise MethodError(f"{name} must be {limit}, found {number:g}")
            if not -_LARGE <= number < _LARGE:
                raise MethodError(f"{name} must be a finite number of 64 bits, found {number:g}")


_LARGE = 1 << 63
_HINTS: dict[type, dict[str, Any]] = {}


def _hints(kind: type) -> dict[str, Any]:
    """Return a config's annotations, looked up once: resolving asks with every adapter."""
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _from_text(text: str) -> Any:
    try:
        return _READER.json(text, f"`{text}`")
    except MethodError:
        return text.split(",") if "," in text else text


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)


def _typed(cls: type, key: str, value: Any, hint: Any) -> Any:
    accepted, result = _convert(value, hint)
    if not accepted:
        raise MethodError(
            f"`{cls.__name__}.{key}` must be {_type_name(hint)}, "
            f"found {json.dumps(value, default=str)}"
        )
    return result


def _convert(value: Any, hint: Any) -> tuple[bool, Any]:
    """Return whether `value` fits the annotation, and it in the annotation's own form."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        results = (_convert(value, argument) for argument in arguments)
        return next((r for r in results if r[0]), (False, None))
    if origin is typing.Literal:
        return value in arguments, value
    if origin is tuple:
        items = [value] if isinstance(value, (str, int)) else value
        if not isinstance(items, (list, tuple)):
            return False, None
        results_list = [_convert(item, arguments[0]) for item in items]
        return all(ok for ok, _ in results_list), tuple(item for _, item in results_list)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return True, float(value)
    if isinstance(value, bool) and hint is not bool:
        return False, None
    return isinstance(value, hint), value

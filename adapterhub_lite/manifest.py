"""`adapter.json`: manifests as JSON, read strictly.

An unknown key, a missing key or a wrong type is an error that names it: a manifest decides which
weights run under which, so nothing in it may be guessed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import operator
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, TypeAlias

from adapterhub_lite import digests, languages
from adapterhub_lite.adapter import (
    FORMAT,
    BaseIdentity,
    LanguageUse,
    Manifest,
    Provider,
    Underneath,
)
from adapterhub_lite.digests import Digest
from adapterhub_lite.errors import LanguageTagError, ManifestError, near

FILE = "adapter.json"
WEIGHTS = "weights.safetensors"

_Fields: TypeAlias = tuple[tuple[str, Any], ...]
_PLAIN = frozenset({str, int, float, bool, type(None)})
_SHARED = frozenset({BaseIdentity, Provider, LanguageUse, Underneath})  # the same in many manifests


def to_json(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest as JSON values; fields at their default are left out."""
    values = _to_json(manifest)
    assert isinstance(values, dict)
    return {"format": manifest.format, **values}


def from_json(values: object) -> Manifest:
    """Return the manifest that JSON values spell.

    Raises:
        ManifestError: newer format, unknown or missing key, wrong type, unregistered tag.
    """
    if not isinstance(values, dict):
        raise ManifestError(f"a manifest is a JSON object, found {type(values).__name__}")
    number = values.get("format")
    if not isinstance(number, int) or number < 1:
        raise ManifestError(f"a manifest has a format number, found {number!r}")
    if number > FORMAT:
        raise ManifestError(
            f"this adapter has manifest format {number}, this version reads up to {FORMAT}",
            hint="upgrade: `pip install -U adapterhub_lite`",
        )
    result = _reader(Manifest)(values, "manifest")
    assert isinstance(result, Manifest)
    _check_tags(result.languages)
    return result


def canonical(manifest: Manifest) -> str:
    """Return the one text of a manifest that its digest is of.

    Raises:
        ManifestError: a value that JSON cannot spell, such as NaN.
    """
    try:
        text = _object_text(manifest, always="format")
        text.encode()
    except (TypeError, ValueError) as error:
        raise ManifestError(f"the manifest has a value that JSON cannot spell: {error}") from None
    return text


def digest(manifest: Manifest) -> Digest:
    """Return the adapter's identity: its manifest's digest (which holds the weights' digest)."""
    return digests.of_bytes(canonical(manifest).encode())


def read(folder: Path) -> Manifest:
    """Return the manifest in an adapter's folder.

    Raises:
        ManifestError: missing, not JSON, or wrong in content; the message names the file.
    """
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ManifestError(
            f"`{folder}` is no adapter: it has no `{FILE}`",
            hint="folders of other libraries come in with `ahl import`",
        ) from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot read `{path}`: {error}") from None
    try:
        return from_json(values)
    except ManifestError as error:
        raise ManifestError(f"`{path}`: {error.message}", hint=error.hint) from None


def dumps(manifest: Manifest) -> str:
    """Return the text of `adapter.json`."""
    return json.dumps(to_json(manifest), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


_normal = functools.lru_cache(maxsize=4096)(languages.normalise)


def _check_tags(uses: tuple[LanguageUse, ...]) -> None:
    for use in uses:
        try:
            normal = _normal(use.tag)
        except LanguageTagError as error:
            raise ManifestError(error.message, hint=error.hint) from None
        if normal != use.tag:
            raise ManifestError(f"language tag `{use.tag}` is not in normal form (`{normal}`)")


def _to_json(value: Any) -> Any:
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if (fields := _fields(kind)) is not None:
        found = ((name, getattr(value, name), default) for name, default in fields)
        return {
            name: _to_json(item)
            for name, item, default in found
            if item is not default and item != default
        }
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_to_json(item) for item in value]
    return value


@functools.cache
def _fields(kind: Any) -> _Fields | None:
    """Return a dataclass's fields and defaults; a required one's default equals nothing."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple((f.name, _default(f)) for f in dataclasses.fields(kind))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    kind: Any = type(value)
    if kind in _SHARED:
        return _shared_text(value)
    if isinstance(value, tuple):
        return f"[{','.join(map(_text, value))}]"
    if _fields(kind) is not None:
        return _object_text(value)
    return digests.canonical(_to_json(value))


def _object_text(value: Any, always: str = "") -> str:
    """Return `digests.canonical(to_json(value))` in half the time: bulk adds live on it."""
    kind: Any = type(value)
    get, fields = _sorted_fields(kind)
    members = [
        f'"{name}":{_text(item)}'
        for (name, default), item in zip(fields, get(value), strict=True)
        if (item is not default and item != default) or name == always
    ]
    return f"{{{','.join(members)}}}"


_shared_text = functools.lru_cache(maxsize=4096)(_object_text)


@functools.cache
def _sorted_fields(kind: Any) -> tuple[Callable[[Any], tuple[Any, ...]], _Fields]:
    fields = tuple(sorted(_fields(kind) or (), key=lambda field: field[0]))
    return operator.attrgetter(*(name for name, _ in fields)), fields


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


_Reader: TypeAlias = Callable[[Any, str], Any]


@functools.cache
def _reader(hint: Any) -> _Reader:
    """Return the function that reads a value of a type; `where` is how errors call its place."""
    if dataclasses.is_dataclass(hint):
        return _object_reader(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        (inner,) = (a for a in arguments if a is not type(None))
        read = _reader(inner)
        return lambda value, where: None if value is None else read(value, where)
    if origin is tuple:
        return _list_reader(_reader(arguments[0]))
    if hint is Any:
        return lambda value, _where: value
    if origin is not None and issubclass(origin, Mapping):
        return _mapping_reader(_reader(arguments[1]))
    return _enum_reader(hint) if issubclass(hint, StrEnum) else _scalar_reader(hint)


def _object_reader(kind: Any) -> _Reader:
    hints = typing.get_type_hints(kind)
    readers = {f.name: _reader(hints[f.name]) for f in dataclasses.fields(kind)}
    required = [name for name, default in _fields(kind) or () if default is dataclasses.MISSING]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        for key in value:
            if key not in readers:
                raise ManifestError(f"{where} has no field `{key}`", hint=near(key, readers))
        for name in required:
            if name not in value:
                raise ManifestError(f"{where} lacks `{name}`")
        return kind(**{k: readers[k](v, f"{where}.{k}") for k, v in value.items()})

    return read


def _list_reader(inner: _Reader) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(inner(item, f"{where}[{i}]") for i, item in enumerate(value))

    return read


def _mapping_reader(inner: _Reader) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {key: inner(item, f"{where}.{key}") for key, item in value.items()}

    return read


def _enum_reader(kind: type[StrEnum]) -> _Reader:
    known = {str(member): member for member in kind}

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, str) or value not in known:
            raise _wrong(where, "one of " + ", ".join(known), value)
        return known[value]

    return read


def _scalar_reader(kind: type) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise _wrong(where, kind.__name__, value)

    return read


def _wrong(where: str, wanted: str, found: Any) -> ManifestError:
    return ManifestError(f"{where} must be {wanted}, found {json.dumps(found, default=str)[:80]}")

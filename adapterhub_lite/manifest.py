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
    result = _from_json(values, Manifest, "manifest")
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


def _check_tags(uses: tuple[LanguageUse, ...]) -> None:
    for use in uses:
        try:
            normal = languages.normalise(use.tag)
        except LanguageTagError as error:
            raise ManifestError(error.message, hint=error.hint) from None
        if normal != use.tag:
            raise ManifestError(f"language tag `{use.tag}` is not in normal form (`{normal}`)")


def _to_json(value: Any) -> Any:
    kind = type(value)
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
def _fields(kind: type) -> _Fields | None:
    """Return a dataclass's fields and defaults; a required one's default equals nothing."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple((f.name, _default(f)) for f in dataclasses.fields(kind))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if type(value) in _SHARED:
        return _shared_text(value)
    if isinstance(value, tuple):
        return f"[{','.join(map(_text, value))}]"
    if _fields(type(value)) is not None:
        return _object_text(value)
    return digests.canonical(_to_json(value))


def _object_text(value: Any, always: str = "") -> str:
    """Return `digests.canonical(to_json(value))` in half the time: bulk adds live on it."""
    get, fields = _sorted_fields(type(value))
    members = [
        f'"{name}":{_text(item)}'
        for (name, default), item in zip(fields, get(value), strict=True)
        if (item is not default and item != default) or name == always
    ]
    return f"{{{','.join(members)}}}"


_shared_text = functools.lru_cache(maxsize=4096)(_object_text)


@functools.cache
def _sorted_fields(kind: type) -> tuple[Callable[[Any], tuple[Any, ...]], _Fields]:
    fields = tuple(sorted(_fields(kind) or (), key=lambda field: field[0]))
    return operator.attrgetter(*(name for name, _ in fields)), fields


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _from_json(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _object(value, hint, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = [a for a in arguments if a is not type(None)]
        return _from_json(value, inner, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(_from_json(v, arguments[0], f"{where}[{i}]") for i, v in enumerate(value))
    if hint is Any:
        return value
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {
            key: _from_json(item, arguments[1], f"{where}.{key}") for key, item in value.items()
        }
    return _scalar(value, hint, where)


def _object(value: Any, hint: type, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    fields = {f.name: f for f in dataclasses.fields(hint)}
    for key in value:
        if key not in fields:
            raise ManifestError(f"{where} has no field `{key}`", hint=near(key, fields))
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise ManifestError(f"{where} lacks `{name}`")
    hints = _hints(hint)
    return hint(**{k: _from_json(v, hints[k], f"{where}.{k}") for k, v in value.items()})


def _scalar(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if value not in [member.value for member in hint]:
            raise _wrong(where, "one of " + ", ".join(m.value for m in hint), value)
        return hint(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(where, hint.__name__, value)
    return value


def _wrong(where: str, wanted: str, found: Any) -> ManifestError:
    return ManifestError(f"{where} must be {wanted}, found {json.dumps(found, default=str)[:80]}")

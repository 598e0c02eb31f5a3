"""`adapter.json`: manifests as JSON, read strictly.

An unknown key, a missing key or a wrong type is an error that names it: a manifest decides which
weights run under which, so nothing in it may be guessed.
"""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from adapterhub_lite import digests, languages, records
from adapterhub_lite.adapter import (
    FORMAT,
    BaseIdentity,
    LanguageUse,
    Manifest,
    Provider,
    Underneath,
)
from adapterhub_lite.digests import Digest
from adapterhub_lite.errors import LanguageTagError, ManifestError

FILE = "adapter.json"
WEIGHTS = "weights.safetensors"

_SHARED = frozenset({BaseIdentity, Provider, LanguageUse, Underneath})  # the same in many manifests


def to_json(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest as JSON values; fields at their default are left out."""
    values = records.plain(manifest)
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
    try:
        result = records.reader(Manifest)(values, "manifest")
    except records.RecordError as error:
        raise ManifestError(error.message, hint=error.hint) from None
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


def _text(value: Any) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    kind: Any = type(value)
    if kind is int:
        return str(value)
    if kind in _SHARED:
        return _shared_text(value)
    if kind is tuple:
        return f"[{','.join(map(_text, value))}]"
    if records.fields_of(kind) is not None:
        return _object_text(value)
    if kind is dict:
        return records.config_text(value)
    return digests.canonical(records.plain(value))


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
def _sorted_fields(kind: Any) -> tuple[Callable[[Any], tuple[Any, ...]], records.Fields]:
    fields = tuple(sorted(records.fields_of(kind) or (), key=lambda field: field[0]))
    return operator.attrgetter(*(name for name, _ in fields)), fields

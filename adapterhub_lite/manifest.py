"""`adapter.json`: manifests as JSON, read strictly.

An unknown key, a missing key or a wrong type is an error that names it: a manifest decides which
weights run under which, so nothing in it may be guessed.
"""

from __future__ import annotations

import functools
import json
import math
import operator
import re
from collections.abc import Callable, Iterator
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
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.foreign.text import OBEYED

FILE = "adapter.json"
WEIGHTS = "weights.safetensors"

_READER = Reader(ManifestError, one_line=True, free=frozenset({"citation"}))

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
    if type(number) is not int or number < 1:
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
        values = _READER.json_file(path)
    except FileNotFoundError:
        raise ManifestError(
            f"`{folder}` is no adapter: it has no `{FILE}`",
            hint="folders of other libraries come in with `ahl import`",
        ) from None
    try:
        manifest = from_json(values)
        check(manifest, canonical(manifest))
    except ManifestError as error:
        raise ManifestError(f"`{path}`: {error.message}", hint=error.hint) from None
    return manifest


_HUB_ID = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9._-]{1,96})?)?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_SUSPECT = re.compile(rf'{OBEYED.pattern}|\\[^"\\]')
"""What a canonical text has only where a value holds what a terminal obeys, or a tab."""

_SMALL, _LARGE = 1 << 31, 1 << 63


def check(manifest: Manifest, text: str) -> None:
    """Refuse what no honest manifest says; `text` is its canonical text.

    Whatever enters a registry comes through here.  What a registry holds from before is read all
    the same, and printed with care (`foreign.text`).

    Raises:
        ManifestError: text that a terminal would obey, a number that cannot be, or no Hub id where
            one is meant; names the field.
    """
    if not (text.isprintable() and "\\" not in text) and _SUSPECT.search(text):
        _READER.json(text, "the manifest")
    _check_base(manifest.base)
    _check_numbers(manifest)
    for field, hub_id in _hub_ids(manifest):
        if hub_id is not None and not _HUB_ID.fullmatch(hub_id):
            raise ManifestError(f"{field} must be a Hub id, found `{hub_id[:80]}`")
    revision = manifest.source.revision if manifest.source else None
    if revision is not None and not _REVISION.fullmatch(revision):
        raise ManifestError(f"`source.revision` must be a revision, found `{revision[:80]}`")


@functools.lru_cache(maxsize=4096)
def _check_base(base: BaseIdentity) -> None:
    for name in ("hidden_size", "layers", "vocab_size"):
        if not 0 < getattr(base, name) < _SMALL:
            value = getattr(base, name)
            raise ManifestError(f"`base.{name}` must be between 1 and {_SMALL - 1}, found {value}")


def _check_numbers(manifest: Manifest) -> None:
    training = manifest.training
    numbers = [("`weights.size`", manifest.weights.size)] if manifest.weights else []
    if training is not None:
        numbers += [("`training.tokens`", training.tokens), ("`training.steps`", training.steps)]
    for name, number in (*numbers, *(("`leave_out`", layer) for layer in manifest.leave_out)):
        if not 0 <= number < _LARGE:
            raise ManifestError(f"{name} must be between 0 and {_LARGE - 1}, found {number}")
    for parent in manifest.parents:
        if not math.isfinite(parent.weight):
            raise ManifestError(f"`parents` has the weight {parent.weight}")


def _hub_ids(manifest: Manifest) -> Iterator[tuple[str, str | None]]:
    if manifest.source is not None:
        yield "`source.hub_id`", manifest.source.hub_id
    for under in (*manifest.trained_over, *manifest.seen):
        yield "`source` of what it was trained over", under.source


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

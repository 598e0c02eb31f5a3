"""Digests: SHA-256 over canonical JSON or over bytes, written as 64 hexadecimal letters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NewType

Digest = NewType("Digest", str)

SHORT = 12
"""Letters of a digest that messages show; enough to be unique in any registry we can think of."""


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical(value: object) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(value)


_KEPT = 4096
_SCALARS = frozenset({str, int, float, bool, type(None)})
_texts: dict[str, str] = {}


def canonical_config(config: Mapping[str, Any]) -> str:
    """Return `canonical(config)`, from memory if it was asked before: adapters share configs.

    Of plain values, `repr` spells alike only what is alike (`==` takes 1 for 1.0 and for True).
    """
    values = dict(config)
    if not _SCALARS.issuperset(map(type, values.values())):
        return canonical(values)
    spelt = repr(values)
    if spelt not in _texts:
        if len(_texts) >= _KEPT:
            _texts.clear()
        _texts[spelt] = canonical(values)
    return _texts[spelt]


def of_json(value: object) -> Digest:
    """Return the digest of a JSON value."""
    return Digest(hashlib.sha256(canonical(value).encode()).hexdigest())


def of_bytes(data: bytes) -> Digest:
    """Return the digest of bytes."""
    return Digest(hashlib.sha256(data).hexdigest())


def of_file(path: Path) -> Digest:
    """Return the digest of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return Digest(hashlib.file_digest(stream, "sha256").hexdigest())

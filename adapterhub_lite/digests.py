"""Digests: SHA-256 over canonical JSON or over bytes, written as 64 hexadecimal letters."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NewType

Digest = NewType("Digest", str)

SHORT = 12
"""Letters of a digest that messages show; enough to be unique in any registry we can think of."""


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical(value: object) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(value)


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

"""What an object store promises, whatever it is built on.

An object is a folder `<2 letters>/<digest>/` with `adapter.json` and `weights.safetensors`.  It is
written aside, checked, made durable and then moved to its place in one step, so that whatever is in
place is whole.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO

from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Manifest
from adapterhub_lite.digests import SHORT
from adapterhub_lite.errors import AhlError, ManifestError, WeightsError
from adapterhub_lite.foreign import text
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.registry.owners import Owner

STAGING = ".staging"
TRASH = ".trash"
"""Where `gc` keeps objects for a while: `.trash/DAY/DIGEST`."""

TRASHED = {manifests.WEIGHTS: "weights", manifests.FILE: "manifest"}
"""Names of an object's files in the trash, where nothing that looks for adapters finds them."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a home: what kind, with what, in words, and what to do."""

    kind: str
    subject: str
    message: str
    fix: str

    def __str__(self) -> str:
        return "\n".join(text.one_line(line) for line in self.lines())

    def lines(self) -> tuple[str, str]:
        """Return what is wrong, and what to do."""
        return f"{self.kind}: {self.message}", f"  fix: {self.fix}"


@dataclass(frozen=True, slots=True)
class Trashed:
    """An object in the trash, and the day (UTC) on which it came there."""

    digest: str
    day: date

    @property
    def place(self) -> str:
        """Where it is, below the store."""
        return f"{TRASH}/{self.day.isoformat()}/{self.digest}"


class ObjectStore(ABC):
    """Weights by digest."""

    label: str
    """How messages call the store."""

    @abstractmethod
    def adding(self) -> AbstractContextManager[None]:
        """Hold off `gc` from storing an object until it is in the registry."""

    @abstractmethod
    def cleaning(self) -> AbstractContextManager[None]:
        """Hold off everybody who adds, to see or remove what nobody needs."""

    @abstractmethod
    def put(self, folder: Path, manifest: Manifest) -> None:
        """Store an adapter's folder; its weights must be those that the manifest records.

        Raises:
            WeightsError: weights that are missing, truncated or others than recorded.
            HomeError: the store cannot be written.
        """

    @abstractmethod
    def folder(self, digest: str, manifest: Manifest) -> Path:
        """Return a local folder with the object's two files.

        Raises:
            WeightsError: the object is not there, or is truncated.
        """

    @abstractmethod
    def check(self, digest: str) -> Problem | None:
        """Read an object wholly, and return what is wrong with it."""

    @abstractmethod
    def digests(self) -> Iterator[str]:
        """Return the digest of every object, sorted."""

    @abstractmethod
    def leftovers(self) -> list[str]:
        """Return what interrupted writes left, as places below the store."""

    @abstractmethod
    def manifest(self, digest: str) -> Manifest:
        """Return the manifest that an object carries.

        Raises:
            ManifestError: it cannot be read, or is not the one of that digest.
        """

    @abstractmethod
    def size(self, place: str) -> int:
        """Return the bytes of an object (by digest), a leftover or a trashed object (by place)."""

    @abstractmethod
    def set_aside(self, digest: str, day: date) -> None:
        """Move an object to the trash; killed at any point, it is in its place or there."""

    @abstractmethod
    def put_back(self, item: Trashed) -> None:
        """Move an object from the trash to its place."""

    @abstractmethod
    def trash(self) -> list[Trashed]:
        """Return what is in the trash, oldest first."""

    @abstractmethod
    def owners(self) -> list[Owner]:
        """Return the homes that left their file in the store."""

    @abstractmethod
    def note_owner(self, owner: Owner) -> None:
        """Leave the file of a home in the store, unless it is there."""

    @abstractmethod
    def forget_owner(self, owner: Owner) -> None:
        """Remove the file of a home from the store."""

    @abstractmethod
    def discard(self, place: str) -> None:
        """Remove an object (by digest) or a leftover (by place)."""

    @abstractmethod
    def abandoned(self, digest: str) -> bool:
        """Whether an object without record is surely not about to get one."""


def is_digest(text: str) -> bool:
    """Whether text is the name of an object."""
    return _DIGEST.fullmatch(text) is not None


def check_digest(text: str) -> str:
    """Return `text` if it is a digest; whatever else a record holds never becomes a path."""
    if not is_digest(text):
        raise ManifestError(f"`{text}` is not a digest", hint="`ahl verify` lists damaged records")
    return text


def trashed(places: Iterable[str]) -> list[Trashed]:
    """Return the objects in the trash whose places, `DAY/DIGEST`, are given; oldest first."""
    items = []
    for place in places:
        day, _, digest = place.partition("/")
        try:
            items.append(Trashed(check_digest(digest), date.fromisoformat(day)))
        except (ValueError, ManifestError):
            continue  # somebody else's file
    return sorted(items, key=lambda item: (item.day, item.digest))


def recorded(manifest: Manifest) -> tuple[str, int]:
    """Return the hash and size that a manifest records for its weights."""
    if manifest.weights is None:
        raise ManifestError(
            "the manifest records no weights, so there is nothing to store",
            hint="add what is only known, not here, with `remote=True`",
        )
    return manifest.weights.sha256, manifest.weights.size


def copy_checked(
    source: BinaryIO, write: Callable[[bytes], object], manifest: Manifest, place: str
) -> None:
    """Copy weights, and refuse others than the manifest records."""
    sha256, size = recorded(manifest)
    hashed, copied = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        hashed.update(block)
        copied += len(block)
        write(block)
    compare(place, (sha256, size), (hashed.hexdigest(), copied))


def compare(place: str, wanted: tuple[str, int], found: tuple[str, int]) -> None:
    """Refuse weights whose size or hash is not the recorded one."""
    if found[1] < wanted[1]:
        raise WeightsError(
            f"`{place}` is truncated: it has {found[1]} of {wanted[1]} bytes",
            hint="get the adapter again from where it came",
        )
    if found != wanted:
        raise WeightsError(
            f"`{place}` is not the file that the manifest records: SHA-256 "
            f"{found[0][:SHORT]}, recorded {wanted[0][:SHORT]}",
            hint="get the adapter again from where it came",
        )


def read_manifest(text: bytes, digest: str, place: str) -> Manifest:
    """Return the manifest of an object, whose digest must be the object's name."""
    manifest = manifests.from_json(Reader(ManifestError).json(text, f"cannot read `{place}`"))
    if (found := manifests.digest(manifest)) != digest:
        raise ManifestError(f"`{place}` has digest {found[:SHORT]}, expected {digest[:SHORT]}")
    return manifest


def problem(kind: str, subject: str, error: AhlError) -> Problem:
    """Return the problem that an error tells of."""
    return Problem(
        kind, subject, error.message, "add the adapter again, or `ahl remove --force` it"
    )

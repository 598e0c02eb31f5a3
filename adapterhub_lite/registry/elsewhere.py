"""The object store at an fsspec URL: a bucket, another host, memory.

Such stores have no rename of folders that is one step, so the manifest is the mark: it is moved in
last, and an object without one is a leftover.  There are no locks either: what has no record is
taken for abandoned only after a day.  Reading goes through a store in this machine's cache.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import disk
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Manifest
from adapterhub_lite.errors import AhlError, HomeError, ManifestError, UsageError, WeightsError
from adapterhub_lite.registry import owners
from adapterhub_lite.registry.local import LocalStore
from adapterhub_lite.registry.objects import (
    STAGING,
    TRASH,
    TRASHED,
    ObjectStore,
    Problem,
    Trashed,
    check_digest,
    copy_checked,
    is_digest,
    problem,
    read_manifest,
    trashed,
)
from adapterhub_lite.registry.owners import Owner
from adapterhub_lite.trust import label

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

GRACE = timedelta(days=1)
"""How old something without record must be before it is taken for abandoned."""


class RemoteStore(ObjectStore):
    """Objects at an fsspec URL, read through `cache`."""

    def __init__(self, url: str, cache: LocalStore, *, grace: timedelta = GRACE) -> None:
        self.label = label(url)
        self.cache = cache
        self.grace = grace
        self.files, self.root = _connect(url)

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Nothing to hold: age protects what is being added."""
        yield

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Nothing to hold: age protects what is being added."""
        yield

    def _place(self, digest: str) -> str:
        return f"{self.root}/{check_digest(digest)[:2]}/{digest}"

    @contextmanager
    def _talking(self, doing: str) -> Iterator[None]:
        try:
            yield
        except AhlError:
            raise
        except OSError as error:
            raise disk.refused(error, self.label, doing) from error
        except Exception as error:  # every client of a store has its own exceptions
            raise HomeError(
                f"cannot {doing} object store `{self.label}`: {type(error).__name__}: {error}",
                hint="is it reachable, and are your rights and credentials right?",
            ) from error

    def put(self, folder: Path, manifest: Manifest) -> None:
        """Upload an adapter's folder aside, then move weights and manifest in, in that order."""
        digest = manifests.digest(manifest)
        if self._whole(digest):
            return
        staged, final = f"{self.root}/{STAGING}/{uuid.uuid4().hex}", self._place(digest)
        weights = folder / manifests.WEIGHTS
        if not weights.is_file():
            raise WeightsError(f"cannot read `{weights}`: no such file")
        with self._talking("write"):
            self.files.makedirs(staged, exist_ok=True)
            self.files.makedirs(final, exist_ok=True)
            with weights.open("rb") as source, self.files.open(f"{staged}/weights", "wb") as copy:
                copy_checked(source, copy.write, manifest, str(weights))
            self.files.pipe_file(f"{staged}/manifest", manifests.dumps(manifest).encode())
            self.files.mv(f"{staged}/weights", f"{final}/{manifests.WEIGHTS}")
            self.files.mv(f"{staged}/manifest", f"{final}/{manifests.FILE}")
            self.files.rm(staged, recursive=True)

    def _whole(self, digest: str) -> bool:
        with self._talking("read"):
            there = self.files.exists(f"{self._place(digest)}/{manifests.FILE}")
        return there and self.check(digest) is None

    def folder(self, digest: str, manifest: Manifest) -> Path:
        """Return the object's folder in the cache, fetched on first use and checked by hash."""
        try:
            return self.cache.folder(digest, manifest)
        except WeightsError:
            self._fetch(digest, manifest)
        return self.cache.folder(digest, manifest)

    def _fetch(self, digest: str, manifest: Manifest) -> None:
        remote = f"{self._place(digest)}/{manifests.WEIGHTS}"
        with tempfile.TemporaryDirectory(prefix="ahl-") as folder:
            with self._talking("read"):
                if not self.files.exists(remote):
                    raise WeightsError(
                        f"object `{self._place(digest)}` is not in the store",
                        hint="`ahl verify` lists what is missing",
                    )
                self.files.get_file(remote, f"{folder}/{manifests.WEIGHTS}")
            with self.cache.adding():
                self.cache.put(Path(folder), manifest)

    def check(self, digest: str) -> Problem | None:
        """Read an object wholly, and return what is wrong with it."""
        place = self._place(digest)
        try:
            with self._talking("read"):
                if not self.files.exists(f"{place}/{manifests.FILE}"):
                    return Problem(
                        "missing-object",
                        digest,
                        f"object `{place}` is not there",
                        "add the adapter again",
                    )
                file, weights = f"{place}/{manifests.FILE}", f"{place}/{manifests.WEIGHTS}"
                manifest = read_manifest(self.files.cat_file(file), digest, file)
                with self.files.open(weights, "rb") as source:
                    copy_checked(source, len, manifest, weights)
        except ManifestError as error:
            return problem("wrong-manifest", digest, error)
        except WeightsError as error:
            return problem("wrong-weights", digest, error)
        except HomeError as error:
            return problem("unreadable-object", digest, error)
        return None

    def digests(self) -> Iterator[str]:
        """Return the digest of every whole object, sorted."""
        for place in self._folders():
            if self.files.exists(f"{place}/{manifests.FILE}"):
                yield place.rsplit("/", 1)[1]

    def _folders(self) -> list[str]:
        with self._talking("read"):
            self.files.invalidate_cache()
            found = self.files.glob(f"{self.root}/??/*")
        return sorted(str(p) for p in found if is_digest(str(p).rsplit("/", 1)[1]))

    def leftovers(self) -> list[str]:
        """Return old folders in `.staging/`, and old objects whose manifest never came."""
        with self._talking("read"):
            staged = [
                *self.files.glob(f"{self.root}/{STAGING}/*"),
                *(
                    folder
                    for folder in self.files.glob(f"{self.root}/{TRASH}/*/*")
                    if not self.files.exists(f"{folder}/{TRASHED[manifests.FILE]}")
                ),
            ]
        halves = [p for p in self._folders() if not self.files.exists(f"{p}/{manifests.FILE}")]
        old = (str(p) for p in (*staged, *halves) if self._is_old(str(p)))
        return sorted(p.removeprefix(f"{self.root}/") for p in old)

    def manifest(self, digest: str) -> Manifest:
        """Return the manifest that an object carries."""
        file = f"{self._place(digest)}/{manifests.FILE}"
        with self._talking("read"):
            return read_manifest(self.files.cat_file(file), digest, file)

    def size(self, place: str) -> int:
        """Return the bytes of an object, a leftover or a trashed object."""
        with self._talking("read"):
            return int(self.files.du(self._full(place)))

    def set_aside(self, digest: str, day: date) -> None:
        """Copy an object to the trash, then remove it, its manifest first."""
        target = f"{self.root}/{Trashed(digest, day).place}"
        with self._talking("write"):
            self._copy(self._place(digest), target, TRASHED)
        self.discard(digest)

    def put_back(self, item: Trashed) -> None:
        """Copy an object from the trash to its place, its manifest last, then remove it there."""
        with self._talking("write"):
            names = {new: old for old, new in TRASHED.items()}
            self._copy(f"{self.root}/{item.place}", self._place(item.digest), names)
        self.discard(item.place)

    def _copy(self, source: str, target: str, names: Mapping[str, str]) -> None:
        self.files.makedirs(target, exist_ok=True)
        for old, new in names.items():  # the manifest last: it is the mark of the whole
            self.files.cp_file(f"{source}/{old}", f"{target}/{new}")

    def trash(self) -> list[Trashed]:
        """Return what is whole in the trash, oldest first."""
        with self._talking("read"):
            self.files.invalidate_cache()
            files = self.files.glob(f"{self.root}/{TRASH}/*/*/{TRASHED[manifests.FILE]}")
        return trashed("/".join(str(file).rsplit("/", 3)[1:3]) for file in files)

    def owners(self) -> list[Owner]:
        """Return the homes that left their file in the store."""
        with self._talking("read"):
            self.files.invalidate_cache()
            files = sorted(map(str, self.files.glob(f"{self.root}/{owners.FOLDER}/*.json")))
            texts = [self.files.cat_file(file).decode(errors="replace") for file in files]
        names = [file.rsplit("/", 1)[1] for file in files]
        return [owners.read(text, name) for text, name in zip(texts, names, strict=True)]

    def note_owner(self, owner: Owner) -> None:
        """Leave the file of a home in the store, unless it is there."""
        file = self._owner_file(owner)
        with self._talking("write"):
            if not self.files.exists(file):
                self.files.makedirs(f"{self.root}/{owners.FOLDER}", exist_ok=True)
                self.files.pipe_file(file, owner.dumps().encode())

    def forget_owner(self, owner: Owner) -> None:
        """Remove the file of a home from the store."""
        file = self._owner_file(owner)
        with self._talking("remove from"):
            if self.files.exists(file):
                self.files.rm_file(file)

    def _owner_file(self, owner: Owner) -> str:
        return f"{self.root}/{owners.FOLDER}/{owner.key}.json"

    def _full(self, place: str) -> str:
        return self._place(place) if is_digest(place) else f"{self.root}/{place}"

    def discard(self, place: str) -> None:
        """Remove an object, a leftover or a trashed object; a manifest goes first."""
        full = self._full(place)
        with self._talking("remove from"):
            for name in (manifests.FILE, TRASHED[manifests.FILE]):
                if self.files.exists(f"{full}/{name}"):
                    self.files.rm_file(f"{full}/{name}")
            if self.files.exists(full):
                self.files.rm(full, recursive=True)

    def abandoned(self, digest: str) -> bool:
        """Whether the object is older than the grace given to those who add."""
        return self._is_old(self._place(digest))

    def _is_old(self, place: str) -> bool:
        with self._talking("read"):
            inside = self.files.find(place, detail=True, withdirs=True)
            moments = [_moment(info) for info in inside.values()]
        known = [moment for moment in moments if moment is not None]
        return bool(known) and datetime.now(UTC) - max(known) >= self.grace


def _moment(info: dict[str, Any]) -> datetime | None:
    """Return when a file was written; every store has its own word for it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modified", "created"):
        value = info.get(key)
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
    return None


def _connect(url: str) -> tuple[AbstractFileSystem, str]:
    from fsspec.core import url_to_fs

    try:
        files, root = url_to_fs(url)
    except Exception as error:  # every file system of fsspec fails in its own way
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UsageError(
            f"`{label(url)}` is not an object store that can be used here: {reason}",
            hint="install the package it names, or give another URL of fsspec",
        ) from error
    return files, root.rstrip("/")

"""The object store in a folder.

Order of a write: files into `.staging/`, flushed to the disk, then one rename of the folder, then
the registry's transaction.  A crash before the rename leaves a folder in `.staging/`, one after it
an object without record; `verify` finds both and `gc` removes them.  Who adds holds a share of the
store's locks and `gc` all of them, and a dead process holds none, so `gc` never takes a living
process's work for a leftover.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO

from adapterhub_lite import digests, disk, locking
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Manifest
from adapterhub_lite.errors import AhlError, ManifestError, WeightsError
from adapterhub_lite.registry import owners
from adapterhub_lite.registry.objects import (
    STAGING,
    TRASH,
    TRASHED,
    ObjectStore,
    Problem,
    Trashed,
    check_digest,
    compare,
    copy_checked,
    is_digest,
    problem,
    read_manifest,
    recorded,
    trashed,
)
from adapterhub_lite.registry.owners import Owner

LOCKS = ".locks"


class LocalStore(ObjectStore):
    """Objects in a folder of this machine (or one that it mounts)."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        self.path = path
        self.label = str(path)
        self.timeout = timeout

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Hold off `gc`; others may add at the same time."""
        folder = self._locks()
        with locking.shared(folder, self._subject, timeout=self.timeout):
            yield

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Hold off everybody who adds; where nothing can be written, nobody does."""
        if not self.path.is_dir() or not os.access(self.path, os.W_OK):
            yield
            return
        with locking.alone(self._locks(), self._subject, timeout=self.timeout):
            yield

    def _locks(self) -> Path:
        with disk.refusing(self.path):
            (self.path / LOCKS).mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return self.path / LOCKS

    @property
    def _subject(self) -> str:
        return f"the object store `{self.path}`"

    def place(self, digest: str) -> Path:
        """Return where an object is, or would be."""
        return self.path / check_digest(digest)[:2] / digest

    def put(self, folder: Path, manifest: Manifest) -> None:
        """Store an adapter's folder; a damaged object of the same digest is replaced."""
        weights = folder / manifests.WEIGHTS
        try:
            source = weights.open("rb")
        except OSError as error:
            raise WeightsError(
                f"cannot read `{weights}`: {error.strerror}",
                hint=f"an adapter's folder has `{manifests.FILE}` and `{manifests.WEIGHTS}`",
            ) from None
        with source, self._staged() as staged, disk.refusing(self.path):
            with (staged / manifests.WEIGHTS).open("wb") as copy:
                copy_checked(source, copy.write, manifest, str(weights))
                _sync_file(copy)
            with (staged / manifests.FILE).open("wb") as copy:
                copy.write(manifests.dumps(manifest).encode())
                _sync_file(copy)
            self._move_in(staged, manifests.digest(manifest))

    @contextmanager
    def _staged(self) -> Iterator[Path]:
        with disk.refusing(self.path):
            staged = self._new_staging()
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _new_staging(self) -> Path:
        staged = self.path / STAGING / uuid.uuid4().hex
        staged.mkdir(parents=True)
        return staged

    def _move_in(self, staged: Path, digest: str) -> None:
        final = self.place(digest)
        final.parent.mkdir(exist_ok=True)
        if final.exists() and self.check(digest) is not None:
            with self._staged() as aside:
                final.rename(aside / "damaged")
        if not final.exists():
            disk.sync_folder(staged)
            _rename_unless_there(staged, final)
        disk.sync_folder(final.parent)
        disk.sync_folder(self.path)

    def folder(self, digest: str, manifest: Manifest) -> Path:
        """Return an object's folder; looks at the size of its weights, not at every byte."""
        place = self.place(digest)
        _, size = recorded(manifest)
        try:
            found = (place / manifests.WEIGHTS).stat().st_size
        except OSError as error:
            raise WeightsError(
                f"object `{place}` cannot be read: {error.strerror}",
                hint="`ahl verify` lists what is missing",
            ) from None
        if found != size:
            raise WeightsError(
                f"object `{place}` has weights of {found} bytes, recorded are {size}",
                hint="`ahl verify` lists what is damaged; add the adapter again",
            )
        return place

    def check(self, digest: str) -> Problem | None:
        """Read an object wholly, and return what is wrong with it."""
        place = self.place(digest)
        if not place.is_dir():
            return Problem(
                "missing-object", digest, f"object `{place}` is not there", "add the adapter again"
            )
        try:
            file, weights = place / manifests.FILE, place / manifests.WEIGHTS
            manifest = read_manifest(file.read_bytes(), digest, str(file))
            size = weights.stat().st_size
            sha256 = (
                recorded(manifest)[0] if size != recorded(manifest)[1] else digests.of_file(weights)
            )
            compare(str(weights), recorded(manifest), (sha256, size))
        except ManifestError as error:
            return problem("wrong-manifest", digest, error)
        except AhlError as error:
            return problem("wrong-weights", digest, error)
        except OSError as error:
            return problem("unreadable-object", digest, disk.refused(error, place, "read"))
        return None

    def digests(self) -> Iterator[str]:
        """Return the digest of every object, sorted."""
        for folder in sorted(self.path.glob("??")):
            for place in sorted(folder.iterdir()):
                if is_digest(place.name) and place.name.startswith(folder.name):
                    yield place.name

    def leftovers(self) -> list[str]:
        """Return what interrupted writes left in `.staging/`."""
        return [f"{STAGING}/{p.name}" for p in sorted((self.path / STAGING).glob("*"))]

    def manifest(self, digest: str) -> Manifest:
        """Return the manifest that an object carries."""
        file = self.place(digest) / manifests.FILE
        try:
            return read_manifest(file.read_bytes(), digest, str(file))
        except OSError as error:
            raise ManifestError(f"cannot read `{file}`: {error.strerror}") from None

    def size(self, place: str) -> int:
        """Return the bytes of an object, a leftover or a trashed object."""
        with disk.refusing(self.path, "read"):
            return disk.size_of(self.place(place) if is_digest(place) else self.path / place)

    def set_aside(self, digest: str, day: date) -> None:
        """Move an object to the trash, in one step."""
        target = self.path / Trashed(digest, day).place
        with disk.refusing(self.path):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():  # set aside, added and removed again on one day
                self._remove(target)
            self.place(digest).rename(target)
            disk.sync_folder(target.parent)
            _rename_inside(target, TRASHED)

    def put_back(self, item: Trashed) -> None:
        """Move an object from the trash to its place, in one step."""
        final = self.place(item.digest)
        with disk.refusing(self.path):
            _rename_inside(self.path / item.place, {new: old for old, new in TRASHED.items()})
            final.parent.mkdir(exist_ok=True)
            (self.path / item.place).rename(final)
            disk.sync_folder(final.parent)

    def trash(self) -> list[Trashed]:
        """Return what is in the trash, oldest first."""
        places = (self.path / TRASH).glob("*/*")
        return trashed(f"{path.parent.name}/{path.name}" for path in places)

    def owners(self) -> list[Owner]:
        """Return the homes that left their file in the store."""
        with disk.refusing(self.path, "read"):
            files = sorted((self.path / owners.FOLDER).glob("*.json"))
            return [
                owners.read(f.read_text(encoding="utf-8", errors="replace"), f.name) for f in files
            ]

    def note_owner(self, owner: Owner) -> None:
        """Leave the file of a home in the store, unless it is there."""
        file = self.path / owners.FOLDER / f"{owner.key}.json"
        if not file.exists():
            with disk.refusing(self.path):
                file.parent.mkdir(parents=True, exist_ok=True)
            disk.write_whole(file, owner.dumps())

    def forget_owner(self, owner: Owner) -> None:
        """Remove the file of a home from the store."""
        with disk.refusing(self.path, "remove from"):
            (self.path / owners.FOLDER / f"{owner.key}.json").unlink(missing_ok=True)

    def discard(self, place: str) -> None:
        """Remove an object, a leftover or a trashed object: moved aside first, so no half stays."""
        with disk.refusing(self.path, "remove from"):
            self._remove(self.place(place) if is_digest(place) else self.path / place)

    def _remove(self, path: Path) -> None:
        if path.parent != self.path / STAGING:
            aside = self.path / STAGING / uuid.uuid4().hex
            aside.parent.mkdir(exist_ok=True)
            path = path.rename(aside)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def abandoned(self, digest: str) -> bool:  # noqa: ARG002  # other stores look at its age
        """Always: nobody adds while `cleaning` lasts."""
        return True


def _sync_file(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _rename_inside(folder: Path, names: Mapping[str, str]) -> None:
    """Rename files, as far as a killed call has not done so already."""
    for old, new in names.items():
        if (folder / old).exists():
            (folder / old).rename(folder / new)


def _rename_unless_there(staged: Path, final: Path) -> None:
    try:
        staged.rename(final)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise  # anything but: another process stored the same object just now

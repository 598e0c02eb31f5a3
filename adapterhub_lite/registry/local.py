"""The object store in a folder.

Order of a write: files into `.staging/`, flushed to the disk, then one rename of the folder, then
the registry's transaction.  A crash before the rename leaves a folder in `.staging/`, one after it
an object without record; `verify` finds both and `gc` removes them.  Who adds holds a shared lock
on the store's folder and `gc` an exclusive one, which the system drops when a process dies, so `gc`
never takes a living process's work for a leftover.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from adapterhub_lite import digests, disk
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Manifest
from adapterhub_lite.errors import AhlError, HomeError, ManifestError, WeightsError
from adapterhub_lite.registry.objects import (
    STAGING,
    ObjectStore,
    Problem,
    compare,
    copy_checked,
    problem,
    read_manifest,
    recorded,
)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_POLL = 0.02


class LocalStore(ObjectStore):
    """Objects in a folder of this machine (or one that it mounts)."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        self.path = path
        self.label = str(path)
        self.timeout = timeout

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Hold off `gc`; others may add at the same time."""
        with disk.refusing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Hold off everybody who adds."""
        if not self.path.is_dir():
            yield
            return
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with disk.refusing(self.path, "read"):
            handle = os.open(self.path, os.O_RDONLY)
        try:
            self._wait(handle, how)
            yield
        finally:
            os.close(handle)

    def _wait(self, handle: int, how: int) -> None:
        end = time.monotonic() + self.timeout
        while True:
            try:
                return fcntl.flock(handle, how | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise HomeError(
                        f"the object store `{self.path}` is in use by another process",
                        hint="wait until it has finished, and try again",
                    ) from None
                time.sleep(_POLL)

    def place(self, digest: str) -> Path:
        """Return where an object is, or would be."""
        return self.path / digest[:2] / digest

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
            _sync_folder(staged)
            _rename_unless_there(staged, final)
        _sync_folder(final.parent)
        _sync_folder(self.path)

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
                if _DIGEST.fullmatch(place.name) and place.name.startswith(folder.name):
                    yield place.name

    def leftovers(self) -> list[str]:
        """Return what interrupted writes left in `.staging/`."""
        return [f"{STAGING}/{p.name}" for p in sorted((self.path / STAGING).glob("*"))]

    def discard(self, place: str) -> None:
        """Remove an object (moved aside first, so that no half of it stays) or a leftover."""
        with disk.refusing(self.path, "remove from"):
            if _DIGEST.fullmatch(place):
                aside = self.path / STAGING / uuid.uuid4().hex
                aside.parent.mkdir(exist_ok=True)
                self.place(place).rename(aside)
            else:
                aside = self.path / place
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()

    def abandoned(self, digest: str) -> bool:  # noqa: ARG002  # other stores look at its age
        """Always: nobody adds while `cleaning` lasts."""
        return True


def _sync_file(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rename_unless_there(staged: Path, final: Path) -> None:
    try:
        staged.rename(final)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise  # anything but: another process stored the same object just now

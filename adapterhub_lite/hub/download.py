"""Downloads: bounded by the listing's sizes, hashed against it, resumed, also by a later call.

The client's own cache is not used.  It names files by a header of the answer (`ETag`), shares
entries between Hubs, answers with old copies when the Hub is away, and starts from zero in each
call.  Here a file in the making is named by the hash that the listing announced, under the Hub's
address; nothing else reads it before that hash was found to be true.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.utils import hf_raise_for_status

from adapterhub_lite import digests, disk, locking
from adapterhub_lite.errors import HomeError, HubError
from adapterhub_lite.hub import connection as connections
from adapterhub_lite.hub.budget import uncounted
from adapterhub_lite.hub.connection import Connection, asked_to_wait
from adapterhub_lite.hub.failures import passes
from adapterhub_lite.hub.listing import Entry, Listing

BLOCK = 1 << 16
_PATIENCE, _SLOWEST = 300.0, 1000.0
"""Seconds that any file may take, and the bytes a second that it must have beyond them."""

_SPARE = 64 << 20
"""Bytes that must stay free on the disk."""

Progress = Callable[[str, int, int], None]
"""Called with a file's path, bytes so far, and bytes in all."""


@dataclass(frozen=True)
class Download:
    """Files of one listing, on their way into a fresh folder."""

    connection: Connection
    listing: Listing
    progress: Progress | None = None

    def into(self, folder: Path, entries: Iterable[Entry], *, below: str = "") -> None:
        """Fetch entries into `folder`, which must be new and private, without the part `below`.

        Raises:
            HubError: cut for good, longer than listed, or other content than listed.
            HomeError: the disk is too small for what the listing announces.
        """
        wanted = list(entries)
        parts = _parts(self.connection.endpoint)
        _check_space(2 * sum(entry.size for entry in wanted), parts, folder)
        for entry in wanted:
            place = folder / entry.path.removeprefix(below)
            place.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(entry, parts / entry.hash, place)

    def _fetch(self, entry: Entry, part: Path, place: Path) -> None:
        with disk.refusing(part), _open_alone(part) as stream:
            try:
                with self.connection.about(self.listing):
                    self._complete(entry, stream)
                check_hash(entry, stream, str(self.listing))
                shutil.copyfile(part, place)
                stream.truncate(0)
            finally:
                if stream.seek(0, os.SEEK_END) == 0:  # done, or nothing to go on with
                    part.unlink(missing_ok=True)

    def _complete(self, entry: Entry, stream: BufferedRandom) -> None:
        """Ask until all bytes are there; tries are counted anew whenever some arrived."""
        if stream.seek(0, os.SEEK_END) > entry.size:
            stream.truncate(0)
        failed = 0
        while (done := stream.seek(0, os.SEEK_END)) < entry.size:
            try:
                self._ask(entry, stream, done)
                if stream.tell() == entry.size:
                    return
                error: BaseException = ConnectionError(
                    f"`{entry.path}` ended after {stream.tell()} of {entry.size} bytes"
                )
            except Exception as caught:  # of two HTTP libraries; `passes` says which to retry
                error = caught
                if not passes(caught):
                    raise
            failed = 1 if stream.tell() > done else failed + 1
            if failed > len(connections.WAITS):
                raise error
            time.sleep(max(connections.WAITS[failed - 1], asked_to_wait(error)))

    def _ask(self, entry: Entry, stream: BufferedRandom, done: int) -> None:
        url = hf_hub_url(
            self.listing.repo,
            entry.path,
            revision=self.listing.commit,
            endpoint=self.connection.endpoint,
        )
        headers = {**self.connection.headers, "Accept-Encoding": "identity"}
        if done:
            headers["Range"] = f"bytes={done}-"
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        asked = get_session().stream("GET", url, headers=headers, timeout=timeout)
        with uncounted(), asked as response:
            hf_raise_for_status(response)
            self._keep(entry, stream, response)

    def _keep(self, entry: Entry, stream: BufferedRandom, response: Any) -> None:
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise HubError(f"the Hub sends `{entry.path}` packed ({encoding}), though asked not to")
        if stream.tell() and not _goes_on(response, stream.tell()):
            stream.seek(0)
            stream.truncate()
        end = time.monotonic() + _PATIENCE + entry.size / _SLOWEST
        for block in response.iter_raw():
            if time.monotonic() > end:
                raise HubError(
                    f"the Hub sends `{entry.path}` slower than {_SLOWEST:g} bytes a second",
                    hint="try again: what has come is kept, and the rest is asked for",
                )
            if stream.tell() + len(block) > entry.size:
                stream.truncate(0)
                raise HubError(
                    f"the Hub sends more of `{entry.path}` than the {entry.size} bytes it lists"
                )
            stream.write(block)
            if self.progress is not None:
                self.progress(entry.path, stream.tell(), entry.size)


def check_hash(entry: Entry, stream: BufferedRandom, where: str) -> None:
    """Refuse a file that is not what the listing announced, and empty it."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if entry.sha256 is not None:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    else:
        blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while block := stream.read(BLOCK):
            blob.update(block)
        found = blob.hexdigest()
    if found != entry.hash or size != entry.size:
        stream.truncate(0)
        raise HubError(
            f"`{entry.path}` of `{where}` is not the file that the Hub lists: its hash is "
            f"{found[: digests.SHORT]}, listed is {entry.hash[: digests.SHORT]}",
            hint="try again; if it stays so, the Hub or the way to it is not to be trusted",
            path=entry.path,
        )


def _goes_on(response: Any, done: int) -> bool:
    """Whether an answer continues where the file in the making ends."""
    if response.status_code != 206:
        return False
    return bool(response.headers.get("content-range", "").startswith(f"bytes {done}-"))


def _parts(endpoint: str) -> Path:
    """Return the private folder of files in the making from one Hub."""
    from platformdirs import user_cache_path

    cache = user_cache_path("adapterhub_lite", appauthor=False)
    folder = cache / "pulls" / digests.of_bytes(endpoint.encode())[: digests.SHORT]
    with disk.refusing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _check_space(needed: int, *places: Path) -> None:
    for place in places:
        free = shutil.disk_usage(place).free
        if needed + _SPARE > free:
            raise HomeError(
                f"no space for {needed / 1e6:.1f} MB at `{place}`: {free / 1e6:.1f} MB are free",
                hint=disk.FULL_HINT,
            )


@contextmanager
def _open_alone(part: Path) -> Iterator[BufferedRandom]:
    """Open a file in the making for this process alone, and never through a link."""
    subject = f"the download `{part.name[:12]}`"
    lock = part.with_name(f"{part.name}.lock")
    with locking.exclusive(lock, subject, timeout=0, transient=True):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(part, flags, 0o600), "r+b") as stream:
            yield stream

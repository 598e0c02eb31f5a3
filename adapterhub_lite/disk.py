"""Files and folders that are there whole or not at all, and what the operating system refuses.

Whatever is written here is written beside its final name, flushed to the disk, and renamed: a
process that is killed at any point leaves the former content or the new one.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapterhub_lite.errors import HomeError
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.foreign.text import command

READ_ONLY_HINT = "work on a copy: `cp -r HOME COPY`, then `--home COPY`; or get write access"
FULL_HINT = "free some space (`ahl gc --keep 0` removes weights that no record needs) and try again"

UNFINISHED = ".ahl-new"
"""End of the name of a file that is being written."""

_PART = ".ahl-part"
_MARK = "mark.json"
_FILES = "files"
_READER = Reader(HomeError)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def refusing(path: Path | str, doing: str = "write") -> Iterator[None]:
    """Turn what the operating system refuses into a `HomeError` that names the place."""
    try:
        yield
    except OSError as error:
        raise refused(error, path, doing) from error


def refused(error: OSError, path: Path | str, doing: str = "write") -> HomeError:
    """Return the error for what the operating system refused at `path`."""
    if error.errno in _FULL:
        return HomeError(f"no space left to {doing} `{path}`", hint=FULL_HINT)
    if error.errno in _DENIED:
        return HomeError(
            f"cannot {doing} `{path}`: it is read-only, or no right to", hint=READ_ONLY_HINT
        )
    missing = isinstance(path, Path) and not path.absolute().parent.is_dir()
    return HomeError(
        f"cannot {doing} `{path}`: {error.strerror or error}",
        hint=f"{command('mkdir', '-p', Path(path).parent)} makes the folder" if missing else None,
    )


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file (text in UTF-8) in one step.

    What was there stays until the new content is on the disk.

    Raises:
        HomeError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}")
    with refusing(path):
        try:
            with beside.open("xb") as stream:
                stream.write(content.encode() if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to write to, which becomes `path` when the block ends without error.

    A killed process leaves a hidden `.NAME.*.ahl-part` beside; the next call for the same `path`
    removes it, if its mark says that the process that made it is gone.

    Raises:
        HomeError: `path` is there and not an empty folder, or cannot be written.
    """
    with refusing(path):
        check_new(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        part = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex}{_PART}")
        part.mkdir()
    try:
        with refusing(path):
            write_whole(part / _MARK, json.dumps({"pid": os.getpid(), "host": _host()}))
            (part / _FILES).mkdir()
        yield part / _FILES
        with refusing(path):
            _sync_tree(part / _FILES)
            (part / _FILES).rename(path)
            sync_folder(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_new(path: Path) -> None:
    """Raise `HomeError` unless `path` is free, or an empty folder."""
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise HomeError(f"`{path}` is there and is not an empty folder", hint="name a new folder")


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    if path.is_dir() and not path.is_symlink():
        return sum(size_of(inside) for inside in path.iterdir())
    return path.lstat().st_size


def _sweep(path: Path) -> None:
    """Remove what killed calls for `path` left: folders with our mark, of processes now gone."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*{_PART}"):
        try:
            gone = _is_left(part)
        except (OSError, ValueError, TypeError, KeyError, HomeError):
            continue
        if gone:
            shutil.rmtree(part, ignore_errors=True)


def _is_left(part: Path) -> bool:
    """Whether a killed process left a folder; one without mark must be empty but for half a mark.

    Raises:
        OSError, ValueError, TypeError, KeyError, HomeError: it cannot be told.
    """
    if (part / _MARK).exists():
        mark = _READER.json_object_file(part / _MARK)
        return bool(mark["host"] == _host()) and not _is_alive(int(mark["pid"]))
    pid = part.name.removesuffix(_PART).rpartition(".")[2].partition("-")[0]
    half = f".{_MARK}."
    return not _is_alive(int(pid)) and all(p.name.startswith(half) for p in part.iterdir())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _host() -> str:
    return socket.gethostname()


def _sync_tree(folder: Path) -> None:
    for inside in folder.rglob("*"):
        if inside.is_file():
            with inside.open("rb") as stream:
                os.fsync(stream.fileno())
    for inside in (*(p for p in folder.rglob("*") if p.is_dir()), folder):
        sync_folder(inside)

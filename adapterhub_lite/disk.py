"""What the operating system refuses, said as errors of ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapterhub_lite.errors import HomeError
from adapterhub_lite.foreign.text import command

READ_ONLY_HINT = "work on a copy: `cp -r HOME COPY`, then `--home COPY`; or get write access"
FULL_HINT = "free some space (`ahl gc` removes weights that no record needs) and try again"

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

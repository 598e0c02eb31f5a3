"""What databases and disks report, said as errors of ours: what is wrong, and what to do next.

SQLite's result codes and PostgreSQL's SQLSTATEs are the only reliable facts in a driver's error;
texts differ by version.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from adapterhub_lite.disk import FULL_HINT, READ_ONLY_HINT
from adapterhub_lite.errors import AhlError, HomeError, RegistryError, UsageError

_LOCKLESS = {3850, 2314, 2058, 15}
"""SQLite's IOERR_LOCK, IOERR_RDLOCK, IOERR_UNLOCK and PROTOCOL."""

LOCKED_HINT = "another process is writing; wait for it, or end it, and try again"


class DamagedRegistryError(RegistryError):
    """The database is empty, damaged or has lost something; `rebuild` makes it again."""


class MissingTableError(DamagedRegistryError):
    """The database has no such table: it is new, or no registry."""


@contextmanager
def of_database(label: str) -> Iterator[None]:
    """Turn a driver's error into ours; `label` is how messages call the database."""
    try:
        yield
    except DBAPIError as error:
        raise of_driver(error.orig, label) from error
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{error.object!r} is not text", hint="the bytes on the command line are not UTF-8"
        ) from None


def of_driver(error: BaseException | None, label: str) -> AhlError:
    """Return the error for what a database driver reported."""
    text = next(iter(str(error).strip().splitlines()), "no reason given")
    code = getattr(error, "sqlite_errorcode", None)
    if code in _LOCKLESS:
        return HomeError(
            f"the file system of registry `{label}` has no locks ({text})",
            hint="keep the database on a disk that has them: `ahl init NEW --database "
            "sqlite:////LOCAL/registry.db --objects FOLDER`, or use PostgreSQL",
        )
    if code is not None:
        return _of_sqlite(code, text, label)
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return _of_postgres(state, text, label)
    if type(error).__name__ == "OperationalError":  # psycopg gives no state without a server
        return _unreachable(text, label)
    return RegistryError(f"registry `{label}` answered: {text}")


def damaged(label: str, reason: str) -> DamagedRegistryError:
    """Return the error for a registry that cannot be read as one."""
    return DamagedRegistryError(
        f"registry `{label}` is damaged ({reason})",
        hint="restore it from a backup or from git, or `ahl rebuild` makes it again from the "
        "objects, which are untouched",
    )


def _unreachable(text: str, label: str) -> RegistryError:
    return RegistryError(
        f"cannot reach the database of registry `{label}`: {text}",
        hint="is the server running, and is the URL in `home.toml` right?",
    )


def _of_sqlite(code: int, text: str, label: str) -> AhlError:
    match code & 0xFF:
        case 5 | 6:  # BUSY, LOCKED
            return RegistryError(f"registry `{label}` is locked", hint=LOCKED_HINT)
        case 8 | 3:  # READONLY, PERM
            return HomeError(f"registry `{label}` is read-only", hint=READ_ONLY_HINT)
        case 13:  # FULL
            return HomeError(f"no space left to write registry `{label}`", hint=FULL_HINT)
        case 10:  # IOERR
            return HomeError(
                f"cannot read or write registry `{label}` ({text}); the disk may be full, over a "
                "limit, or failing",
                hint=FULL_HINT,
            )
        case 11 | 26:  # CORRUPT, NOTADB
            return damaged(label, text)
        case 14:  # CANTOPEN
            return RegistryError(
                f"cannot open registry `{label}`: no such file, or no right to read it",
                hint="`ahl init` makes a home; `ls -l` shows its rights",
            )
    if text.startswith("no such table"):
        return _missing_table(label, text)
    return RegistryError(f"registry `{label}` answered: {text}")


def _missing_table(label: str, text: str) -> MissingTableError:
    error = damaged(label, text)
    return MissingTableError(error.message, hint=error.hint)


def _of_postgres(state: str, text: str, label: str) -> AhlError:
    if state in {"55P03", "40P01", "57014"}:
        return RegistryError(f"registry `{label}` is locked ({text})", hint=LOCKED_HINT)
    if state == "25006":
        return HomeError(f"registry `{label}` is read-only", hint="connect to the primary server")
    if state in {"53100", "53200"}:
        return HomeError(f"no space left to write registry `{label}` ({text})", hint=FULL_HINT)
    if state == "42P01":
        return _missing_table(label, text)
    if state == "42501":
        return RegistryError(
            f"no right to do this in registry `{label}`: {text}",
            hint="ask the owner of the database to GRANT it",
        )
    if state.startswith(("08", "57", "28", "3D")):
        return _unreachable(text, label)
    return RegistryError(f"registry `{label}` answered: {text}")

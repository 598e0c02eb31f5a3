"""Runs one call as an unprivileged user, or under a limit on file sizes, and prints its error.

Run as `python -m tests.registry.failing [--limit BYTES] HOME CALL ...`.  Root may write anywhere,
so a read-only home needs another user; what the call imports is imported before that.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys

import filelock.asyncio  # noqa: F401  # all of it, as below
import sqlalchemy.dialects.sqlite  # noqa: F401  # loaded while it can surely be read

import adapterhub_lite.registry.garbage  # noqa: F401
from adapterhub_lite.errors import AhlError
from adapterhub_lite.home import Home
from tests.registry.making import manifest

NOBODY = 65534


def call(home: Home, words: list[str]) -> object:
    """Do what `words` say."""
    match words:
        case ["add", folder]:
            return home.add(folder, name="new").name
        case ["alias", alias, ref]:
            return home.registry.alias(alias, ref).name
        case ["fill", number]:
            for n in range(int(number)):
                home.registry.add(manifest(str(n)), name=f"n{n}")
            return None
        case ["read"]:
            found = home.registry.find()
            return [a.name for a in found], [str(home.folder_of(a).name) for a in found]
        case ["verify"]:
            return home.verify()
        case ["gc"]:
            return home.gc()
        case ["init"]:
            return Home.init(home.path / "inner").path.name
        case _:
            raise SystemExit(f"no such call: {words}")


def main() -> None:
    """Run, print `type: message` and the hint of an error, and exit with its code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int)
    parser.add_argument("home")
    parser.add_argument("call", nargs="+")
    given = parser.parse_args()
    home = Home.find(given.home)
    if given.limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.limit, given.limit))
    elif os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    try:
        print(call(home, given.call))
    except AhlError as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

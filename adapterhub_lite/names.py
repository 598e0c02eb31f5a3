"""Names of adapters, and the only way in which a name becomes part of a path.

A name may hold `/` (`org/sw-wiki`), and comes from a command line, a plan or a stranger's files.
Joining it to a folder would nest one adapter's folder in another's, or leave the folder altogether;
`folder_name` gives each name one path component of its own instead.
"""

from __future__ import annotations

import re

from adapterhub_lite.errors import UsageError

LONGEST = 200

_PART = r"[A-Za-z0-9_][A-Za-z0-9._\-]*"
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._\-]*(?:/{_PART})*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+\-]*")


def check_name(name: str) -> str:
    """Return `name` if an adapter can be called that.

    Raises:
        UsageError: empty, too long, with other characters, or with an empty or dotted part.
    """
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` cannot be the name of an adapter",
            hint=f"names are up to {LONGEST} letters, digits and `. _ - /`; they and each part "
            "after a `/` start with a letter or digit",
        )
    if _DIGEST.fullmatch(name):
        raise UsageError(f"`{name}` looks like a digest and cannot be a name")
    return name


def folder_name(name: str) -> str:
    """Return the path component that stands for an adapter's name.

    No two names share one, and none is nested in another's: `/` becomes `+`, which no name has.

    Raises:
        UsageError: no adapter can have the name.
    """
    return check_name(name).replace("/", "+")


def check_component(text: str, subject: str) -> str:
    """Return `text` if it can be one component of a path: not empty, no separator, no dots first.

    Raises:
        UsageError: it would name another folder, or none.
    """
    if len(text) > LONGEST or not _COMPONENT.fullmatch(text):
        raise UsageError(
            f"`{text}` cannot be {subject}",
            hint="use letters, digits and `. _ - +`, a letter or digit first",
        )
    return text

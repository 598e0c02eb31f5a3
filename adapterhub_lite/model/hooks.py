"""Hooks as objects that can neither be copied nor pickled.

A copy of a model copies its hooks, which would go on looking at the original's attachment, and
nobody could take them off the copy.  So copying or pickling a model says what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from adapterhub_lite.errors import AttachError

_HINT = "detach first (leave the `with attach(...)` block)"


class Uncopied:
    """Something that is on a model only while adapters are attached to it."""

    def __deepcopy__(self, memo: Any) -> NoReturn:
        """Refuse.

        Raises:
            AttachError: always.
        """
        raise AttachError(
            "this model has adapters attached, and a copy would keep them for good",
            hint=f"{_HINT}, copy, and attach to the copy: "
            "`attach(dataclasses.replace(base, model=COPY), ...)`",
        )

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Refuse.

        Raises:
            AttachError: always.
        """
        raise AttachError(
            "this model has adapters attached, and those cannot be pickled: not saved as one "
            "object, nor sent to another process",
            hint=f"{_HINT}; another process does `load_base(...)` and `attach(...)` of its own",
        )


class Hook(Uncopied):
    """A forward hook or forward pre-hook."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """Do what a hook does."""
        return self._function(*arguments)

"""Every error that a user can cause, in one place.

An error carries the facts (attributes) and one sentence made from them; the command line adds
`error:` and `hint:`.  Nothing else in the package may reach a user as a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar

from adapterhub_lite.foreign import text


class AhlError(Exception):
    """Base of all errors.

    Message and hint quote files, the Hub and plugins, so they are made fit to be printed here: one
    line each, in which nothing is obeyed by a terminal.

    Args:
        message: what was sought and what was found, lower case, no full stop.
        hint: what to do next, best as a command that can be run.
        facts: the values the sentence was made from, kept for programs (`--json`).
    """

    exit_code = 1
    several_lines: ClassVar[bool] = False
    """Whether message and hint are lines that were made fit one by one."""

    def __init__(self, message: str, *, hint: str | None = None, **facts: object) -> None:
        fit = text.lines if self.several_lines else text.one_line
        self.message = fit(text.shortened(message))
        self.hint = hint if hint is None else fit(text.shortened(hint))
        super().__init__(self.message)
        self.facts = facts

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class AhlWarning(UserWarning):
    """Something that works and that a user should know; the command line prints it as one line."""


class UsageError(AhlError):
    """The call itself is wrong: an option, a setting, a combination that cannot be."""

    exit_code = 2


class LanguageTagError(UsageError):
    """Not a language tag (BCP 47) that is registered."""


class RefError(AhlError):
    """A name, alias or digest that the registry does not know, or that fits several adapters."""


class HomeError(AhlError):
    """A home that is missing, read-only, full or otherwise unusable."""


class RegistryError(AhlError):
    """A database that cannot be opened: newer format, damaged, no rights, locked."""


class ManifestError(AhlError):
    """An `adapter.json` that is missing, not JSON, or says something impossible."""


class WeightsError(AhlError):
    """Weights that do not fit: truncated, missing, extra, misshapen, NaN, wrong digest."""


class BaseMismatchError(AhlError):
    """An adapter meets a base model other than the one it was trained on."""


class MethodError(AhlError):
    """A method that no plugin provides, or a config that it does not accept."""


class TaskTypeError(AhlError):
    """A task type (kind of head) that no plugin provides."""


class PluginError(AhlError):
    """A plugin that cannot be loaded, clashes with another or breaks the hook contract."""


class CompositionError(UsageError):
    """Adapters that cannot be combined in this way, or text that is no composition."""


class AttachError(AhlError):
    """A composition that this model cannot carry."""


class LockError(AhlError):
    """A lock file that cannot be read, or that something here differs from."""


class ExchangeError(AhlError):
    """A folder or repository of another library that cannot be taken in, or written, exactly."""


class HubError(AhlError):
    """A Hub that cannot be reached, refuses, or answers something that must not be trusted."""


class DataError(AhlError):
    """A bad line in a user's file; the message starts with file and line."""


class TrainingError(AhlError):
    """Training that cannot start, resume or finish."""


class NoResolutionError(AhlError):
    """Nothing in the registry answers the request; `resolution` (a `Refusal`) says why."""

    exit_code = 3
    several_lines = True

    @property
    def resolution(self) -> Any:
        """The refusal, with `explain()` and `to_json()` as an answer has them."""
        return self.facts["resolution"]


def near(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?` for names close to `name`, else what there is (at most eight)."""
    names = sorted(set(known))
    if similar := close(name, names):
        return "did you mean " + " or ".join(f"`{c}`" for c in similar) + "?"
    if not names:
        return "there is none yet"
    listed = ", ".join(f"`{n}`" for n in names[:8])
    return f"known: {listed}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def close(name: str, known: Iterable[str]) -> list[str]:
    """Return at most three names that `name` may be a misspelling or a part of, best first.

    Case, blanks, hyphens and underscores make no difference.
    """
    by_fold: dict[str, list[str]] = {}
    for candidate in sorted(set(known)):
        by_fold.setdefault(_fold(candidate), []).append(candidate)
    folded = _fold(name)
    hits = [fold for fold in by_fold if sorted(fold) == sorted(folded)]  # swapped letters
    hits = hits or get_close_matches(folded, by_fold, n=3)
    if not hits and len(folded) > 1:
        hits = sorted((fold for fold in by_fold if folded in fold), key=len)
    return [candidate for hit in hits for candidate in by_fold[hit]][:3]


def _fold(name: str) -> str:
    return name.casefold().replace("_", "-").replace(" ", "-")

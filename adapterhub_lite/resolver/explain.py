"""Words for an answer: what to run and why, read in ten seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from adapterhub_lite.foreign import text

if TYPE_CHECKING:
    from adapterhub_lite.resolver.resolution import Missing, Rejection, Resolution

SHOWN = 3
"""Alternatives and ways to a better answer that the text shows, unless all are asked for."""


def explain(resolution: Resolution, *, everything: bool = False) -> str:
    """Return the answer as text: what to run, why, warnings, alternatives, what would lift it.

    With `everything`, all alternatives, all ways to lift it, and what a rule forbids.
    """
    return "\n".join(map(text.one_line, _lines(resolution, None if everything else SHOWN)))


def headline(resolution: Resolution) -> str:
    """Return the request and the strategy that answers it, in one line."""
    request = resolution.request
    asked = f"{request.pair}, task {request.task}, base {resolution.base.name}"
    return f"{asked}: {_named(resolution)}"


def _lines(resolution: Resolution, shown: int | None) -> Iterator[str]:
    yield headline(resolution)
    yield f"  {resolution.composition}"
    yield f"  {resolution.why}"
    yield ""
    yield from _choices(resolution)
    for warning in resolution.warnings:
        yield f"warning: {warning}"
    for note in resolution.notes:
        yield f"note: {note}"
    yield from _alternatives(resolution, shown)
    if shown is None:
        yield from _rejections(resolution)
    yield from _missing(resolution, shown)


def _named(resolution: Resolution) -> str:
    """Return the strategy, with its name in papers where that is another."""
    strategy, scheme = resolution.strategy, resolution.scheme
    return f"{strategy} ({scheme})" if scheme and scheme.lower() != strategy else strategy


def _choices(resolution: Resolution) -> Iterator[str]:
    slots = max(len(choice.slot) for choice in resolution.choices)
    refs = max(len(choice.ref) for choice in resolution.choices)
    for choice in resolution.choices:
        yield f"  {choice.slot:<{slots}}  {choice.ref:<{refs}}  {choice.reason}"


def _alternatives(resolution: Resolution, shown: int | None) -> Iterator[str]:
    if not resolution.alternatives:
        return
    yield ""
    yield "after it:"
    for other in resolution.alternatives[:shown]:
        yield f"  {other.composition}: {other.lost}"
    if shown is not None and len(resolution.alternatives) > shown:
        yield f"  and {len(resolution.alternatives) - shown} more (`--all` lists them)"


def _rejections(resolution: Resolution) -> Iterator[str]:
    if not resolution.rejections:
        return
    yield ""
    yield "not allowed:"
    for rejection in resolution.rejections:
        yield f"  {refused(rejection)}"


def refused(rejection: Rejection) -> str:
    """Return what a rule forbids, for which strategy, and why."""
    over = f" over {' and '.join(rejection.others)}" if rejection.others else ""
    way = f" ({rejection.strategy})" if rejection.strategy else ""
    return f"{rejection.ref}{over}{way}: {rejection.reason}"


def _missing(resolution: Resolution, shown: int | None) -> Iterator[str]:
    if not resolution.missing:
        return
    yield ""
    for missing in resolution.missing[:shown]:
        yield f"for {missing.strategy}: {missing.what}"
        yield from (f"  {command}" for command in missing.commands)


def hints(missing: Iterable[Missing]) -> list[str]:
    """Return one hint a way: the commands to run, in order."""
    return [_hint(way) for way in list(missing)[:SHOWN]]


def _hint(way: Missing) -> str:
    commands = ", then ".join(f"`{command}`" for command in way.commands)
    return text.one_line(f"{commands} ({way.strategy}: {way.what})")

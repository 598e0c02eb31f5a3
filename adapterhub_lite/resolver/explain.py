"""Words for an answer: what to run and why, read in ten seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapterhub_lite.resolver.resolution import Missing, Resolution

SHOWN = 3
"""Alternatives and ways to a better answer that the text shows; `to_json` has all."""


def explain(resolution: Resolution) -> str:
    """Return the answer as text: what to run, why, warnings, alternatives, what would lift it."""
    return "\n".join(_lines(resolution))


def _lines(resolution: Resolution) -> Iterator[str]:
    request = resolution.request
    yield f"{request.pair}, task {request.task}, base {resolution.base.name}: {_named(resolution)}"
    yield f"  {resolution.composition}"
    yield f"  {resolution.why}"
    yield ""
    yield from _choices(resolution)
    for warning in resolution.warnings:
        yield f"warning: {warning}"
    for note in resolution.notes:
        yield f"note: {note}"
    yield from _alternatives(resolution)
    yield from _missing(resolution)


def _named(resolution: Resolution) -> str:
    """Return the strategy, with its name in papers where that is another."""
    strategy, scheme = resolution.strategy, resolution.scheme
    return f"{strategy} ({scheme})" if scheme and scheme.lower() != strategy else strategy


def _choices(resolution: Resolution) -> Iterator[str]:
    slots = max(len(choice.slot) for choice in resolution.choices)
    refs = max(len(choice.ref) for choice in resolution.choices)
    for choice in resolution.choices:
        yield f"  {choice.slot:<{slots}}  {choice.ref:<{refs}}  {choice.reason}"


def _alternatives(resolution: Resolution) -> Iterator[str]:
    if not resolution.alternatives:
        return
    yield ""
    yield "after it:"
    for other in resolution.alternatives[:SHOWN]:
        yield f"  {other.composition}: {other.lost}"
    yield from _more(len(resolution.alternatives))


def _missing(resolution: Resolution) -> Iterator[str]:
    if not resolution.missing:
        return
    yield ""
    for missing in resolution.missing[:SHOWN]:
        yield f"for {missing.strategy}: {missing.what}"
        yield from (f"  {command}" for command in missing.commands)


def _more(count: int) -> Iterator[str]:
    if count > SHOWN:
        yield f"  and {count - SHOWN} more (`--json` lists them)"


def hints(missing: Iterable[Missing]) -> list[str]:
    """Return one hint a way: the commands to run, in order."""
    return [_hint(way) for way in list(missing)[:SHOWN]]


def _hint(way: Missing) -> str:
    commands = ", then ".join(f"`{command}`" for command in way.commands)
    return f"{commands} ({way.strategy}: {way.what})"

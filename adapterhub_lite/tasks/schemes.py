"""A sentence's tags of spans in the scheme of a head's labels (schemes: `spans`).

Heads keep the tags of the data that they were trained on.  Data in another scheme has the same
spans, so a loss on it, or a check that its labels are known, must not end at its prefixes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adapterhub_lite.tasks.spans import OUTSIDE, in_bio, marks_spans


def in_scheme(tags: Sequence[str | None], labels: Iterable[str]) -> tuple[str | None, ...]:
    """Return the tags of one sentence in the scheme that a head's labels are in.

    `None` (not tagged) stays.  Tags that mark no spans, and labels that do not, change nothing.
    """
    names = set(labels)
    if all(tag is None or tag in names for tag in tags) or not marks_spans(names):
        return tuple(tags)
    if not marks_spans({tag for tag in tags if tag is not None}):
        return tuple(tags)
    respelt = _respell(in_bio(tags), names)
    return tuple(None if tag is None else new for tag, new in zip(tags, respelt, strict=True))


def _respell(bio: Sequence[str], names: set[str]) -> list[str]:
    """Return BIO tags in the scheme of `names`; what that has no name for stays BIO."""
    respelt = []
    for position, tag in enumerate(bio):
        prefix, _, name = tag.partition("-")
        inside = _tag("I", name)
        ends = position + 1 == len(bio) or bio[position + 1] != inside
        adjacent = position > 0 and bio[position - 1] in (_tag("B", name), inside)
        prefixes = _prefixes(prefix, ends=ends, adjacent=adjacent)
        spellings = [_tag(p, name, mark) for p in prefixes for mark in "-_"]
        respelt.append(next((s for s in spellings if s in names), tag))
    return respelt


def _prefixes(prefix: str, *, ends: bool, adjacent: bool) -> str:
    """Return the prefixes that a word of a span may have, the most exact first."""
    if prefix == OUTSIDE:
        return OUTSIDE
    if prefix == "B":
        return ("SU" if ends else "") + ("B" if adjacent else "BI")
    return ("EL" if ends else "") + "IM"


def _tag(prefix: str, name: str, mark: str = "-") -> str:
    return f"{prefix}{mark}{name}" if name else prefix

"""YAML of a card's front matter, built from the events of PyYAML's parser.

PyYAML's own loaders nest as deep as their input, follow aliases (a few hundred bytes may spell
gigabytes), take the last of two equal keys, and know types of which some make objects.  Events have
none of that: here are mappings, lists and texts, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LARGEST = 64 << 10
"""Letters; PyYAML's parser takes about ten seconds for a million."""

_EMPTY = frozenset({"", "~", "null", "Null", "NULL"})


def parse(document: str, *, depth: int) -> Any:
    """Return the mappings, lists and texts that a YAML document spells; `None` for an empty one.

    Raises:
        ValueError: not YAML, larger than `LARGEST`, nested deeper than `depth`, an alias, a key
            twice, or a key that is no text; with line and column.
    """
    import yaml

    if len(document) > LARGEST:
        raise ValueError(f"larger than {LARGEST} letters")
    try:
        return _value(yaml.parse(document, Loader=yaml.BaseLoader), depth)
    except yaml.YAMLError as error:
        raise ValueError(_words(error)) from None
    except (TypeError, AttributeError, IndexError, KeyError, OverflowError) as error:
        raise ValueError(f"not YAML ({type(error).__name__})") from None  # faults of the parser


def _words(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or type(error).__name__
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"not YAML{place}: {problem}"


def _value(events: Iterator[Any], depth: int) -> Any:
    """Return the first document of a stream of events, without recursion.

    The events come one by one: the parser takes time quadratic in the depth that it is let into.
    """
    root: list[Any] = []
    open_ones: list[Any] = [root]
    keys: list[str | None] = [None]
    for event in events:
        name = type(event).__name__
        if name == "AliasEvent":
            raise ValueError(f"an alias {_at(event)}")
        if name in {"MappingEndEvent", "SequenceEndEvent"}:
            open_ones.pop()
            keys.pop()
        elif name in {"MappingStartEvent", "SequenceStartEvent", "ScalarEvent"}:
            value = _started(event, name)
            _put(open_ones[-1], keys, value, event)
            if name != "ScalarEvent":
                if len(open_ones) > depth:
                    raise ValueError(f"nested deeper than {depth} levels {_at(event)}")
                open_ones.append(value)
                keys.append(None)
        elif name == "DocumentEndEvent":
            break
    return root[0] if root else None


def _started(event: Any, name: str) -> Any:
    if name == "ScalarEvent":
        plain = event.implicit[0] and event.style is None
        return None if plain and event.value in _EMPTY else event.value
    return {} if name == "MappingStartEvent" else []


def _put(holder: Any, keys: list[str | None], value: Any, event: Any) -> None:
    """Put a value into what holds it; in a mapping, each second one is a key."""
    if isinstance(holder, list):
        holder.append(value)
        return
    key = keys[-1]
    if key is not None:
        holder[key] = value
        keys[-1] = None
        return
    if not isinstance(value, str):
        raise ValueError(f"a key that is no text {_at(event)}")  # noqa: TRY004 - of the document
    if value in holder:
        raise ValueError(f"the key `{value[:60]}` twice {_at(event)}")
    keys[-1] = value


def _at(event: Any) -> str:
    return f"in line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"

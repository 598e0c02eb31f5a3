"""The one reader of JSON, JSON lines, TOML and the front matter of cards.

Whatever such a file holds, reading it ends in a value or in one error that names file and place,
and takes no more time or memory than its bounds allow.  Bounded are bytes, depth and items; numbers
are finite, and whole ones have 64 bits; text is UTF-8; no object has one key twice, because two
readers may then differ in what it says.  (Why not by another library: `decisions/0039`.)
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from adapterhub_lite.errors import AhlError
from adapterhub_lite.foreign import text as texts

_LARGEST_WHOLE = 1 << 63
_DIGITS = 20
_MOST_DIGITS = 400
_SURROGATES = re.compile("[\ud800-\udfff]")

Place: TypeAlias = "tuple[Place, str | int] | None"
"""Where a value is in a document: the place of what holds it, and its key or position there."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a document may be: its bytes, how deep it nests, how many values it has in all."""

    bytes: int = 4 << 20
    depth: int = 64
    items: int = 200_000


CONFIG = Bounds()
"""Configs, manifests, locks, cards."""

LINE = Bounds(bytes=16 << 20, items=1_000_000)
"""A line of data, and the header of a safetensors file."""

DATA = Bounds(bytes=1 << 30, items=50_000_000)
"""A user's own data set in one document."""

RECORD = Bounds(bytes=32 << 20, items=2_000_000)
"""What this package itself writes, and grows with use."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How documents are read that fail as one class of error.

    Args:
        error: what a document that cannot be read is raised as.
        bounds: what it may be.
        controls: whether its texts may hold what a terminal obeys.
        one_line: whether they may hold none of that, nor tabs and line breaks.
        as_python: whether it may hold what Python's json writes and JSON does not have (infinite
            numbers, whole ones of any size, halves of surrogate pairs), as configs of other
            libraries do.
        free: keys whose texts may have tabs and line breaks all the same.
        hint: what to do about a document that cannot be read.
    """

    error: type[AhlError]
    bounds: Bounds = CONFIG
    controls: bool = True
    one_line: bool = False
    as_python: bool = False
    free: frozenset[str] = frozenset()
    hint: str | None = None

    def json_file(self, path: Path) -> Any:
        """Return the value in a JSON file.

        Raises:
            FileNotFoundError: there is none.
            AhlError: as `error`: unreadable, not JSON, out of bounds.
        """
        return self.json(self._bytes(path), f"cannot read `{path}`")

    def json_object_file(self, path: Path) -> dict[str, Any]:
        """Return the object in a JSON file; raises as `json_file`, and for any other value."""
        return self._object(self.json_file(path), f"cannot read `{path}`")

    def json_object(self, document: bytes | str, source: str) -> dict[str, Any]:
        """Return the object that a JSON document spells; raises as `json`, and for other values."""
        return self._object(self.json(document, source), source)

    def json(self, document: bytes | str, source: str) -> Any:
        """Return the value that a JSON document spells.

        Args:
            source: how messages begin: `FILE:LINE`, or what cannot be read; empty for nothing.

        Raises:
            AhlError: as `error`; says what is wrong, and at which line and column, or key.
        """
        document = self._text(document, source)
        try:
            value = (_LENIENT if self.as_python else _DECODER).decode(document)
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            problem = f"not JSON at {place}: {error.msg.lower()}"
            raise self._wrong(source, problem, line=error.lineno) from None
        except RecursionError:
            raise self._too_deep(source) from None
        return self._checked(value, source)

    def record(self, document: str, source: str) -> Any:
        """Return the value of a record whose fields and digest are compared with it afterwards.

        Registries read thousands of them, so nothing is looked at twice; raises as `json`.
        """
        try:
            return json.loads(document)
        except RecursionError:
            raise self._too_deep(source) from None
        except ValueError as error:
            raise self._wrong(source, f"not JSON: {error}") from None

    def toml_file(self, path: Path) -> dict[str, Any]:
        """Return the table in a TOML file; raises as `json_file`."""
        return self.toml(self._bytes(path), f"cannot read `{path}`")

    def toml(self, document: bytes | str, source: str) -> dict[str, Any]:
        """Return the table that a TOML document spells; raises as `json`."""
        import tomllib

        document = self._text(document, source)
        try:
            value = tomllib.loads(document)
        except RecursionError:
            raise self._too_deep(source) from None
        except ValueError as error:
            raise self._wrong(source, f"not TOML: {error}") from None
        checked: dict[str, Any] = self._checked(value, source)
        return checked

    def front_matter_file(self, path: Path) -> dict[str, Any]:
        """Return the front matter of a card; raises as `json_file`."""
        return self.front_matter(self._bytes(path), f"cannot read `{path}`")

    def front_matter(self, document: bytes | str, source: str) -> dict[str, Any]:
        """Return the YAML between the two `---` that a card starts with; empty where it has none.

        Scalars are texts as they are written (Norwegian `no` is no false), and empty ones `None`.
        """
        lines = self._text(document, source).splitlines()
        if not lines or lines[0].rstrip() != "---":
            return {}
        ends = (number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---")
        end = next(ends, None)
        if end is None:
            raise self._wrong(source, "its front matter has no end: a line `---`")
        from adapterhub_lite.foreign import yaml

        try:
            value = yaml.parse("\n".join(lines[1:end]), depth=self.bounds.depth)
        except ValueError as error:
            raise self._wrong(source, f"front matter that is not read: {error}") from None
        return self._object(self._checked({} if value is None else value, source), source)

    def _bytes(self, path: Path) -> bytes:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise self._wrong(f"cannot read `{path}`", "not a file")
            with path.open("rb") as stream:
                return stream.read(self.bounds.bytes + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._wrong(f"cannot read `{path}`", error.strerror or str(error)) from None

    def _text(self, document: bytes | str, source: str) -> str:
        if len(document) > self.bounds.bytes:
            raise self._wrong(source, f"larger than {self.bounds.bytes} bytes")
        if isinstance(document, str):
            return document
        try:
            return document.decode().removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            line = document.count(b"\n", 0, error.start) + 1
            byte = f"byte 0x{document[error.start]:02x} in line {line}"
            raise self._wrong(source, f"not UTF-8: {byte}") from None

    def _checked(self, value: Any, source: str) -> Any:
        """Return a value in which all is within bounds."""
        for number, (item, place) in enumerate(_items(value, self.bounds.depth), 1):
            if number > self.bounds.items:
                raise self._wrong(source, f"more than {self.bounds.items} values")
            if (problem := self._problem(item, place)) is not None:
                raise self._wrong(source, f"{spelt(place)}{problem}")
        return value

    def _problem(self, item: Any, place: Place) -> str | None:
        kind: Any = type(item)
        if kind is str:
            return self._problem_of_text(item, place)
        if kind is _Refused:
            return str(item.problem)
        if kind is _Deep:
            return f"nested deeper than {self.bounds.depth} levels"
        if self.as_python:
            return None
        if kind is int:
            inside = -_LARGEST_WHOLE <= item < _LARGEST_WHOLE
            return None if inside else "a whole number of more than 64 bits"
        if kind is float:
            return None if math.isfinite(item) else "no finite number"
        return None

    def _problem_of_text(self, item: str, place: Place) -> str | None:
        if item.isascii() and item.isprintable():
            return None
        if _SURROGATES.search(item) and not self.as_python:
            return "half of a surrogate pair, which no text has"
        obeyed = self._obeyed(place)
        if obeyed is not None and (match := obeyed.search(item)):
            return (
                f"`{item[:60]}` holds U+{ord(match[0]):04X}, which a terminal would obey instead "
                "of showing it"
            )
        return None

    def _obeyed(self, place: Place) -> re.Pattern[str] | None:
        """Return what a text at a place may not hold."""
        if self.one_line and (place is None or place[1] not in self.free):
            return texts.OBEYED
        return None if self.controls and not self.one_line else texts.OBEYED_IN_LINES

    def _object(self, value: Any, source: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(source, f"expected a JSON object, found {type(value).__name__}")
        return value

    def _too_deep(self, source: str) -> AhlError:
        return self._wrong(source, f"nested deeper than {self.bounds.depth} levels")

    def _wrong(self, source: str, problem: str, **facts: object) -> AhlError:
        return self.error(f"{source}: {problem}" if source else problem, hint=self.hint, **facts)


@dataclass(frozen=True, slots=True)
class _Refused:
    """What stands where the parser met something that no document may hold."""

    text: str
    key: str | None = None

    @property
    def problem(self) -> str:
        """What is wrong, for a message."""
        if self.key is not None:
            return f"the key `{self.key[:60]}` is there twice"
        return "no finite number" if not self.text[-1:].isdigit() else _LONG


_LONG = "a whole number of more than 64 bits"


@dataclass(frozen=True, slots=True)
class _Deep:
    """What stands for a value that is nested too deep."""


_DEEP = _Deep()


def _whole(digits: str) -> int | _Refused:
    return int(digits) if len(digits) <= _DIGITS else _Refused(digits)


def _any_whole(digits: str) -> int | _Refused:
    return int(digits) if len(digits) <= _MOST_DIGITS else _Refused(digits)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    counts = Counter(key for key, _ in pairs)
    return _Refused("", next(key for key, times in counts.items() if times > 1))


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_whole, parse_constant=_Refused)
_LENIENT = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_any_whole)


def _items(value: Any, depth: int) -> Iterator[tuple[Any, Place]]:
    """Yield every value of a document, keys too, with its place."""
    waiting: list[tuple[Any, Place, int]] = [(value, None, 0)]
    while waiting:
        item, place, level = waiting.pop()
        if level > depth:
            yield _DEEP, place
            return
        yield item, place
        if isinstance(item, dict):
            for key, inner in item.items():
                yield key, (place, key)
                waiting.append((inner, (place, key), level + 1))
        elif isinstance(item, list):
            waiting += [(inner, (place, n), level + 1) for n, inner in enumerate(item)]


def spelt(place: Place) -> str:
    """Return a place as messages have it: `head.labels[3]: `."""
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step[:60]}")
    words = "".join(reversed(steps)).removeprefix(".")
    return f"at `{words[:200]}`: " if words else ""

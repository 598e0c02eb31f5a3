"""Compositions: adapters put together, as values that print, compare and parse.

    en-wiki                                    one adapter
    stack(en-wiki, pos)                        bottom first: `pos` reads what `en-wiki` wrote
    average(0.5*en-wiki, 0.5*de-wiki)          weighted mean of adapters with equal config
    fuse(ner, pos)                             attention over members (AdapterFusion)
    parallel(en-pos, sw-pos)                   the input once per member

What may stand where is asked of the methods when a composition is attached; here is only the
grammar.  `parse(str(c)) == c` holds for every composition.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from adapterhub_lite.errors import CompositionError

_REF = r"[A-Za-z0-9][A-Za-z0-9._\-/]*(?:@[A-Za-z0-9._\-/]+)?"
REF_PATTERN = re.compile(_REF)
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*\*|(?P<ref>{_REF})|(?P<mark>[(),]))"
)


@dataclass(frozen=True, slots=True)
class Ref:
    """One adapter: `name`, `name@digest`, an alias, or a digest."""

    ref: str

    def __post_init__(self) -> None:
        if not REF_PATTERN.fullmatch(self.ref):
            raise CompositionError(
                f"`{self.ref}` cannot be the name of an adapter",
                hint="names are letters, digits and `. _ - /`, with an optional `@digest`",
            )

    def __str__(self) -> str:
        return self.ref


@dataclass(frozen=True, slots=True)
class _Many:
    parts: tuple[Composition, ...]

    def __init__(self, *parts: Composition | str) -> None:
        object.__setattr__(self, "parts", tuple(_composition(p) for p in parts))
        if not parts:
            raise CompositionError(f"`{type(self).__name__.lower()}()` has no adapter in it")

    def __str__(self) -> str:
        return f"{type(self).__name__.lower()}({', '.join(map(str, self.parts))})"


class Stack(_Many):
    """Adapters one on another, bottom first."""

    __slots__ = ()


class Fuse(_Many):
    """Learned attention over the members' outputs (AdapterFusion, Pfeiffer et al. 2021)."""

    __slots__ = ()


class Parallel(_Many):
    """The batch once per member, outputs side by side."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, init=False)
class Average:
    """Weighted mean of adapters with equal config digest.  Weights are kept as given."""

    parts: tuple[Composition, ...]
    weights: tuple[float, ...]

    def __init__(self, *parts: Composition | str, weights: tuple[float, ...] | None = None) -> None:
        if not parts:
            raise CompositionError("`average()` has no adapter in it")
        given = tuple(weights) if weights is not None else (1.0 / len(parts),) * len(parts)
        if len(given) != len(parts) or any(not 0 <= w < math.inf for w in given):
            raise CompositionError(
                f"an average of {len(parts)} adapters needs as many weights >= 0, finite "
                f"ones, found {given}"
            )
        object.__setattr__(self, "parts", tuple(_composition(p) for p in parts))
        object.__setattr__(self, "weights", tuple(float(w) for w in given))

    def __str__(self) -> str:
        items = (f"{w!r}*{p}" for w, p in zip(self.weights, self.parts, strict=True))
        return f"average({', '.join(items)})"


Composition: TypeAlias = Ref | Stack | Average | Fuse | Parallel


def _composition(part: Composition | str) -> Composition:
    return parse(part) if isinstance(part, str) else part


def refs(composition: Composition) -> tuple[str, ...]:
    """Return the refs in a composition, in order, repeats included."""
    return tuple(_refs(composition))


def _refs(composition: Composition) -> Iterator[str]:
    if isinstance(composition, Ref):
        yield composition.ref
        return
    for part in composition.parts:
        yield from _refs(part)


def rename(composition: Composition, name: Callable[[str], str]) -> Composition:
    """Return the composition with every ref replaced by `name(ref)`."""
    if isinstance(composition, Ref):
        return Ref(name(composition.ref))
    parts = [rename(part, name) for part in composition.parts]
    if isinstance(composition, Average):
        return Average(*parts, weights=composition.weights)
    return type(composition)(*parts)


def parse(text: str) -> Composition:
    """Return the composition that `text` spells.

    Raises:
        CompositionError: not a composition; the message shows where.
    """
    parser = _Parser(text)
    weight, result = parser.item()
    if weight is not None:
        raise CompositionError(f"a weight is only meant inside `average(...)`: `{text}`")
    parser.end()
    return result


_BUILDERS: dict[str, type[Stack | Fuse | Parallel]] = {
    "stack": Stack,
    "fuse": Fuse,
    "parallel": Parallel,
}


LONGEST = 100_000
"""Letters of a composition: enough for an average of a thousand adapters by digest."""

DEEPEST = 32
"""Compositions inside one another."""

_AROUND = 200


class _Parser:
    """Recursive descent over the grammar in the module's docstring."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise CompositionError(f"a composition has at most {LONGEST} letters, not {len(text)}")
        self.text = text
        self.at = 0
        self.depth = 0

    def fail(self, wanted: str) -> CompositionError:
        before, after = self.text[: self.at], self.text[self.at :]
        start = f"...{before[-_AROUND:]}" if len(before) > _AROUND else before
        shown = f"{start}>>>{after[:_AROUND]}" + ("..." if len(after) > _AROUND else "")
        return CompositionError(
            f"not a composition, expected {wanted} at `>>>`: `{shown}`",
            hint="write `name`, `stack(bottom, top)` or `average(0.5*a, 0.5*b)`",
        )

    def token(self, group: str, wanted: str, value: str | None = None) -> str:
        match = _TOKEN.match(self.text, self.at)
        found = match.group(group) if match else None
        if match is None or found is None or (value is not None and found != value):
            raise self.fail(wanted)
        self.at = match.end()
        return found

    def next_is(self, group: str, value: str | None = None) -> bool:
        match = _TOKEN.match(self.text, self.at)
        found = match.group(group) if match else None
        return found is not None and (value is None or found == value)

    def item(self) -> tuple[float | None, Composition]:
        weight = float(self.token("number", "a weight")) if self.next_is("number") else None
        name = self.token("ref", "the name of an adapter")
        if not self.next_is("mark", "("):
            return weight, Ref(name)
        return weight, self.call(name)

    def call(self, name: str) -> Composition:
        if name != "average" and name not in _BUILDERS:
            raise self.fail("`stack`, `average`, `fuse` or `parallel` before `(`")
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail(f"at most {DEEPEST} compositions inside one another")
        items = self.items()
        self.depth -= 1
        weights = [weight for weight, _ in items]
        parts = [part for _, part in items]
        if name != "average":
            if any(weight is not None for weight in weights):
                raise CompositionError(f"`{name}` takes no weights: `{self.text}`")
            return _BUILDERS[name](*parts)
        if all(weight is None for weight in weights):
            return Average(*parts)
        if any(weight is None for weight in weights):
            raise CompositionError(
                f"give every member of the average a weight, or none: `{self.text}`"
            )
        return Average(*parts, weights=tuple(w for w in weights if w is not None))

    def items(self) -> list[tuple[float | None, Composition]]:
        self.token("mark", "`(`", "(")
        items = [self.item()]
        while self.next_is("mark", ","):
            self.token("mark", "`,`", ",")
            items.append(self.item())
        self.token("mark", "`,` or `)`", ")")
        return items

    def end(self) -> None:
        if self.text[self.at :].strip():
            raise self.fail("the end")

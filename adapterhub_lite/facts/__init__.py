"""Facts about languages: family, place, scripts, word order, names; from files, read when asked.

The files are made by `starter/make_facts.py` in the repository, one a licence (`data/NOTICE.md`).
Nothing here knows adapters.  The tree is read in about 20 ms, the first time that it is needed.

A macrolanguage has no place in a family tree; the language that CLDR takes for it stands for it
(`sw`: Swahili `swh`, `zh`: Mandarin `cmn`, `ar`: Standard Arabic `arb`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one language.

    Args:
        tag: its normal BCP 47 tag, without script and region.
        name: Glottolog's name.
        code: ISO 639-3.
        glottocode: Glottolog's code.
        place: latitude and longitude in degrees, if known.
        path: numbers of its families from the root down, and its own; only equality means anything.
        macro: tag of the macrolanguage (ISO 639-3) that it belongs to, if it does.
    """

    tag: str
    name: str
    code: str
    glottocode: str
    place: tuple[float, float] | None
    path: tuple[int, ...]
    macro: str | None = None

    @property
    def families(self) -> tuple[str, ...]:
        """The names of its families, the widest first; none for an isolate."""
        lines = _tree().lines
        return tuple(lines[number].split("\t", 2)[1] for number in self.path[:-1])


class _Tree(NamedTuple):
    """The lines of the file, each line's parent, the line of each tag, and macrolanguages."""

    lines: list[str]
    parents: list[int]
    numbers: dict[str, int]
    macros: dict[str, list[str]]


def about(tag: str) -> Facts | None:
    """Return the facts of a language by its normal tag (script and region play no part)."""
    return _about(tag.partition("-")[0])


@lru_cache(maxsize=10_000)
def _about(tag: str) -> Facts | None:
    number = _tree().numbers.get(tag)
    if number is None:
        return None
    cells = [*_tree().lines[number].split("\t"), "", ""]
    _, name, code, short, macro, glottocode, latitude, longitude = cells[:8]
    place = (float(latitude), float(longitude)) if latitude else None
    path, wide = _path(number), macro.lstrip("=") or None
    return Facts(short or code, name, code, glottocode, place, path, wide)


def _path(number: int) -> tuple[int, ...]:
    parents, path = _tree().parents, []
    while number >= 0:
        path.append(number)
        number = parents[number]
    return tuple(reversed(path))


def macrolanguage(tag: str) -> str:
    """Return the macrolanguage that a tag's language belongs to or is, else the language."""
    language = tag.partition("-")[0]
    facts = _about(language)
    return facts.macro if facts and facts.macro else language


def members(tag: str) -> tuple[str, ...]:
    """Return the languages of the macrolanguage that a tag belongs to or is, itself first."""
    macro = macrolanguage(tag)
    return tuple(dict.fromkeys((macro, *_tree().macros.get(macro, ()))))


@lru_cache(maxsize=10_000)
def near_in_tree(tag: str, wanted: int) -> tuple[str, ...]:
    """Return the `wanted` languages closest to `tag` in the tree, itself first; fewer if alone."""
    facts = about(tag)
    if facts is None:
        return ()
    found: list[str] = []
    for node in reversed(facts.path[:-1]):
        found = list(_below(node))
        if len(found) >= wanted:
            break
    found.sort(key=lambda other: -dice(facts.path, _path(_tree().numbers[other])))
    return tuple(found[:wanted])


def dice(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Return the Dice coefficient of two paths: twice what they share over their lengths."""
    return 2 * shared(one, other) / (len(one) + len(other))


def shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return how many nodes two paths share, from the root down."""
    count = 0
    for ours, theirs in zip(one, other, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _below(node: int) -> Iterator[str]:
    lines = _tree().lines
    depth = int(lines[node].partition("\t")[0])
    for number in range(node + 1, len(lines)):
        cells = lines[number].split("\t", 4)
        if int(cells[0]) <= depth:
            return
        if len(cells) > 2:
            yield cells[3] or cells[2]


def scripts(tag: str) -> tuple[str, ...]:
    """Return the scripts (ISO 15924) of a tag: the one that it names, else the language's usual.

    A region can decide it: `zh-TW` is in `Hant`.  Empty where nobody recorded any.
    """
    language, _, rest = tag.partition("-")
    first = rest.partition("-")[0]
    if len(first) == 4 and first.isalpha():
        return (first,)
    if rest and (likely := _likely_script(tag)) != _likely_script(language):
        return (likely,)
    return tuple(_scripts().get(language, "").split())


@lru_cache(maxsize=1000)
def _likely_script(tag: str) -> str:
    import langcodes

    return str(langcodes.Language.get(tag).maximize().script or "")


def syntax(tag: str) -> int | None:
    """Return the 103 bits of a language's word order and grammar, as one number (URIEL)."""
    facts = about(tag)
    return _syntax().get(facts.code) if facts else None


def tags() -> tuple[str, ...]:
    """Return every tag that has facts, those of macrolanguages included."""
    return tuple(_tree().numbers)


@lru_cache(maxsize=1)
def plain_codes() -> frozenset[str]:
    """Return the codes of two and three letters that are their own normal form.

    They are no members of a macrolanguage either, so nothing is to be done about them: most tags
    that people give are among them, and for the rest there is langcodes, which takes 30 ms to load.
    """
    return frozenset((_DATA / "plain_codes.txt").read_bytes().decode().split())


def names() -> Mapping[str, tuple[str, ...]]:
    """Return the English names of every language by tag, the usual one first."""
    return _names()


@lru_cache(maxsize=1)
def _tree() -> _Tree:
    lines = _read("glottolog.tsv.gz").decode().split("\n")
    parents: list[int] = []
    numbers: dict[str, int] = {}
    macros: dict[str, list[str]] = {}
    above = [-1]
    for number, line in enumerate(lines):
        cells = line.split("\t", 5)
        depth = int(cells[0]) + 1
        parents.append(above[depth - 1])
        above[depth:] = [number]
        if len(cells) > 2:
            tag, macro = cells[3] or cells[2], cells[4]
            numbers[tag] = number
            if macro:
                macros.setdefault(macro.lstrip("="), []).append(tag)
            if macro.startswith("="):
                numbers[macro[1:]] = number
    return _Tree(lines, parents, numbers, macros)


@lru_cache(maxsize=1)
def _scripts() -> dict[str, str]:
    found = {}
    for line in _read("scripts.tsv.gz").decode().split("\n"):
        codes, _, tags = line.partition("\t")
        found.update(dict.fromkeys(tags.split(), codes))
    return found


@lru_cache(maxsize=1)
def _syntax() -> dict[str, int]:
    content, at, found = _read("syntax.bin.gz"), 0, {}
    while at < len(content):
        bits = int.from_bytes(content[at : at + 13], "big")
        end = at + 15 + 3 * int.from_bytes(content[at + 13 : at + 15], "big")
        codes = content[at + 15 : end].decode()
        found.update({codes[i : i + 3]: bits for i in range(0, len(codes), 3)})
        at = end
    return found


@lru_cache(maxsize=1)
def _names() -> dict[str, tuple[str, ...]]:
    found = {}
    for line in _read("names.tsv.gz").decode().split("\n"):
        tag, *others = line.split("\t")
        found[tag] = tuple(others)
    for line in _tree().lines:
        cells = line.split("\t", 5)
        if len(cells) > 2:
            tag = cells[3] or cells[2]
            found[tag] = (cells[1], *found.get(tag, ()))
    return found


def _read(name: str) -> bytes:
    import gzip  # `ahl --help` imports this module and reads nothing

    return gzip.decompress((_DATA / name).read_bytes())

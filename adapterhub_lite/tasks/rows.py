"""Words in rows: whether a file is a word a line, and how its columns are cut.

Tabs decide by themselves.  Blanks do not: lines of a text may happen to have as many words each.
So blanks need evidence from the whole file: a column of tags, or lines that start with a full stop.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from adapterhub_lite.tasks import fields, spans
from adapterhub_lite.tasks.files import Line, blocks

UPOS = frozenset(
    {"ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN"}
    | {"PUNCT", "SCONJ", "SYM", "VERB", "X"}
)
"""The 17 universal part-of-speech tags."""
DOCUMENT = "-DOCSTART-"
"""Starts a document in CoNLL-2003 and its kin; neither a word nor a sentence."""
_BLANKS = re.compile(r"[ \t]+")
_CAPITALS = re.compile(r"[A-Z][A-Z0-9$.:|+_-]*")
_STOP = re.compile(r"[.!?,;:…。！？、，।؟،။។]+")
_ATTACHED = re.compile(r".*\w[.!?…。！？।؟။។]+")
_ALIKE = 0.9
"""Share of the lines that must have the same number of columns, where blanks are between them."""
_TEXTS = 0.3
"""Share of cells with several words from which a column holds texts, not words."""
_LONG = 30
"""Characters of a cell that are more than a word or a tag has."""
_FEW = 20
"""Rows that are too few to tell from repetition that a column holds tags."""


@dataclass(frozen=True, slots=True)
class Rows:
    """How the columns of a file with words in rows are cut.

    Args:
        separator: between columns; `None` for blanks.
        count: number of columns.
        tags: what stands in the last column.
        header: line with the names of the columns.
        numbered: whether the first column counts the words of a sentence.
        doubt: what the format was told from, where that leaves a doubt.
    """

    separator: str | None
    count: int
    tags: frozenset[str] = frozenset()
    header: Line | None = None
    numbered: bool = False
    doubt: str | None = None

    def cells(self, line: Line) -> list[str]:
        """Return the cells of a line; blanks around a cell, and tabs at the end, do not count."""
        if self.separator is None:
            return _BLANKS.split(line.text.strip(" \t"))
        return [cell.strip(" ") for cell in line.text.split(self.separator)]

    def is_word(self, line: Line) -> bool:
        """Whether a line that is not blank holds a word, and is no comment and no header.

        `#` may be a word: then it has as many columns as the others, and a tag as they have.
        """
        if line == self.header or line.text.startswith(DOCUMENT):
            return False
        if not line.text.startswith("#"):
            return True
        row = self.cells(line)
        return len(row) == self.count and (self.count == 1 or row[-1] in self.tags | UPOS)


def rows_of(lines: Sequence[Line]) -> Rows | None:
    """Return how words stand in the rows of a file, or `None` where its lines are texts."""
    plain = [line for line in lines if _is_plain(line)]
    if not plain:
        return None
    if sum("\t" in line.text.strip(" ") for line in plain) >= len(plain) / 2:
        rows = described(lines, "\t")
        return None if holds_texts(lines, rows) else rows
    rows = described(lines, None)
    if rows.count == 1:
        return _one_word(lines, plain, rows)
    alike = [rows.cells(line) for line in plain if len(rows.cells(line)) == rows.count]
    if len(alike) > len(plain) / 2 and _has_known_tags(alike):
        return rows
    if len(alike) < _ALIKE * len(plain):
        return None
    cut = _is_cut(lines, alike)
    stops = any(_STOP.fullmatch(row[0]) for row in alike)
    if rows.header or stops or (cut and _has_capitals(alike)):
        return rows
    if cut and _repeats(alike):
        return replace(rows, doubt=f"its last column has just {len(rows.tags)} values")
    return None


def described(lines: Sequence[Line], separator: str | None) -> Rows:
    """Return how rows are cut by a separator: as most of them are."""
    plain = [line for line in lines if _is_plain(line)]
    rows = Rows(separator, 1)
    counts = Counter(len(rows.cells(line)) for line in plain)
    count = counts.most_common(1)[0][0] if counts else 1
    header = next(iter(plain), None)
    names = rows.cells(header) if header else []
    if not (any(fields.is_named(n, ("words",)) for n in names) and _names_tags(names)):
        header = None
    cells = [rows.cells(line) for line in plain if line != header]
    return Rows(
        separator,
        count,
        frozenset(row[-1] for row in cells if len(row) == count) if count > 1 else frozenset(),
        header,
        count > 1 and _numbered(lines, rows, header),
    )


def holds_texts(lines: Sequence[Line], rows: Rows) -> bool:
    """Whether a column holds texts of several words: a table for classification.

    Texts in scripts without blanks are told by their length.
    """
    written = [rows.cells(line) for line in lines if _is_plain(line) and line != rows.header]
    columns = zip(*(row for row in written if len(row) == rows.count), strict=True)
    return any(
        sum(" " in cell or len(cell) > _LONG for cell in column) > _TEXTS * len(written)
        for column in columns
    )


def _is_plain(line: Line) -> bool:
    return bool(line.text.strip()) and not line.text.startswith(("#", DOCUMENT))


def _names_tags(names: Sequence[str]) -> bool:
    return any(fields.is_named(name, ("tags",)) for name in names)


def _numbered(lines: Sequence[Line], rows: Rows, header: Line | None) -> bool:
    sentences = []
    for block in blocks(lines):
        first = [rows.cells(line)[0] for line in block if _is_plain(line) and line != header]
        sentences += [first] if first else []
    return any(len(first) > 1 for first in sentences) and all(
        first == [str(start + number) for number in range(len(first))]
        for first in sentences
        for start in [int(first[0]) if first[0] in ("0", "1") else 1]
    )


def has_tags(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a column but the first has only tags that are known, or only capitals."""
    return _has_known_tags(rows) or _has_capitals(rows)


def _has_capitals(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a column but the first has only capitals, as tags do, while the words do not."""
    words, *columns = zip(*rows, strict=True)
    return any(
        all(map(_CAPITALS.fullmatch, column)) and not all(map(_CAPITALS.fullmatch, words))
        for column in columns
    )


def _is_cut(lines: Sequence[Line], rows: Sequence[Sequence[str]]) -> bool:
    """Whether blank lines cut the rows into sentences, of two words and more on average."""
    return 2 <= sum(any(map(_is_plain, block)) for block in blocks(lines)) <= len(rows) / 2


def _has_known_tags(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a column but the first has only universal tags, or only tags of spans."""
    _, *columns = (set(column) for column in zip(*rows, strict=True))
    return any(
        (values <= UPOS | {"O", "_"} and len(rows) > 1)
        or ("O" in values and spans.marks_spans(values))
        for values in columns
    )


def _repeats(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the last column has few values, which are not words as the first has them."""
    words, tags = {row[0] for row in rows}, Counter(row[-1] for row in rows)
    overlap = sum(count for tag, count in tags.items() if tag in words)
    return len(rows) >= _FEW and len(tags) <= len(rows) / 4 and overlap <= len(rows) / 10


def _one_word(lines: Sequence[Line], plain: Sequence[Line], rows: Rows) -> Rows | None:
    words = [line.text.strip() for line in plain]
    attached = sum(bool(_ATTACHED.fullmatch(word)) for word in words)
    if len(words) < 2 or attached > len(words) / 5:
        return None
    if any(_STOP.fullmatch(word) for word in words):
        return rows
    sentences = [block for block in blocks(lines) if any(map(_is_plain, block))]
    if len(sentences) > 1 and any(len(block) > 1 for block in sentences):
        return replace(rows, doubt="every line is one word, and blank lines are between some")
    return None

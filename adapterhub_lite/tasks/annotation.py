"""Annotated files, tables, markup and code, told apart from running text by their content.

Whoever trains on the lines of a treebank teaches an adapter columns of tags.  Where a format has
the sentences in it, `sentences` takes them out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from adapterhub_lite.errors import DataError
from adapterhub_lite.foreign.reading import LINE, Reader
from adapterhub_lite.tasks.sample import sample

_SAMPLE = 2_000
"""Lines that are looked at, at most."""
_FEW = 4
"""Fewer lines than this are no evidence of columns."""
_MOST_COLUMNS = 5
"""Columns of a file with a word a line, blanks between them (CoNLL-2003 has four)."""
_EQUAL = 0.95
"""Share of the lines that have the same number of columns in a table."""
_COMMENT = re.compile(r"#\s*(sent_id|text|newdoc|newpar|global\.columns|id)\b|-DOCSTART-")
_TOKEN = re.compile(r"\d+([-.]\d+)?\s")
_TAG = re.compile(r"[A-Z]{1,6}[$.:|=+_]*[A-Z]*|[BIESLU]-\S+|_")
_MARKUP = re.compile(r"^<[/!?]?[A-Za-z][^<>]*>|</[A-Za-z][^<>]*>|^<!--")
_JSON = re.compile(r'[\[\]{}],?$|"(?:[^"\\]|\\.)*"\s*(:.*|,?)$|[{\[].*[}\]],?$')
_CODE = re.compile(
    r"[;{}]$|\b(def|class|for|if|while|elif|else|with)\b.*:$"
    r"|(import|from) [\w.]+( import .*)?$|#include\b|//|return\b"
)
_TEXT_FIELDS = ("text", "sentence", "content", "words", "tokens")
_NAMES = frozenset({*_TEXT_FIELDS, "id", "label", "labels", "tag", "tags", "lang", "language"})
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a file is instead of running text, and how many of its lines show it.

    `extract` returns the sentences in its lines; `None` where there is no telling which they are.
    """

    name: str
    share: float
    extract: Callable[[Sequence[str]], list[str]] | None = None


def annotation(lines: Sequence[str]) -> Annotation | None:
    """Return what lines are instead of running text, `None` for running text.

    Args:
        lines: the lines of a file without their ends; blank ones separate sentences.
    """
    filled = [line.strip() for line in lines if line.strip()]
    if not filled:
        return None
    some = sample(filled, _SAMPLE)
    looks = (_json, _conllu, _markup, _columns, _tabs, _separated, _code, _symbols)
    candidates = [look(some) for look in looks]
    likely = [candidate for candidate in candidates if candidate is not None]
    return max(likely, key=lambda candidate: candidate.share, default=None)


def _share(lines: Sequence[str], of: Callable[[str], object]) -> float:
    return sum(bool(of(line)) for line in lines) / len(lines)


_LINES = Reader(DataError, bounds=LINE)


def _json(lines: Sequence[str]) -> Annotation | None:
    if _share(lines[:10], _is_object) == 1:
        return Annotation("JSON lines", _share(lines, lambda s: s[0] == "{"), _from_json_lines)
    if lines[0][0] in "{[" and lines[-1][-1] in "}]":
        share = _share(lines, _JSON.match)
        return Annotation("JSON", share) if share > 0.5 else None
    return None


def _is_object(line: str) -> bool:
    try:
        _LINES.json_object(line, "")
    except DataError:
        return False
    return True


def _conllu(lines: Sequence[str]) -> Annotation | None:
    share = _share(lines, lambda s: _COMMENT.match(s) or _is_row(s))
    rows = sum(map(_is_row, lines))
    return Annotation("CoNLL-U annotation", share, _from_conllu) if rows else None


def _is_row(line: str) -> bool:
    """Whether a line is a word of CoNLL-U, or of CoNLL-X and 2009, which have other columns."""
    return bool(_TOKEN.match(line)) and len(line.split("\t" if "\t" in line else None)) >= 8


def _markup(lines: Sequence[str]) -> Annotation | None:
    share = _share(lines, _MARKUP.search)
    start = lines[0].lower()
    if start.startswith(("<?xml", "<!doctype", "<html")):
        share = max(share, 0.5)
    return Annotation("XML or HTML", share) if share else None


def _columns(lines: Sequence[str]) -> Annotation | None:
    """Return words with tags, a word a line, if that is what the lines are."""
    words = [line for line in lines if not _COMMENT.match(line)]
    rows = [line.split("\t") if "\t" in line else line.split() for line in words]
    if len(rows) < _FEW:
        return None
    width = max(map(len, rows), key=[len(row) for row in rows].count)
    even = [row for row in rows if len(row) == width]
    if not 2 <= width <= _MOST_COLUMNS or len(even) < _EQUAL * len(rows):
        return None
    tags = [row[-1] for row in even]
    firsts = {row[0] for row in even}
    if sum(" " in row[0].strip() for row in even) > 0.5 * len(even):
        return None  # texts, not words: a table
    tagged = sum(bool(_TAG.fullmatch(tag)) for tag in tags) > 0.8 * len(tags)
    few = len(tags) >= 20 and len(set(tags)) <= min(0.2 * len(tags), len(firsts) / 3)
    repeated = len(set(tags)) <= max(2, 0.7 * len(tags))
    if not few and not (tagged and repeated):
        return None
    return Annotation("words with tags, one word a line", 1.0, _from_columns)


def _tabs(lines: Sequence[str]) -> Annotation | None:
    share = _share(lines, lambda line: "\t" in line)
    return Annotation("a table, with tabs between columns", share, _from_tabs) if share else None


def _separated(lines: Sequence[str]) -> Annotation | None:
    """Return a table with commas, semicolons or bars, if the columns look like those of one."""
    for mark in ",;|":
        rows = _rows(lines, mark)
        if len(rows) < _FEW:
            continue
        width = len(rows[0])
        even = [row for row in rows if len(row) == width]
        if width < 2 or len(even) < _EQUAL * len(rows):
            continue
        names = {cell.strip().lower() for cell in rows[0]}
        if names & _NAMES or any(_is_category(column) for column in zip(*even[1:], strict=True)):
            return Annotation("a table (CSV)", len(even) / len(rows), _from_separated(mark))
    return None


def _rows(lines: Sequence[str], mark: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=mark, strict=True))
    except csv.Error:
        return []


def _is_category(cells: Sequence[str]) -> bool:
    """Whether the cells of a column are numbers, or of a few short kinds."""
    numbers = sum(bool(re.fullmatch(r"\s*[-+]?\d+([.,]\d+)?\s*", cell)) for cell in cells)
    if numbers >= _EQUAL * len(cells):
        return True
    short = all(len(cell) <= 20 for cell in cells)
    return len(cells) >= 10 and short and len(set(cells)) <= max(2, 0.2 * len(cells))


def _code(lines: Sequence[str]) -> Annotation | None:
    share = _share(lines, _CODE.search)
    return Annotation("program code", share) if share > 0.5 else None


def _symbols(lines: Sequence[str]) -> Annotation | None:
    """Return numbers and symbols, if more than half of what blanks separate has no letter."""
    tokens = [token for line in lines for token in line.split()]
    if len(tokens) < 20:
        return None
    share = _share(tokens, lambda token: not _LETTER.search(token))
    return Annotation("numbers and symbols", share) if share > 0.5 else None


def _from_conllu(lines: Sequence[str]) -> list[str]:
    """Return the sentences of CoNLL-U: their comments `# text`, else their forms."""
    return [sentence for block in _blocks(lines) if (sentence := _conllu_sentence(block))]


def _conllu_sentence(block: Sequence[str]) -> str:
    for line in block:
        name, equals, value = line.partition("=")
        if equals and name.strip() == "# text":
            return value.strip()
    text, covered = "", 0.0
    for line in block:
        cells = line.split("\t") if "\t" in line else line.split()
        if line.startswith("#") or len(cells) < 2 or "." in cells[0]:
            continue  # a comment, or an empty node, which no text has
        first, _, last = cells[0].partition("-")
        if not first.isdigit() or int(first) <= covered:
            continue  # a word of a multiword token, whose form has been read
        covered = int(last) if last.isdigit() else int(first)
        text += cells[1] + ("" if "SpaceAfter=No" in cells[-1] else " ")
    return text.strip()


def _from_columns(lines: Sequence[str]) -> list[str]:
    blocks = _blocks([line for line in lines if not _COMMENT.match(line)])
    return [" ".join(line.split()[0] for line in block) for block in blocks]


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def _from_json_lines(lines: Sequence[str]) -> list[str]:
    records = (_LINES.json_object(line, "") for line in lines if line.strip() and _is_object(line))
    return [text for record in records if (text := _text_of(record))]


def _text_of(record: Any) -> str:
    for name in _TEXT_FIELDS:
        value = record.get(name) if isinstance(record, dict) else None
        if isinstance(value, str):
            return value.strip()
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return " ".join(value)
    return ""


def _from_tabs(lines: Sequence[str]) -> list[str]:
    return _from_rows([line.split("\t") for line in lines if line.strip()])


def _from_separated(mark: str) -> Callable[[Sequence[str]], list[str]]:
    return lambda lines: _from_rows(_rows([line for line in lines if line.strip()], mark))


def _from_rows(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table's column of texts: the one with that name, else nothing."""
    names = [cell.strip().lower() for cell in rows[0]] if rows else []
    for name in _TEXT_FIELDS:
        if name in names:
            column = names.index(name)
            return [row[column].strip() for row in rows[1:] if len(row) > column]
    return []

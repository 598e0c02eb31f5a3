"""Sentences of words with tags: CoNLL-U, words in rows, JSON, and running text."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import near
from adapterhub_lite.tasks import annotating, fields
from adapterhub_lite.tasks.files import Line, blocks, fail, read_lines
from adapterhub_lite.tasks.formats import (
    FORMATS,
    WORD_NUMBER,
    Layout,
    check_format,
    words_layout,
)
from adapterhub_lite.tasks.rows import Rows
from adapterhub_lite.tasks.segments import split_words
from adapterhub_lite.tasks.separated import Separated
from adapterhub_lite.tasks.tables import Record, columns_of, json_records, missing

if TYPE_CHECKING:
    from adapterhub_lite.tasks.predicted import Predicted

log = logging.getLogger(__name__)

CONLLU_COLUMNS = (
    "id",
    "form",
    "lemma",
    "upos",
    "xpos",
    "feats",
    "head",
    "deprel",
    "deps",
    "misc",
)
_USUAL = {3: ("word", "pos", "chunk"), 4: ("word", "pos", "chunk", "ner")}
"""Names of columns by position, as in CoNLL-2000 and CoNLL-2003."""
_NO_TAG = "_"
_FIELDS = ("words", "tags", "language", "id", "text")
_KEY = re.compile(r"#\s*(?:sent_id|sentence_id|sent|id)\b\s*[:=]?\s*(\S+)")
_PREFIXED = re.compile(r"([a-z]{2,3}(?:[-_][a-z]+)*):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words, their tags (`None`: not tagged), the line of each; and where the sentence is from.

    `line` is the sentence's first line, `key` its id in the file.
    """

    words: tuple[str, ...]
    tags: tuple[str | None, ...]
    lines: tuple[int, ...] = ()
    language: str | None = None
    line: int | None = None
    key: str | None = None
    origin: str = ""


def read_sentences(
    path: Path, columns: Mapping[str, str], *, tagged: bool, format: str | None = None
) -> list[Sentence]:
    """Return the sentences of a file; with `tagged`, every word needs its tag column.

    Those without words stay in their place.

    Raises:
        DataError: see `files`; also wrong column counts.
        UsageError: a format that there is not.
    """
    check_format(format, FORMATS, "tagging")
    lines = read_lines(path)
    layout = words_layout(path, lines, format)
    sentences = list(_sentences(path, lines, layout, columns, tagged=tagged))
    if not any(sentence.words for sentence in sentences):
        fail(path, None, "no word in the file")
    return [replace(sentence, origin=sentence.origin or str(path)) for sentence in sentences]


def _sentences(
    path: Path, lines: list[Line], layout: Layout, columns: Mapping[str, str], *, tagged: bool
) -> Iterator[Sentence]:
    if layout.format == "conllu":
        yield from _conllu(path, lines, columns)
    elif layout.rows is not None:
        yield from _in_rows(path, lines, layout.rows, columns, tagged=tagged)
    elif layout.format in ("jsonl", "json"):
        records = json_records(path, lines, layout)
        yield from of_records(records, columns, tagged=tagged)
    elif layout.format == "csv" and layout.table is not None:
        yield from _in_table(path, layout.table, columns, tagged=tagged)
    elif layout.format == "tsv":
        first = next(line for line in lines if "\t" in line.text)
        start = " ".join(first.text.split()[:4])
        fail(
            path,
            first.number,
            f"expected a word a line, found texts of several words (`{start}` ...)",
            "a label a text is a task of the type `sequence-classification`",
        )
    elif tagged:
        fail(
            path,
            None,
            "expected words with tags, found a text a line",
            "if it is a word a line with blanks between the columns: `--format columns`",
        )
    else:
        yield from _texts(path, lines)


def tag_column(columns: Mapping[str, str], path: Path) -> int:
    """Return the position of the column of tags in CoNLL-U, as asked for, or `upos`."""
    column = columns.get("tags", "upos")
    if column.lower() in CONLLU_COLUMNS:
        return CONLLU_COLUMNS.index(column.lower())
    position = fields.number(column, len(CONLLU_COLUMNS))
    if position is None:
        fail(path, None, f"CoNLL-U has no column `{column}`", near(column, CONLLU_COLUMNS))
    return position


def _texts(path: Path, lines: Sequence[Line]) -> Iterator[Sentence]:
    """Yield a sentence a line; blank lines but the last ones are sentences without words."""
    written = [line for line in lines if line.text.strip()]
    if len(written) > 1 and all(len(line.text.split()) == 1 for line in written):
        hint = "if it is a word a line: `--format columns`"
        log.warning("%s: each line is read as a text of its own; %s", path, hint)
    for line in lines[: lines.index(written[-1]) + 1]:
        words = split_words(line.text)
        yield Sentence(words, (None,) * len(words), (line.number,) * len(words), line=line.number)


def _conllu(path: Path, lines: Sequence[Line], columns: Mapping[str, str]) -> Iterator[Sentence]:
    position = tag_column(columns, path)
    for block in blocks(lines):
        rows = [(line.number, _row(path, line)) for line in block if not line.text.startswith("#")]
        # 3-4: a multiword range, whose words follow by themselves; 3.1: an empty node, no word
        words = [(number, row) for number, row in rows if row[0].isdigit()]
        yield Sentence(
            tuple(row[1] for _, row in words),
            tuple(None if row[position] == _NO_TAG else row[position] for _, row in words),
            tuple(number for number, _ in words),
            line=block[0].number,
            key=_key(block),
        )


def _key(block: Sequence[Line]) -> str | None:
    matches = (_KEY.match(line.text) for line in block if line.text.startswith("#"))
    return next((match[1] for match in matches if match), None)


def _row(path: Path, line: Line) -> list[str]:
    row = line.text.split("\t")
    if len(row) != 10:
        fail(path, line.number, f"CoNLL-U has 10 columns, found {len(row)}")
    if not WORD_NUMBER.fullmatch(row[0]):
        fail(path, line.number, f"expected a word's number in column 1, found `{row[0]}`")
    if not row[1].strip():
        fail(path, line.number, "a word without a form")
    return row


def rows_columns(path: Path, rows: Rows, columns: Mapping[str, str]) -> tuple[int, int | None]:
    """Return the positions of words and of tags (`None`: there are none) in rows."""
    if rows.header is not None:
        header = rows.cells(rows.header)
        names = fields.resolve(path, header, ("words", "tags"), columns, line=rows.header.number)
        return header.index(names["words"]), header.index(names["tags"])
    first = int(rows.numbered)
    words = _position(path, "words", columns, rows) if "words" in columns else first
    if "tags" in columns:
        return words, _position(path, "tags", columns, rows)
    return words, rows.count - 1 if rows.count > first + 1 else None


def _position(path: Path, field: str, columns: Mapping[str, str], rows: Rows) -> int:
    column, usual = columns[field], _USUAL.get(rows.count, ())
    if column.lower() in usual:
        return usual.index(column.lower())
    position = fields.number(column, rows.count)
    if position is None:
        problem = f"no column `{column}` for `{field}`: the file has {rows.count}, without names"
        hint = f"give its number, from 1 to {rows.count}: `--column {field}=NUMBER`"
        fail(path, None, problem, hint)
    return position


def _in_rows(
    path: Path, lines: Sequence[Line], rows: Rows, columns: Mapping[str, str], *, tagged: bool
) -> Iterator[Sentence]:
    word, tag = rows_columns(path, rows, columns)
    _say_columns(path, rows, columns, word, tag)
    if tag is None and tagged:
        fail(path, None, "expected words with tags, found one column", "add a column with tags")
    sentences: list[tuple[list[Line], list[tuple[int, list[str]]]]] = []
    for block in blocks(lines):
        if any(line.text.startswith("#") or rows.is_word(line) for line in block):
            cut = [(n.number, _cells(path, rows, n)) for n in block if rows.is_word(n)]
            sentences.append((block, cut))
    prefix = _prefix([row[word] for _, cut in sentences for _, row in cut])
    for block, cut in sentences:
        for number, row in cut:
            if not row[word].strip() or (tag is not None and not row[tag].strip()):
                fail(path, number, "an empty word or tag")
        yield Sentence(
            tuple(row[word].removeprefix(prefix) for _, row in cut),
            tuple(None if tag is None or row[tag] == _NO_TAG else row[tag] for _, row in cut),
            tuple(number for number, _ in cut),
            line=cut[0][0] if cut else block[0].number,
            key=_key(block),
        )


def _cells(path: Path, rows: Rows, line: Line) -> list[str]:
    row = rows.cells(line)
    if len(row) != rows.count:
        mark = "blanks" if rows.separator is None else "tabs"
        fail(
            path,
            line.number,
            f"expected {rows.count} columns with {mark} between them, as most lines have, "
            f"found {len(row)}",
            "a word with blanks in it needs tabs between the columns"
            if rows.separator is None
            else "every word needs all columns; `_` stands for no tag",
        )
    return row


def _say_columns(
    path: Path, rows: Rows, columns: Mapping[str, str], word: int, tag: int | None
) -> None:
    if rows.doubt is not None:
        hint = "if its lines are texts: `--format text`"
        log.warning("%s: read as a word a line, since %s; %s", path, rows.doubt, hint)
    if tag is not None and rows.count > 2 + rows.numbered and "tags" not in columns:
        message = (
            "%s: %d columns; words from column %d, tags from column %d (`--column tags=NUMBER`)"
        )
        log.info(message, path, rows.count, word + 1, tag + 1)


def _prefix(words: Sequence[str]) -> str:
    """Return the language in front of every word (`en:`), as WikiANN has it, or nothing."""
    matches = [_PREFIXED.fullmatch(word) for word in words]
    prefixes = {match[1] for match in matches if match}
    return f"{prefixes.pop()}:" if len(prefixes) == 1 and len(words) > 1 and all(matches) else ""


def _in_table(
    path: Path, table: Separated, columns: Mapping[str, str], *, tagged: bool
) -> Iterator[Sentence]:
    """Yield the sentences of a table of words: by blank lines, or by a column that counts them."""
    header = list(table.header or [str(number) for number in range(1, table.count + 1)])
    if table.header is None:
        columns = {
            "words": "1",
            **({"tags": str(table.count)} if table.count > 1 else {}),
            **columns,
        }
    asked = ("words", "sentence", "tags") if tagged or "tags" in columns else ("words", "sentence")
    names = fields.resolve(path, header, asked, columns, line=table.header_line)
    if "words" not in names or (tagged and "tags" not in names):
        field = "words" if "words" not in names else "tags"
        there = ", ".join(f"`{name}`" for name in header)
        hint = f"name the column: `--column {field}=COLUMN`"
        fail(path, table.header_line, f"no column for `{field}`, found {there}", hint)
    at = {field: header.index(name) for field, name in names.items()}
    sentence: list[tuple[int, list[str]]] = []
    for number, row in table.rows:
        if len(row) != len(header):
            fail(path, number, f"expected {len(header)} columns, found {len(row)}")
        if sentence and _starts(sentence[-1], (number, row), at.get("sentence")):
            yield _of_table(path, sentence, at)
            sentence = []
        sentence.append((number, row))
    if sentence:
        yield _of_table(path, sentence, at)


def _starts(before: tuple[int, list[str]], now: tuple[int, list[str]], column: int | None) -> bool:
    """Whether a row starts a sentence.  A cell left empty goes on with the sentence above."""
    if column is None:
        return now[0] > before[0] + 1
    return bool(now[1][column]) and now[1][column] != before[1][column]


def _of_table(path: Path, rows: Sequence[tuple[int, list[str]]], at: Mapping[str, int]) -> Sentence:
    tags: list[str | None] = []
    for number, row in rows:
        tag = row[at["tags"]] if "tags" in at else _NO_TAG
        if not row[at["words"]] or not tag:
            fail(path, number, "an empty word or tag")
        tags.append(None if tag == _NO_TAG else tag)
    return Sentence(
        tuple(row[at["words"]] for _, row in rows),
        tuple(tags),
        tuple(number for number, _ in rows),
        line=rows[0][0],
        key=rows[0][1][at["sentence"]] if "sentence" in at else None,
    )


def of_records(
    records: Sequence[Record], columns: Mapping[str, str], *, tagged: bool
) -> Iterator[Sentence]:
    """Yield a sentence a record: its list of words with that of tags, or (untagged) its text."""
    skipped = () if tagged or "tags" in columns else ("tags",)
    names = columns_of(records, [f for f in _FIELDS if f not in skipped], columns)
    for record in records:
        words: Any = _list(record.fields.get(names.get("words", "words")))
        tags: Any = _list(record.fields.get(names["tags"])) if "tags" in names else None
        text = record.fields.get(names["text"]) if "text" in names else None
        if words is None and not tagged and isinstance(text, str):
            words = list(split_words(text))
        if not _strings(words):
            problem = f"`{names.get('words', 'words')}` must be a list of words"
            fail(record.origin, record.line, problem)
        if tags is None and not tagged:
            tags = [None] * len(words)
        if not _strings(tags, empty=True) or len(tags) != len(words):
            problem = (
                f"`{names.get('tags', 'tags')}` must be a list of {len(words)} tags, one a word"
            )
            fail(record.origin, record.line, problem, "tags are texts: names, not numbers")
        language, key = (record.fields.get(names.get(f, "")) for f in ("language", "id"))
        yield Sentence(
            tuple(words),
            tuple(None if tag == _NO_TAG else tag for tag in tags),
            () if record.line is None else (record.line,) * len(words),
            None if missing(language) else str(language),
            record.line,
            None if missing(key) else str(key),
            record.origin,
        )


def _list(value: Any) -> Any:
    """Return a list for what pandas and NumPy have as arrays."""
    return value.tolist() if hasattr(value, "tolist") else value


def _strings(value: Any, *, empty: bool = False) -> bool:
    return isinstance(value, list | tuple) and all(
        (isinstance(item, str) and bool(item.strip())) or (empty and item is None) for item in value
    )


def annotated(
    path: Path, predictions: Sequence[Predicted], columns: Mapping[str, str], format: str | None
) -> bytes:
    """Return a file with predicted tags, everything else in it as it was."""
    lines = read_lines(path)
    layout = words_layout(path, lines, format)
    if layout.format == "conllu":
        position = tag_column(columns, path)
        return annotating.words_in_lines(path, predictions, position, None)
    if layout.rows is not None:
        _, tags = rows_columns(path, layout.rows, columns)
        return annotating.words_in_lines(path, predictions, tags, layout.rows)
    if layout.format in ("jsonl", "json"):
        records = json_records(path, lines, layout)
        asked = ("tags",) if "tags" in columns else ()
        name = columns_of(records, asked, columns).get("tags", "tags")
        return annotating.objects(path, predictions, layout, {name: lambda p: list(p.labels)})
    if layout.table is not None:
        table = layout.table
        names = fields.resolve(path, table.header or (), ("tags",), columns)
        column = (table.header or ()).index(names["tags"]) if "tags" in names else None
        if table.header is None and table.count > 1:
            column = fields.number(columns.get("tags", "-1"), table.count)
        labels = {
            number: label
            for item in predictions
            for number, label in zip(item.lines, item.labels, strict=True)
        }
        return annotating.table_rows(path, table, labels, column, "tags")
    return annotating.table(predictions).encode()

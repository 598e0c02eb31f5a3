"""Sentences of words with tags: CoNLL-U, two columns, and JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.tasks.files import Line, blocks, detect, fail, read_lines
from adapterhub_lite.tasks.tables import json_objects

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
_NO_TAG = "_"


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words, their tags (`None`: not tagged) and the line of each."""

    words: tuple[str, ...]
    tags: tuple[str | None, ...]
    lines: tuple[int, ...]
    language: str | None = None


def read_sentences(path: Path, columns: dict[str, str], *, tagged: bool) -> list[Sentence]:
    """Return the sentences of a file; with `tagged`, every word needs its tag column.

    Raises:
        DataError: see `files`; also wrong column counts.
    """
    lines = read_lines(path)
    kind = detect(path, lines)
    if kind == "conllu":
        found = list(_conllu(path, lines, columns.get("tags", "upos")))
    elif kind == "jsonl":
        found = list(_jsonl(path, lines, columns, tagged=tagged))
    elif kind == "text" and not tagged:
        found = [_untagged(line) for line in lines if line.text.strip()]
    elif kind in ("tsv", "text"):
        found = list(_two_columns(path, lines, tagged=tagged))
    else:
        fail(
            path,
            None,
            f"cannot read tagged words from {kind}",
            "use CoNLL-U, two columns or JSON lines",
        )
    if not found:
        fail(path, None, "no sentence in the file")
    return found


def _untagged(line: Line) -> Sentence:
    from adapterhub_lite.tasks.words import split_words

    words = split_words(line.text)
    return Sentence(words, (None,) * len(words), (line.number,) * len(words))


def _conllu(path: Path, lines: list[Line], column: str) -> Iterator[Sentence]:
    if column not in CONLLU_COLUMNS:
        fail(path, None, f"CoNLL-U has no column `{column}`", ", ".join(CONLLU_COLUMNS))
    at = CONLLU_COLUMNS.index(column)
    for block in blocks(lines):
        rows = [(line.number, _row(path, line)) for line in block if not line.text.startswith("#")]
        # 3-4: a multiword range, whose words follow by themselves; 3.1: an empty node, no word
        words = [(n, row) for n, row in rows if row[0].isdigit()]
        if words:
            yield Sentence(
                tuple(row[1] for _, row in words),
                tuple(None if row[at] == _NO_TAG else row[at] for _, row in words),
                tuple(n for n, _ in words),
            )


def _row(path: Path, line: Line) -> list[str]:
    row = line.text.split("\t")
    if len(row) != 10:
        fail(path, line.number, f"CoNLL-U has 10 columns, found {len(row)}")
    if not row[0].replace("-", "").replace(".", "").isdigit():
        fail(path, line.number, f"expected a word's number in column 1, found `{row[0]}`")
    if not row[1].strip():
        fail(path, line.number, "a word without a form")
    return row


def _two_columns(path: Path, lines: list[Line], *, tagged: bool) -> Iterator[Sentence]:
    for block in blocks(lines):
        rows = [(line.number, line.text.split("\t")) for line in block]
        for number, row in rows:
            if len(row) != 2 and (tagged or len(row) != 1):
                fail(path, number, f"expected word TAB tag, found {len(row)} columns")
            if not row[0].strip() or (len(row) == 2 and not row[1].strip()):
                fail(path, number, "an empty word or tag")
        yield Sentence(
            tuple(row[0].strip() for _, row in rows),
            tuple(
                None if len(row) == 1 or row[1].strip() == _NO_TAG else row[1].strip()
                for _, row in rows
            ),
            tuple(number for number, _ in rows),
        )


def _jsonl(
    path: Path, lines: list[Line], columns: dict[str, str], *, tagged: bool
) -> Iterator[Sentence]:
    words_key, tags_key = columns.get("words", "words"), columns.get("tags", "tags")
    for number, item in json_objects(path, lines):
        words: Any = item.get(words_key)
        tags: Any = item.get(tags_key)
        if words is None and not tagged and isinstance(item.get("text"), str):
            words = list(_untagged(Line(number, item["text"])).words)
        if not _texts(words):
            fail(path, number, f"`{words_key}` must be a list of words")
        if tags is None and not tagged:
            tags = [_NO_TAG] * len(words)
        if not _texts(tags) or len(tags) != len(words):
            fail(path, number, f"`{tags_key}` must be a list of {len(words)} tags, one a word")
        yield Sentence(
            tuple(words),
            tuple(None if tag == _NO_TAG else tag for tag in tags),
            (number,) * len(words),
            item.get(columns.get("language", "language")),
        )


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)

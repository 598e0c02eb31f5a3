"""The format of a file of labelled data, told from all of its content.

There is one answer for a file, whatever is done with it: `train`, `evaluate` and `predict` ask
here, and whether labels are needed plays no part.  The file's name counts only where the content
leaves two formats open.  `--format` overrules all of it.

`conllu`
    ten columns, numbered words, blank lines between sentences.
`columns`
    a word a line with one column or more beside it, by tabs or blanks, as CoNLL-2003, MasakhaNER
    and WikiANN come; blank lines between sentences; or just a word a line.
`tsv`, `csv`
    a record a line, by tabs, or by one of `; | ,`.
`jsonl`, `json`
    an object a line; one JSON document: a list of objects, or SQuAD's.
`text`
    a text a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapterhub_lite.errors import DataError, UsageError, near
from adapterhub_lite.foreign.reading import DATA, Reader
from adapterhub_lite.tasks import fields
from adapterhub_lite.tasks.files import Line
from adapterhub_lite.tasks.rows import Rows, described, has_tags, holds_texts, rows_of
from adapterhub_lite.tasks.separated import Separated, separated

FORMATS = ("conllu", "columns", "tsv", "csv", "jsonl", "json", "text")
WORD_NUMBER = re.compile(r"\d+(?:[-.]\d+)?")
"""The first column of CoNLL-U: a word, a range of words (`1-2`) or an empty node (`1.1`)."""
_JSON = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Layout:
    """A file's format, with how its columns are cut where it has any."""

    format: str
    rows: Rows | None = None
    table: Separated | None = None


def detect(path: Path, lines: Sequence[Line]) -> str:
    """Return the format of a file, whatever it is for."""
    layout = words_layout(path, lines)
    return layout.format if layout.format != "text" else table_layout(path, lines).format


def check_format(name: str | None, formats: Sequence[str], task_type: str) -> None:
    """Raise `UsageError` for a format that there is not, or that a task type does not read."""
    if name is None or name in formats:
        return
    if name not in FORMATS:
        raise UsageError(f"no format `{name}`", hint=near(name, FORMATS))
    usable = ", ".join(f"`{usable}`" for usable in formats)
    raise UsageError(f"{task_type} does not read `{name}`", hint=f"it reads {usable}")


def words_layout(path: Path, lines: Sequence[Line], forced: str | None = None) -> Layout:
    """Return how a file holds words: any format but `csv` and `tsv`, unless texts are beside tags.

    `forced` is the format that the user named.
    """
    written = [line for line in lines if line.text.strip()]
    name = forced or _json(path, written) or _conllu(path, written)
    if name == "csv":
        return Layout(name, table=separated(path, lines, forced="csv"))
    if name in ("columns", "tsv"):
        tabs = name == "tsv" or sum("\t" in line.text for line in written) > len(written) / 2
        return Layout("columns", described(lines, "\t" if tabs else None))
    if name is not None:
        return Layout(name)
    table = separated(path, lines, known=("words", "tags"))
    if table is not None and table.format == "csv" and _holds_words(table):
        return Layout("csv", table=table)
    rows = rows_of(lines)
    if rows is not None:
        return Layout("columns", rows)
    tabbed = described(lines, "\t")
    if tabbed.count > 1 and holds_texts(lines, tabbed):
        return Layout("tsv", table=separated(path, lines, forced="tsv"))
    return Layout("text")


def table_layout(
    path: Path,
    lines: Sequence[Line],
    names: Sequence[str] = (),
    *,
    label: str | None = None,
    forced: str | None = None,
) -> Layout:
    """Return how a file holds records: any format but `columns`.

    `names` are the columns that the user named, `label` that of the labels, `forced` is the format
    that they named.
    """
    written = [line for line in lines if line.text.strip()]
    name = forced or _json(path, written) or _conllu(path, written)
    if name is not None and name not in ("tsv", "csv"):
        return Layout(name)
    table = separated(path, lines, names, label=label, forced=name)
    return Layout("text") if table is None else Layout(table.format, table=table)


def _holds_words(table: Separated) -> bool:
    """Whether a table has a word and a tag in a row."""
    if table.header is not None:
        return all(
            any(fields.is_named(name, (field,)) for name in table.header)
            for field in ("words", "tags")
        )
    rows = [row for _, row in table.rows]
    whole = len({len(row) for row in rows}) == 1
    return whole and has_tags(rows) and not any(" " in row[0] for row in rows)


def is_document(value: object) -> bool:
    """Whether a JSON value is a whole data set, as SQuAD's, rather than one record of it."""
    return isinstance(value, dict) and isinstance(value.get("data"), list)


def _json(path: Path, written: Sequence[Line]) -> str | None:
    first = written[0].text.strip()
    suffix = next((s for s in reversed(path.suffixes) if s != ".gz"), "").lower()
    if not first.startswith(("{", "[")) and suffix not in _JSON:
        return None
    record = _parsed(first)
    if isinstance(record, dict) and not is_document(record):
        return "jsonl"
    if isinstance(_parsed("\n".join(line.text for line in written)), dict | list):
        return "json"
    if suffix in _JSON:
        return "json" if suffix == ".json" else "jsonl"
    return "jsonl" if first.startswith('{"') else None


def _parsed(text: str) -> object:
    try:
        value: object = Reader(DataError, bounds=DATA).json(text, "")
    except DataError:
        return None
    return value


def _conllu(path: Path, written: Sequence[Line]) -> str | None:
    words = [line.text for line in written if not line.text.startswith("#")]
    called = ".conllu" in path.suffixes
    if not words:
        return "conllu" if called or any("=" in line.text for line in written) else None
    cut = [text.split("\t") for text in words]
    numbered = sum(bool(WORD_NUMBER.fullmatch(row[0])) for row in cut)
    ten = sum(len(row) == 10 for row in cut)
    if numbered > len(words) / 2 and (ten > len(words) / 2 or (called and len(cut[0]) > 2)):
        return "conllu"
    return "conllu" if called and ten else None

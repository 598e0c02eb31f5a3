"""Which column of a user's data is which field, by the many names that columns go by.

A field is what a task type looks for (`text`, `label`, `words`, ...).  A column is named by the
user (`--column label=Bewertung`, `--column tags=4`), or goes by the field's own name or one of the
names below, in any case and with or without blanks, hyphens and underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from adapterhub_lite.errors import near
from adapterhub_lite.tasks.files import fail

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "text": (
        *("sentence", "sentence1", "text1", "texta", "premise", "review", "reviewtext", "content"),
        *("document", "utterance", "tweet", "comment", "message", "body", "input", "headline"),
        *("description", "sentencetext", "question", "query", "post", "title"),
    ),
    "label": (
        *("gold", "goldlabel", "tag", "class", "category", "target", "sentiment", "intent"),
        *("topic", "labeltext", "labelname", "stance", "emotion", "annotation", "labels"),
        *("classname", "classlabel", "classindex", "domain"),
    ),
    "second": ("sentence2", "text2", "textb", "hypothesis", "textpair"),
    "language": ("lang", "locale", "languagecode", "langcode"),
    "id": ("sentid", "sentenceid", "guid", "idx", "index", "uid", "key"),
    "words": ("word", "token", "tokens", "form", "forms"),
    "tags": (
        *("tag", "label", "labels", "gold", "upos", "upostag", "upostags", "pos", "postag"),
        *("postags", "ner", "nertag", "nertags", "netag", "entity", "chunktags", "chunk"),
    ),
    "sentence": ("sentence#", "sentid", "sentenceid"),
    "question": ("query",),
    "context": ("passage", "paragraph"),
    "answers": ("answer",),
}
"""Other names of a field, folded, the likelier first."""


def folded(name: str) -> str:
    """Return a column's name as it is compared: lower case, no blanks, hyphens or underscores."""
    return re.sub(r"[\s_\-]+", "", name.casefold())


def is_named(name: str, fields: Iterable[str]) -> bool:
    """Whether a text is a usual name of one of some fields."""
    return any(folded(name) in (folded(f), *SYNONYMS.get(f, ())) for f in fields)


def resolve(
    path: Path | str,
    header: Sequence[str],
    fields: Iterable[str],
    columns: Mapping[str, str],
    *,
    line: int | None = None,
) -> dict[str, str]:
    """Return the header's name of every field that it has.

    Args:
        header: the names of the columns, in their order.
        fields: what to look for.
        columns: the user's names or numbers (from 1 on) of fields.
        line: line of the header, for messages.

    Raises:
        DataError: a column that there is not, or several that could be meant.
    """
    names = {}
    for field in fields:
        if field in columns:
            names[field] = _asked(path, header, field, columns[field], line)
            continue
        name = _usual(path, header, field, set(columns.values()), line)
        if name is not None:
            names[field] = name
    return names


def number(text: str, count: int) -> int | None:
    """Return the position (from 0 on) that a number from 1 on, or a negative one, stands for."""
    if not re.fullmatch(r"-?\d+", text):
        return None
    value = int(text)
    position = value - 1 if value > 0 else count + value
    return position if 0 <= position < count and value else None


def _asked(
    path: Path | str, header: Sequence[str], field: str, column: str, line: int | None
) -> str:
    if column in header:
        return column
    alike = [name for name in header if folded(name) == folded(column)]
    if len(alike) == 1:
        return alike[0]
    position = number(column, len(header))
    if position is None:
        fail(path, line, f"no column `{column}` for `{field}`", near(column, header))
    return header[position]


def _usual(
    path: Path | str, header: Sequence[str], field: str, taken: set[str], line: int | None
) -> str | None:
    free = [name for name in header if name not in taken]
    for exact in (lambda name: name == field, lambda name: folded(name) == folded(field)):
        for name in free:
            if exact(name):
                return name
    usual = [name for name in free if folded(name) in SYNONYMS.get(field, ())]
    if len(usual) > 1:
        fail(
            path,
            line,
            f"several columns could be `{field}`: " + ", ".join(f"`{name}`" for name in usual),
            f"choose one: `--column {field}={usual[0]}`",
        )
    return usual[0] if usual else None

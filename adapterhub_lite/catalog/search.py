"""Search adapters, local and remote, by what people call things.

A word of the text is looked for in every field of an adapter: name, Hub id, language (tag or
English name), task, dataset, base model, method, author.  How exactly, and in which field, gives
the rank.  What has every word is found; where nothing has, what has the most of them, and that is
said.  Filters narrow in the database; the words are matched here, over what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import base_names, languages
from adapterhub_lite.adapter import Adapter
from adapterhub_lite.errors import LanguageTagError, UsageError

if TYPE_CHECKING:
    from adapterhub_lite.registry import Registry

NAMES = Path(__file__).with_name("languages.tsv")
"""Tag and English names of the catalogue's languages, after CLDR and ISO 639-3."""

WEIGHTS = {
    "language": 8,
    "task": 6,
    "name": 5,
    "dataset": 4,
    "method": 3,
    "base": 3,
    "kind": 2,
    "author": 2,
}
"""What a word found in a field is worth, where it is the field's whole value."""

_WORD = re.compile(r"[^\W_]+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Hit:
    """An adapter that was found, its rank's value, in which fields, and the words it lacks."""

    adapter: Adapter
    score: float
    fields: tuple[str, ...]
    lacks: tuple[str, ...] = ()


def search(
    registry: Registry,
    text: str = "",
    *,
    language: str | None = None,
    limit: int | None = None,
    **filters: Any,
) -> list[Hit]:
    """Return the adapters that have every word of `text`, best first; else the most words.

    Args:
        registry: where to look.
        text: words in any order; none finds all that the filters leave.
        language: tag, or English name of a language.
        limit: only the best so many.
        filters: as `Registry.find` takes them: `kind`, `task`, `base_name`, `method`, `remote`.

    Raises:
        UsageError: a language that no table knows.
    """
    tags = language_tags(language) if language else None
    found = registry.find(language=tags, **filters)
    words = [word.casefold() for word in text.split()]
    hits = [_hit(adapter, words) for adapter in found]
    fewest = min((len(hit.lacks) for hit in hits), default=0)
    best = [hit for hit in hits if len(hit.lacks) == fewest and not (words and not hit.fields)]
    best.sort(key=lambda h: (-h.score, h.adapter.remote, h.adapter.name, h.adapter.digest))
    return best[:limit] if limit else best


def language_tags(language: str) -> list[str]:
    """Return the tags that a tag, or the English name of a language, means.

    Raises:
        UsageError: neither.
    """
    named = [tag for tag, names in language_names().items() if _is_named(language, names)]
    if named:
        return named
    try:
        return [languages.normalise(language)]
    except LanguageTagError as error:
        raise UsageError(
            f"`{language}` is no language tag, and no language is called so",
            hint=error.hint,
        ) from None


@lru_cache(maxsize=1)
def language_names() -> Mapping[str, tuple[str, ...]]:
    """Return the English names by tag, as far as the table goes."""
    lines = NAMES.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return {tag: tuple(names) for tag, *names in rows}


def _is_named(language: str, names: tuple[str, ...]) -> bool:
    return language.casefold() in (name.casefold() for name in names)


def _hit(adapter: Adapter, words: list[str]) -> Hit:
    fields = list(_fields(adapter))
    best = {word: max((_worth(word, v) * WEIGHTS[f], f) for f, v in fields) for word in words}
    found = [(worth, field) for worth, field in best.values() if worth]
    return Hit(
        adapter,
        round(sum(worth for worth, _ in found), 3),
        tuple(dict.fromkeys(field for _, field in found)),
        tuple(word for word, (worth, _) in best.items() if not worth),
    )


def _fields(adapter: Adapter) -> Iterator[tuple[str, str]]:
    manifest = adapter.manifest
    yield from (("name", name) for name in (adapter.name, *adapter.aliases))
    if manifest.source is not None:
        yield "name", manifest.source.hub_id
    for tag in manifest.tags():
        yield "language", tag
        yield from (("language", name) for name in language_names().get(tag, ()))
    yield "task", manifest.task or ""
    yield "dataset", manifest.dataset or ""
    yield "method", manifest.method
    yield "base", manifest.base.name
    yield "base", base_names.other(manifest.base.name)
    yield "kind", str(manifest.kind)
    yield from (("author", author) for author in manifest.authors)


def _worth(word: str, value: str) -> float:
    """Return how well a word fits a value: whole 1, a word of it 0.6, a word's start 0.3, else 0.

    Words are found anywhere in longer values only if they have three letters: `sw` is no part of
    `answers`.
    """
    whole = value.casefold()
    if word == whole:
        return 1.0
    parts = _WORD.findall(whole)
    if not whole or word in parts:
        return 0.6 if whole else 0.0
    if any(part.startswith(word) for part in parts) and len(word) > 2:
        return 0.3
    return 0.1 if word in whole and len(word) > 2 else 0.0

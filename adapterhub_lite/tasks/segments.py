"""Running text to words: by Unicode's classes of characters, and by ICU where no blanks are.

Chinese, Japanese, Thai, Lao, Khmer and Burmese put no blanks between words.  Their words come from
ICU's dictionaries (the extra `words`, decisions/0027); without it such text is refused, since a
whole clause as one word would get one label.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import UsageError

if TYPE_CHECKING:
    from regex import Pattern

EXTRA = 'pip install "adapterhub_lite[words]"'

_UNSPACED = (
    r"[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Bopomofo}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}"
    r"\p{sc=Myanmar}\u30fc\uff70]"
)
_PATTERN = rf"""
    (?P<address> (?:[a-z][a-z0-9+.-]*://|www\.)\S+ | [\w.+-]+@[\w-]+(?:\.[\w-]+)+ )
  | (?P<number> (?>[+\-−]?\d[\d\p{{M}}]*(?:[.,:/'’٫٬–-]\d+)*)(?![\p{{L}}\d_]|[-'’·.]\p{{L}}) )
  | (?P<unspaced> {_UNSPACED}(?:{_UNSPACED}|[\p{{M}}\p{{Nd}}\u200c\u200d])* )
  | (?P<word> (?:(?!{_UNSPACED})[\p{{L}}\p{{N}}\p{{M}}_])
      (?: (?!{_UNSPACED})[\p{{L}}\p{{N}}\p{{M}}_]
        | [\p{{Cf}}'’.·-](?=(?!{_UNSPACED})[\p{{L}}\p{{N}}\p{{M}}_])
        | [\u200c\u200d\u00ad]
      )* )
  | (?P<again> (?P<mark>[.!?*=~-])(?P=mark)+ )
  | (?P<other> \X )
"""
_SPACES = r"[\s\u200b\u2060\ufeff]+"
"""What is between words: blanks, and the zero-width space of Khmer, Lao and Thai."""


def split_words(text: str) -> tuple[str, ...]:
    """Return the words and punctuation marks of running text.

    Apostrophes, hyphens and full stops inside a word stay in it.  A number, an address of the
    web or of mail, an emoji of several characters and three dots are one unit each.  Characters
    without a shape of their own (joiners, variation selectors, direction marks) are never one.

    Raises:
        UsageError: text in a script without blanks between words, and ICU is not installed.
    """
    return tuple(unit for run in _spaces().split(text) if run for unit in _units(run))


def _units(run: str) -> Iterator[str]:
    position = 0
    while position < len(run):
        match = _pattern().match(run, position)
        assert match is not None
        text = _address(match[0]) if match["address"] else match[0]
        position += len(text)
        if match["unspaced"]:
            yield from _by_dictionary(text)
        elif not _shapeless(text):
            yield text


def _address(text: str) -> str:
    """Return an address without the marks that end a sentence or close a bracket around it."""
    stripped = text.rstrip(".,;:!?…\"'’”»)]}>。、，")
    closing = text[len(stripped) :]
    return stripped + ")" if closing.startswith(")") and "(" in stripped else stripped


def _shapeless(text: str) -> bool:
    return all(
        unicodedata.category(letter) in ("Cf", "Cc") or "\ufe00" <= letter <= "\ufe0f"
        for letter in text
    )


def _by_dictionary(text: str) -> list[str]:
    if len(text) == 1:
        return [text]
    breaker = _breaker()
    return [unit for unit in breaker(text, "en") if not _shapeless(unit)]


@functools.cache
def _breaker() -> Any:
    try:
        from icu4py.breakers import WordBreaker
    except ImportError:
        raise UsageError(
            "this text is in a script that puts no blanks between words, "
            "and ICU, which knows them, is not installed",
            hint=f"`{EXTRA}`, or give words instead of text (one a line, or lists)",
        ) from None
    return WordBreaker


@functools.cache
def _pattern() -> Pattern[str]:
    import regex

    return regex.compile(_PATTERN, regex.VERBOSE | regex.IGNORECASE)


@functools.cache
def _spaces() -> Pattern[str]:
    import regex

    return regex.compile(_SPACES)

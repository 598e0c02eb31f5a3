"""How much of a text a vocabulary can read.

A vocabulary lacks a script in one of two ways.  Its pieces become the unknown token, and the text
is lost; or, with byte fallback and byte-level BPE, every byte becomes a piece of its own, and
nothing that the base model learned is about these pieces.  Both are counted in words, since a share
of pieces says nothing to people.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from adapterhub_lite.tasks.sample import sample

_MOST_TEXTS = 2_000
_MOST_WORDS = 20_000
"""Texts and words that are looked at, at most."""
_EXAMPLES = 5
_PLAIN = "mother father water house"
"""Words that a vocabulary spells byte by byte only if bytes are all that it has (ByT5)."""
_MARKS = frozenset("▁Ġ ")
"""What stands for the blank before a word; alone, it says nothing of the word."""


@dataclass(frozen=True, slots=True)
class Readability:
    """Words that were looked at, how many of them a vocabulary cannot read, and some of these."""

    words: int
    unreadable: int
    examples: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The share of the words that cannot be read; 0 where there are no words."""
        return self.unreadable / self.words if self.words else 0.0


def readability(tokenizer: Any, texts: Sequence[str]) -> Readability:
    """Return how many of the words of texts a tokenizer's vocabulary cannot read.

    Words are what blanks separate and what has a letter in it; numbers, punctuation and emoji say
    nothing of a script.
    """
    counts = Counter(_words(texts))
    distinct = list(counts)
    if not distinct:
        return Readability(0, 0)
    encoded = tokenizer(distinct, add_special_tokens=False, verbose=False)["input_ids"]
    by_bytes = not _spelled(_PLAIN, tokenizer(_PLAIN, add_special_tokens=False)["input_ids"])
    lost = [
        word
        for word, ids in zip(distinct, encoded, strict=True)
        if _unknown(tokenizer, ids) or (by_bytes and _in_bytes(word, ids))
    ]
    lost.sort(key=lambda word: -counts[word])
    return Readability(counts.total(), sum(counts[word] for word in lost), tuple(lost[:_EXAMPLES]))


def _words(texts: Sequence[str]) -> Iterable[str]:
    left = _MOST_WORDS
    for text in sample(texts, _MOST_TEXTS):
        words = [word for word in text.split() if any(map(_is_letter, word))][:left]
        yield from words
        left -= len(words)
        if not left:
            return


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L"


def _unknown(tokenizer: Any, ids: Sequence[int]) -> bool:
    """Whether half of a word's pieces or more are the unknown token, or nothing is left of it."""
    pieces = [
        token
        for token in ids
        if token == tokenizer.unk_token_id or not _is_mark(tokenizer.convert_ids_to_tokens(token))
    ]
    return 2 * pieces.count(tokenizer.unk_token_id) >= len(pieces)


def _is_mark(piece: str) -> bool:
    return _MARKS.issuperset(piece)


def _in_bytes(word: str, ids: Sequence[int]) -> bool:
    """Whether a word whose letters are mostly not ASCII is spelled byte by byte."""
    letters = [character for character in word if _is_letter(character)]
    foreign = [character for character in letters if not character.isascii()]
    return 2 * len(foreign) >= len(letters) and _spelled(word, ids)


def _spelled(text: str, ids: Sequence[int]) -> bool:
    """Whether there are about as many pieces as bytes."""
    return len(ids) >= 0.9 * len(text.encode())

"""Tokenisation of words and texts into ids, the same for every tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_WORD_MARK = "▁"
"""What SentencePiece puts at the start of a word; alone, before a mark of punctuation, it says
nothing, and the mean over a word's pieces is better without it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens that a tokenizer puts around one text."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def length(self) -> int:
        """How many tokens of a window the frame takes."""
        return len(self.before) + len(self.after)

    def around(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the ids with the special tokens around them."""
        return (*self.before, *ids, *self.after)


def frame(tokenizer: Any) -> Frame:
    """Return the tokenizer's frame, found by encoding one letter with and without it."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    for at in range(len(full) - len(bare) + 1):
        if full[at : at + len(bare)] == bare:
            return Frame(tuple(full[:at]), tuple(full[at + len(bare) :]))
    return Frame((), ())


def word_pieces(tokenizer: Any, words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the ids of each distinct word, as it stands after a space."""
    distinct = list(dict.fromkeys(words))
    if not distinct:
        return {}
    # Byte-level BPE marks the space itself; SentencePiece and WordPiece mark the word's start.
    spaced = tokenizer.tokenize(" a")[:1] != tokenizer.tokenize("a")[:1]
    texts = [f" {word}" for word in distinct] if spaced else distinct
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    mark = tokenizer.convert_tokens_to_ids(_WORD_MARK)
    unknown = tokenizer.unk_token_id
    if unknown is None:
        unknown = tokenizer.eos_token_id
    return {
        word: _without_mark(ids, mark) or (unknown,)
        for word, ids in zip(distinct, encoded, strict=True)
    }


def _without_mark(ids: list[int], mark: int | None) -> tuple[int, ...]:
    return tuple(ids[1:] if len(ids) > 1 and ids[0] == mark else ids)


def max_length(tokenizer: Any, config: Any) -> int:
    """Return how many tokens the base model reads at once, at most 512.

    Position tables of the RoBERTa family start after the padding id, so two of their entries are
    no positions; the tokenizer's own limit, where it states one, knows that.
    """
    stated = tokenizer.model_max_length
    table = getattr(config, "max_position_embeddings", None) or 512
    if stated is not None and stated < 100_000:
        return int(min(stated, table, 512))
    reserved = 2 if "roberta" in config.model_type else 0
    return int(min(table - reserved, 512))


def pad_id(tokenizer: Any) -> int:
    """Return the id to pad with; it is masked, so any will do where the tokenizer has none."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

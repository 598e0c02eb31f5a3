"""What a vocabulary cannot read is counted in words, whatever the vocabulary does with it."""

from __future__ import annotations

from typing import Any

import pytest

from adapterhub_lite.tasks.readable import readability
from adapterhub_lite.testing.models import tiny_tokenizer
from tests.tasks.conftest import TEXT

TIFINAGH = ["ⵌⴸⵗⵏ ⴽⴷⵋⵖ ⵒⵊⴷⵚ", "ⵂⵁⴿⵈ ⵟⵓⴰⴼ"]
OSAGE = ["𐓏𐓘𐓻𐓘𐓻𐓟 𐓣𐓟 𐓷𐓘𐓻𐓘𐓻𐓟"]


def byte_level() -> Any:
    """Byte-level BPE as GPT-2 has it, trained on a few English sentences."""
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    raw = ByteLevelBPETokenizer()
    raw.train_from_iterator(TEXT * 3, vocab_size=400, show_progress=False)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw._tokenizer, eos_token="<|endoftext|>", unk_token="<|endoftext|>"
    )


def byte_fallback() -> Any:
    """BPE with the pieces `<0x00>` to `<0xFF>` for what it does not know, as Llama 2 has it."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.ByteFallback()
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", *bytes_], show_progress=False
    )
    raw.train_from_iterator(TEXT * 3, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


def word_piece() -> Any:
    import transformers
    from tokenizers import BertWordPieceTokenizer

    raw = BertWordPieceTokenizer()
    raw.train_from_iterator(TEXT * 3, vocab_size=200, show_progress=False)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw._tokenizer, unk_token="[UNK]")


def only_bytes() -> Any:
    """A vocabulary of bytes and nothing else, as ByT5 has it."""
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    raw = ByteLevelBPETokenizer()
    raw.train_from_iterator(TEXT, vocab_size=256, show_progress=False)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw._tokenizer, eos_token="<e>")


@pytest.mark.parametrize("made", [byte_level, byte_fallback, word_piece])
@pytest.mark.parametrize(("texts", "words"), [(TIFINAGH, 5), (OSAGE, 3)])
def test_no_word_of_a_script_that_the_vocabulary_lacks(
    made: Any, texts: list[str], words: int
) -> None:
    tokenizer = made()
    read = readability(tokenizer, texts)
    assert (read.words, read.unreadable, read.share) == (words, words, 1.0)
    assert set(read.examples) <= set(" ".join(texts).split())
    assert readability(tokenizer, TEXT).unreadable == 0
    half = readability(tokenizer, ["mill children river boats cat", *TIFINAGH])
    assert (half.words, half.unreadable) == (10, 5)


def test_unknown_pieces_of_sentencepiece_and_of_words(tokenizer: Any) -> None:
    assert readability(tokenizer, TIFINAGH).share == 1
    assert readability(tokenizer, TEXT).share == 0
    assert readability(tiny_tokenizer(), ["w5 w6 house"]).examples == ("house",)


def test_bytes_are_read_where_bytes_are_all_there_is() -> None:
    assert readability(only_bytes(), TIFINAGH).unreadable == 0


def test_numbers_punctuation_and_emoji_say_nothing_of_a_script(tokenizer: Any) -> None:
    assert readability(tokenizer, ["1999 – 2001", "👍👍 !!!", "..."]).words == 0


def test_of_much_text_some_is_looked_at() -> None:
    texts = ["w5 w6 w7", "ⵌⴸⵗⵏ w5 w6"] * 50_000
    read = readability(tiny_tokenizer(), texts)
    assert 1_000 < read.words <= 20_000

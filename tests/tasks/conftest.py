"""A small SentencePiece-like tokenizer, made from a few sentences of our own."""

from __future__ import annotations

from typing import Any

import pytest

TEXT = [
    "The river runs past the old mill, and the children fish there.",
    "She walked along the river until the mill came into view.",
    "Old boats, new boats: the children counted all of them!",
    "In the garden the cat watched the birds; the birds watched the cat.",
    "Running water, falling leaves, watching children.",
]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    raw = Tokenizer(models.Unigram())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=70, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    raw.train_from_iterator(TEXT, trainer)
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        sep_token="</s>",
        model_max_length=24,
    )

"""Base models that the catalogue's adapters are for, by the figures in their public configs.

Adapters say only the name of their base; its shape is needed to show it and, after a pull, to see
at once that another model is meant.
"""

from __future__ import annotations

from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.errors import DataError, near

BASES = {
    base.name: base
    for base in (
        BaseIdentity("AdapterHub/xmod-base", "xmod", 768, 12, 250002),
        BaseIdentity("FacebookAI/roberta-base", "roberta", 768, 12, 50265),
        BaseIdentity("FacebookAI/roberta-large", "roberta", 1024, 24, 50265),
        BaseIdentity("FacebookAI/xlm-roberta-base", "xlm-roberta", 768, 12, 250002),
        BaseIdentity("FacebookAI/xlm-roberta-large", "xlm-roberta", 1024, 24, 250002),
        BaseIdentity("aubmindlab/bert-base-arabert", "bert", 768, 12, 64000),
        BaseIdentity("bigscience/bloom-560m", "bloom", 1024, 24, 250880),
        BaseIdentity("bigscience/bloom-7b1", "bloom", 4096, 30, 250880),
        BaseIdentity("decapoda-research/llama-7b-hf", "llama", 4096, 32, 32000),
        BaseIdentity("distilbert/distilbert-base-uncased", "distilbert", 768, 6, 30522),
        BaseIdentity("facebook/bart-base", "bart", 768, 6, 50265),
        BaseIdentity("facebook/bart-large", "bart", 1024, 12, 50265),
        BaseIdentity("facebook/mbart-large-cc25", "mbart", 1024, 12, 250027),
        BaseIdentity("google-bert/bert-base-multilingual-cased", "bert", 768, 12, 119547),
        BaseIdentity("google-bert/bert-base-multilingual-uncased", "bert", 768, 12, 105879),
        BaseIdentity("google-bert/bert-base-uncased", "bert", 768, 12, 30522),
        BaseIdentity("google-t5/t5-base", "t5", 768, 12, 32128),
        BaseIdentity("openai-community/gpt2", "gpt2", 768, 12, 50257),
    )
}
"""Identity by current Hub id: model type, hidden size, layers (of one side), vocabulary."""


def identity(name: str) -> BaseIdentity:
    """Return the identity of a base.

    Raises:
        DataError: the table has no such base.
    """
    if name not in BASES:
        raise DataError(f"the catalogue has no base `{name}`", hint=near(name, BASES))
    return BASES[name]

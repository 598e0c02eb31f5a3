"""Tiny random base models with a tokenizer, one for each model type that has an anatomy row.

Widths differ from one another on purpose (keys narrower than queries where the family allows it),
so that a method that mixes them up fails on shape.  Everything is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

HIDDEN = 32
LAYERS = 3
VOCABULARY = 96
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")

_ENCODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_DECODER = {
    **_ENCODER,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": _ENCODER,
    "roberta": _ENCODER,
    "xlm-roberta": _ENCODER,
    "distilbert": {
        "vocab_size": VOCABULARY,
        "dim": HIDDEN,
        "n_layers": LAYERS,
        "n_heads": 4,
        "hidden_dim": 48,
        "max_position_embeddings": 64,
        "pad_token_id": 1,
    },
    "llama": _DECODER,
    "mistral": {**_DECODER, "sliding_window": None},
    "qwen2": _DECODER,
    "gpt2": {
        "vocab_size": VOCABULARY,
        "n_embd": HIDDEN,
        "n_layer": LAYERS,
        "n_head": 4,
        "n_inner": 48,
        "n_positions": 64,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    "xmod": {**_ENCODER, "languages": ["en_XX", "gv_IM", "sw_KE"], "default_language": "en_XX"},
}
MODEL_TYPES = tuple(CONFIGS)
ANATOMIES = ("bert", "xlm-roberta", "distilbert", "llama", "gpt2", "xmod")
"""One model type for each distinct anatomy; roberta, mistral and qwen2 share theirs with these."""
EVERY_FAMILY = "AHL_EVERY_FAMILY"
"""Environment variable: if it is set, the kit runs on all of `MODEL_TYPES`."""
DECODERS = ("llama", "mistral", "qwen2", "gpt2")


def tiny_model(
    model_type: str,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    decoder: bool | None = None,
    **changes: Any,
) -> PreTrainedModel:
    """Return a random model of a family with its language-modelling head, in evaluation mode.

    `settings` and `decoder` are for a family that is not in `CONFIGS`: its config's values, and
    whether its head is that of a causal language model.
    """
    import torch
    import transformers

    settings = {**(CONFIGS[model_type] if settings is None else settings), **changes}
    config = transformers.AutoConfig.for_model(model_type, **settings)
    kind: Any = (
        transformers.AutoModelForCausalLM
        if (model_type in DECODERS if decoder is None else decoder)
        else transformers.AutoModelForMaskedLM
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = kind.from_config(config, trust_remote_code=False)
        model.eval()
        for parameter in model.parameters():  # defaults of 0 and 1 would hide a lost bias or norm
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.requires_grad_(False)
    return model


def tiny_tokenizer(words: list[str] | None = None) -> PreTrainedTokenizerBase:
    """Return a word tokenizer over `words` (default: `w5` to `w95`), special tokens first."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    found = words or [f"w{number}" for number in range(len(SPECIAL), VOCABULARY)]
    names = [*SPECIAL, *found][:VOCABULARY]
    tokenizer = Tokenizer(
        models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=60,
    )


def save_tiny_base(
    folder: Path, model_type: str, *, seed: int = 0, words: list[str] | None = None, **changes: Any
) -> Path:
    """Write a tiny base to a folder that `load_base` reads; return the folder.

    Its tokenizer knows `words`, and of `w5`, `w6` ... as many as there is room for.
    """
    numbered = [f"w{number}" for number in range(len(SPECIAL), VOCABULARY)]
    tiny_model(model_type, seed=seed, **changes).save_pretrained(folder)
    tiny_tokenizer([*(words or ()), *numbered]).save_pretrained(folder)
    return folder

"""Anatomy: where the parts that methods touch are, in each model family.

A family is one row; a plugin adds rows through `ahl_families`.  Paths of `parts`, `blocks`,
`norms` and `attention` start at one layer, `layers`, `embeddings`, `outside` and `rotary` at the
trunk (the model without head), `output` at the model with its language-modelling head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LINEAR_PARTS = (
    "query",
    "key",
    "value",
    "attention_out",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)
BLOCK_PARTS = ("attention_block", "ffn_block")
WORDS = "words"
"""The embedding of token ids, which every model has: its input is ids, its output their vectors."""
LOOKUP_PARTS = (WORDS, "positions", "types")
NORM_PARTS = ("attention_norm", "ffn_norm")
"""The layer norm that goes with a block: after the sum, or before the sub-layer."""
OUTER_NORM_PARTS = ("embedding_norm", "final_norm")
LOGITS = "logits"
"""The output embedding of a model with language-modelling head, as a linear part."""
BY_PATH = "@"
"""First letter of a part that is a path in the model at hand and not a row's: `@pooler.dense`."""


@dataclass(frozen=True, slots=True)
class Block:
    """A sub-layer with its residual connection.

    Args:
        sublayer: module whose output is the sub-layer's, before the residual is added.
        residual: module whose input (positional argument number) is the residual stream.
        norm: layer norm over the sum; `None` where the family norms before the sub-layer.
    """

    sublayer: str
    residual: tuple[str, int]
    norm: str | None


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the anatomy table, for the `model_type`s of transformers' configs.

    Args:
        rotary: module that turns positions into vectors and counts a cache's length as positions.
        positions: embedding of absolute positions, where a cache's length does not count.
        fused: parts that are slices of one module's output: which slice, of how many.
        norms: the layer norms of a layer.
        outside: the lookups (without words and `positions`) and norms that are in no layer.
    """

    model_types: tuple[str, ...]
    layers: str
    parts: Mapping[str, str]
    blocks: Mapping[str, Block]
    attention: str
    embeddings: str
    output: str
    rotary: str | None = None
    positions: str | None = None
    fused: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    norms: Mapping[str, str] = field(default_factory=dict)
    outside: Mapping[str, str] = field(default_factory=dict)


_BERT_PARTS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_out": "attention.output.dense",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
}
_BERT_BLOCKS = {
    "attention_block": Block(
        "attention.output.dropout", ("attention.output", 1), "attention.output.LayerNorm"
    ),
    "ffn_block": Block("output.dropout", ("output", 1), "output.LayerNorm"),
}
_BERT_NORMS = {
    "attention_norm": "attention.output.LayerNorm",
    "ffn_norm": "output.LayerNorm",
}
_BERT_OUTSIDE = {
    "types": "embeddings.token_type_embeddings",
    "embedding_norm": "embeddings.LayerNorm",
}
_DECODER_PARTS = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention_out": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_DECODER_BLOCKS = {
    "attention_block": Block("self_attn.o_proj", ("input_layernorm", 0), None),
    "ffn_block": Block("mlp", ("post_attention_layernorm", 0), None),
}

BUILT_IN: tuple[Family, ...] = (
    Family(
        model_types=("bert",),
        layers="encoder.layer",
        parts=_BERT_PARTS,
        blocks=_BERT_BLOCKS,
        attention="attention.self",
        embeddings="embeddings",
        output="cls.predictions.decoder",
        positions="embeddings.position_embeddings",
        norms=_BERT_NORMS,
        outside=_BERT_OUTSIDE,
    ),
    Family(
        model_types=("roberta", "xlm-roberta"),
        layers="encoder.layer",
        parts=_BERT_PARTS,
        blocks=_BERT_BLOCKS,
        attention="attention.self",
        embeddings="embeddings",
        output="lm_head.decoder",
        positions="embeddings.position_embeddings",
        norms=_BERT_NORMS,
        outside=_BERT_OUTSIDE,
    ),
    Family(
        model_types=("distilbert",),
        layers="transformer.layer",
        parts={
            "query": "attention.q_lin",
            "key": "attention.k_lin",
            "value": "attention.v_lin",
            "attention_out": "attention.out_lin",
            "ffn_up": "ffn.lin1",
            "ffn_down": "ffn.lin2",
        },
        blocks={
            "attention_block": Block("attention.out_lin", ("attention", 0), "sa_layer_norm"),
            "ffn_block": Block("ffn", ("ffn", 0), "output_layer_norm"),
        },
        attention="attention",
        embeddings="embeddings",
        output="vocab_projector",
        positions="embeddings.position_embeddings",
        norms={"attention_norm": "sa_layer_norm", "ffn_norm": "output_layer_norm"},
        outside={"embedding_norm": "embeddings.LayerNorm"},
    ),
    Family(
        model_types=("llama", "mistral", "qwen2"),
        layers="layers",
        parts=_DECODER_PARTS,
        blocks=_DECODER_BLOCKS,
        attention="self_attn",
        embeddings="embed_tokens",
        output="lm_head",
        rotary="rotary_emb",
        norms={"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"},
        outside={"final_norm": "norm"},
    ),
    Family(
        model_types=("gpt2",),
        layers="h",
        parts={
            "query": "attn.c_attn",
            "key": "attn.c_attn",
            "value": "attn.c_attn",
            "attention_out": "attn.c_proj",
            "ffn_up": "mlp.c_fc",
            "ffn_down": "mlp.c_proj",
        },
        blocks={
            "attention_block": Block("attn.resid_dropout", ("ln_1", 0), None),
            "ffn_block": Block("mlp", ("ln_2", 0), None),
        },
        attention="attn",
        embeddings="drop",
        output="lm_head",
        rotary="wpe",
        fused={"query": (0, 3), "key": (1, 3), "value": (2, 3)},
        norms={"attention_norm": "ln_1", "ffn_norm": "ln_2"},
        outside={"positions": "wpe", "final_norm": "ln_f"},
    ),
)

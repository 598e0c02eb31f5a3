"""Prefix tuning in peft's files: one table of keys and values, its network already applied.

peft hands the vectors over as a cache, so the text's positions start behind them; in encoders too,
where the paper's and other libraries' prefixes leave positions alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import peft_config
from adapterhub_lite.exchange.converter import Converted, Converter, Reading, Writing, Written

if TYPE_CHECKING:
    from torch import Tensor

KINDS: dict[str, tuple[type, ...]] = {
    "encoder_hidden_size": (int, NoneType),
    "init_weights": (str, NoneType),
    "num_attention_heads": (int,),
    "num_layers": (int,),
    "num_transformer_submodules": (int,),
    "num_virtual_tokens": (int,),
    "prefix_projection": (bool,),
    "token_dim": (int,),
}
TABLE = "prompt_embeddings"


class PeftPrefix(Converter):
    """Prefix tuning in peft's files; see the module's docstring."""

    name = "peft-prefix"
    format = "peft"
    method = "prefix"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether it is prefix tuning."""
        return config.get("peft_type") == "PREFIX_TUNING"

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; the table is (length, 2 layers width), a layer's keys first."""
        from adapterhub_lite.methods.prefix import PrefixConfig

        config, anatomy = reading.config, reading.base.anatomy
        peft_config.check(config, KINDS, {}, method="prefix tuning")
        length = int(peft_config.positive(config, "num_virtual_tokens", 1))
        facts = {"num_layers": anatomy.layers, "token_dim": anatomy.kv_width}
        for key, ours in {**facts, "num_transformer_submodules": 1}.items():
            if config.get(key, ours) != ours:
                raise ExchangeError(
                    f"{reading.tensors.where} has `{key}` {config[key]}, base "
                    f"`{reading.base.identity.name}` needs {ours}"
                )
        table = reading.tensors.take(TABLE)
        shape = (length, 2 * anatomy.layers * anatomy.kv_width)
        if tuple(table.shape) != shape:
            raise ExchangeError(
                f"{reading.tensors.where}: tensor `{TABLE}` has shape {tuple(table.shape)}, "
                f"expected {shape}"
            )
        rows = table.view(length, anatomy.layers, 2, anatomy.kv_width)
        weights = {
            f"attention.{layer}.{name}": rows[:, layer, number].contiguous()
            for layer in range(anatomy.layers)
            for number, name in enumerate(("keys", "values"))
        }
        moved = anatomy.positions() is not None
        return Converted(PrefixConfig(length=length, shift_positions=moved), weights)

    def write(self, writing: Writing) -> Written:
        """Return peft's config and table; a network is applied.

        Raises:
            ExchangeError: a gate, layers left out, or positions that peft would count otherwise.
        """
        import torch

        config, anatomy = writing.config, writing.base.anatomy
        if config.gate:
            raise ExchangeError("a gated prefix (`gate`) has no form in peft folders")
        if writing.leave_out:
            raise ExchangeError(
                f"a prefix that leaves out layers {list(writing.leave_out)} has no form in peft "
                "folders"
            )
        if anatomy.positions() is not None and not config.shift_positions:
            raise ExchangeError(
                "peft counts a prefix as positions before the text's, also in encoders; this one "
                "was trained otherwise",
                hint="train one with `--set shift_positions=true`",
            )
        layers = [_vectors(writing, layer) for layer in range(anatomy.layers)]
        table = torch.cat([t for pair in layers for t in pair], dim=-1)
        width = anatomy.kv_width
        values = {
            "encoder_hidden_size": width,
            "num_attention_heads": width // (anatomy.hidden_size // anatomy.heads),
            "num_layers": anatomy.layers,
            "num_transformer_submodules": 1,
            "num_virtual_tokens": config.length,
            "peft_type": "PREFIX_TUNING",
            "prefix_projection": False,
            "token_dim": width,
        }
        head_dim = getattr(writing.base.model.config, "head_dim", None)
        if head_dim:
            values["num_attention_heads"] = width // head_dim
        return Written(values, {TABLE: table.contiguous()})


def _vectors(writing: Writing, layer: int) -> tuple[Tensor, Tensor]:
    """Return a layer's keys and values, each (length, kv width)."""
    from adapterhub_lite.methods.prefix import Prefix
    from adapterhub_lite.model.loaded import SHARED

    site = writing.base.anatomy.site("attention", layer)
    assert site is not None  # every row of the anatomy table has one
    own = {k: t for k, t in writing.weights.items() if k.startswith((f"{site.key}.", SHARED))}
    named = {k.removeprefix(f"{site.key}.").removeprefix(SHARED): t for k, t in own.items()}
    memory = Prefix().memory(site, writing.config, named)
    return memory.keys, memory.values

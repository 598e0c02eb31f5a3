"""Find the parts of one model: a family's row of paths, turned into modules and widths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from adapterhub_lite.errors import AttachError, near
from adapterhub_lite.families import BLOCK_PARTS, Block, Family
from adapterhub_lite.methods.base import Site

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Anatomy:
    """Where the parts of `model` are.  `model` may be a trunk or have a head on it.

    Raises:
        AttachError: no row for the model's family, or the row does not fit the model.
    """

    def __init__(self, model: PreTrainedModel, families: Mapping[str, Family]) -> None:
        config = model.config
        self.model = model
        self.trunk: nn.Module = model.base_model
        if config.model_type not in families:
            raise AttachError(
                f"no row in the anatomy table for model type `{config.model_type}`",
                hint="a plugin can add one through `ahl_families`; "
                + near(config.model_type, families),
            )
        self.family = families[config.model_type]
        layers = _module(self.trunk, self.family.layers)
        if not isinstance(layers, nn.ModuleList):
            raise AttachError(f"`{config.model_type}` has no layers at `{self.family.layers}`")
        self._layers = layers
        self.layers = len(layers)
        self.hidden_size: int = config.hidden_size
        self.heads: int = config.num_attention_heads
        head_width = getattr(config, "head_dim", None) or self.hidden_size // self.heads
        self.kv_width: int = head_width * (
            getattr(config, "num_key_value_heads", None) or self.heads
        )

    def site(self, part: str, layer: int | None = None) -> Site | None:
        """Return the site of a part, or `None` where this model has none."""
        if self.module(part, layer) is None:
            return None
        if part == "attention":
            return Site(part, layer, self.heads, self.kv_width)
        if part in self.family.parts:
            linear = self.linear(part, layer)
            return Site(
                part,
                layer,
                linear.in_features,
                linear.out_features,
                weight=linear.weight,
                bias=linear.bias,
            )
        return Site(part, layer, self.hidden_size, self.hidden_size)

    def module(self, part: str, layer: int | None = None) -> nn.Module | None:
        """Return the module of a part; for a block, the one whose output is the block's result."""
        if layer is None:
            if part == "output":
                return _module(self.model, self.family.output)
            return _module(self.trunk, self.family.embeddings) if part == "embeddings" else None
        if part in BLOCK_PARTS:
            block = self.family.blocks.get(part)
            return self.within(layer, block.norm or block.sublayer) if block else None
        path = self.family.attention if part == "attention" else self.family.parts.get(part)
        return self.within(layer, path) if path else None

    def linear(self, part: str, layer: int | None) -> nn.Linear:
        """Return a linear part; raises `AttachError` where the model has something else there."""
        module = self.module(part, layer)
        if not isinstance(module, nn.Linear):
            raise AttachError(
                f"part `{part}` of layer {layer} is {type(module).__name__}, expected a Linear"
            )
        return module

    def block(self, part: str) -> Block:
        """Return the row's entry for a block."""
        return self.family.blocks[part]

    def within(self, layer: int, path: str) -> nn.Module | None:
        """Return the module at `path` in a layer."""
        return _module(self._layers[layer], path)

    def rotary(self) -> nn.Module | None:
        """Return the module that makes rotary position embeddings, if the family has one."""
        return _module(self.trunk, self.family.rotary) if self.family.rotary else None


def _module(root: nn.Module, path: str) -> nn.Module | None:
    try:
        return root.get_submodule(path)
    except AttributeError:
        return None

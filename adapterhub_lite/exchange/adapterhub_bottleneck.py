"""Bottlenecks as `adapters` spells them, with layer norms, learned scales and invertible part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import adapterhub_keys as keys
from adapterhub_lite.exchange import architectures
from adapterhub_lite.exchange.adapterhub_words import BOTTLENECK
from adapterhub_lite.exchange.converter import (
    Converted,
    Converter,
    Reading,
    Tensors,
    Writing,
    Written,
)
from adapterhub_lite.methods.bottleneck import Bottleneck, BottleneckConfig

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.exchange.bases import BaseShape

_BLOCK = {
    "adapter_down.{at}.weight": "down",
    "adapter_down.{at}.bias": "down_bias",
    "adapter_up.weight": "up",
    "adapter_up.bias": "up_bias",
}
_NORM_BEFORE = {
    "adapter_norm_before.weight": "norm_before",
    "adapter_norm_before.bias": "norm_before_bias",
}
_NORM_AFTER = {
    "adapter_norm_after.weight": "norm_after",
    "adapter_norm_after.bias": "norm_after_bias",
}
_COUPLING = {"0.weight": "0", "0.bias": "0_bias", "2.weight": "2", "2.bias": "2_bias"}


class BottleneckConverter(Converter):
    """Bottlenecks: `seq_bn`, `double_seq_bn`, `par_bn`, with and without the invertible part."""

    name = "adapterhub-bottleneck"
    format = "adapterhub"
    method = "bottleneck"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a config is of a bottleneck with ordinary matrices."""
        return config.get("architecture") is None and not config.get("phm_layer")

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; see `Converter.read`."""
        found = read_options(reading.config, reading.base)
        weights: dict[str, Tensor] = {}
        for block, layer in blocks_of(found.config, found.leave_out, reading.base):
            path = keys.block_path(reading.base, block, layer)
            for theirs, ours in block_keys(found.config).items():
                weights[f"{block}.{layer}.{ours}"] = reading.tensors.take(f"{path}.{theirs}")
            if found.config.norm_before:  # the same layer norm is in the file twice
                _drop(reading.tensors, f"{path}.adapter_down.0.weight")
                _drop(reading.tensors, f"{path}.adapter_down.0.bias")
        for coupling in "FG" if found.config.invertible else "":
            for theirs, ours in _COUPLING.items():
                key = f"invertible_adapters.{coupling}.{theirs}"
                weights[f"shared.{coupling}{ours}"] = reading.tensors.take(key)
        return Converted(found.config, weights, found.leave_out, found.notes)

    def write(self, writing: Writing) -> Written:
        """Return the library's form; see `Converter.write`."""
        config: BottleneckConfig = writing.config
        tensors: dict[str, Tensor] = {}
        for block, layer in blocks_of(config, writing.leave_out, writing.base):
            path = keys.block_path(writing.base, block, layer)
            for theirs, ours in block_keys(config).items():
                tensors[f"{path}.{theirs}"] = writing.weights[f"{block}.{layer}.{ours}"]
            if config.norm_before:
                for name in ("weight", "bias"):
                    same = tensors[f"{path}.adapter_norm_before.{name}"]
                    tensors[f"{path}.adapter_down.0.{name}"] = same
        for coupling in "FG" if config.invertible else "":
            for theirs, ours in _COUPLING.items():
                key = f"invertible_adapters.{coupling}.{theirs}"
                tensors[key] = writing.weights[f"shared.{coupling}{ours}"]
        return Written(options_of(config), tensors)


def read_options(config: Mapping[str, Any], base: BaseShape) -> architectures.Architecture:
    """Return what completed options mean on a base; see `architectures.bottleneck`."""
    options = {key: value for key, value in config.items() if key != "interface"}
    return architectures.bottleneck(options, base.anatomy.layers)


def blocks_of(
    config: BottleneckConfig, leave_out: tuple[int, ...], base: BaseShape
) -> list[tuple[str, int]]:
    """Return block and layer of every bottleneck."""
    layers = (layer for layer in range(base.anatomy.layers) if layer not in leave_out)
    return [(block, layer) for layer in layers for block in Bottleneck().parts(config)]


def block_keys(config: BottleneckConfig) -> dict[str, str]:
    """Return our names of the weights at one block, by the library's."""
    at = 1 if config.norm_before else 0
    names = {theirs.format(at=at): ours for theirs, ours in _BLOCK.items()}
    if config.norm_before:
        names |= _NORM_BEFORE
    if config.norm_after != "no":
        names |= _NORM_AFTER
    if config.learned_scale != "no":
        names["scaling"] = "scale"
    return names


def options_of(config: BottleneckConfig) -> dict[str, Any]:
    """Return the library's options for a config, all of them.

    Raises:
        ExchangeError: a residual that the library has no word for.
    """
    parts = Bottleneck().parts(config)
    if config.learned_scale != "no" and config.scale != 1.0:
        raise ExchangeError("`scale` and `learned_scale` together have no form in `adapters`")
    options = {
        **BOTTLENECK,
        "mh_adapter": "attention_block" in parts,
        "output_adapter": "ffn_block" in parts,
        "reduction_factor": {str(i): value for i, value in enumerate(config.reductions)}
        or config.reduction,
        "non_linearity": architectures.spelling(config.activation),
        "original_ln_before": config.placement == "pfeiffer",
        "is_parallel": config.placement == "parallel",
        "scaling": {"no": config.scale, "scalar": "learned", "channel": "channel"}[
            config.learned_scale
        ],
        "residual_before_ln": {"output": True, "normed": False, "sum": "post_add"}[config.residual],
        "ln_before": config.norm_before,
        "ln_after": config.norm_after != "no",
        "adapter_residual_before_ln": config.norm_after == "inside",
    }
    if config.invertible:
        options |= {
            "inv_adapter": "nice",
            "inv_adapter_reduction_factor": config.invertible_reduction,
        }
    again = architectures.bottleneck(options, len(config.reductions) or None).config
    if again.placement != config.placement or again.residual != config.residual:
        raise ExchangeError(f"`residual` {config.residual} has no form in `adapters` here")
    return options


def _drop(tensors: Tensors, key: str) -> None:
    if key in tensors:
        tensors.take(key)

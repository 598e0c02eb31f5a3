"""LoRA as `adapters` spells it; (IA)^3 and DoRA share its options, so plugins read them here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import adapterhub_keys as keys
from adapterhub_lite.exchange.converter import (
    Converted,
    Converter,
    Reading,
    Tensors,
    Writing,
    Written,
)
from adapterhub_lite.methods.lora import LoRAConfig

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.exchange.bases import BaseShape

_LORA = {
    "leave_out": [],
    "selfattn_lora": True,
    "intermediate_lora": False,
    "output_lora": False,
    "r": 8,
    "alpha": 8,
    "dropout": 0.0,
    "attn_matrices": ["q", "v"],
    "composition_mode": "add",
    "init_weights": "lora",
    "init_weights_seed": None,
    "use_gating": False,
    "use_dora": False,
    "vera_d": None,
    "vera_b": None,
    "dtype": None,
}
"""The library's options of LoRA and (IA)^3, with its defaults."""


def lora_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a LoRA config's options, all of them.

    Raises:
        ExchangeError: an unknown option, a value of a wrong type, or one with no exact form here.
    """
    given = {k: v for k, v in config.items() if k not in ("architecture", "interface")}
    for key in given:
        if key not in _LORA:
            raise ExchangeError(f"config has `{key}`, which is unknown")
    options = {**_LORA, **given}
    if options["use_gating"]:
        raise ExchangeError("config `use_gating` is true: its gate depends on a text's padding")
    for key in ("selfattn_lora", "intermediate_lora", "output_lora"):
        if not isinstance(options[key], bool):
            raise ExchangeError(f"config `{key}` must be true or false, found `{options[key]}`")
    for key in ("r", "alpha", "dropout"):
        value = options[key]
        whole = type(value) is int
        if not whole and (key == "r" or type(value) is not float or not math.isfinite(value)):
            raise ExchangeError(f"config `{key}` is `{value}`")
    letters = options["attn_matrices"]
    if not isinstance(letters, list) or not all(one in list(keys.ATTENTION) for one in letters):
        raise ExchangeError(f"config `attn_matrices` is `{letters}`; q, k and v come in")
    left = options["leave_out"] or []
    if not isinstance(left, list) or not all(type(layer) is int for layer in left):
        raise ExchangeError(f"config `leave_out` must be a list of layers, found `{left}`")
    return {**options, "leave_out": left, "interface": bool(config.get("interface"))}


def lora_parts(options: Mapping[str, Any], base: BaseShape) -> tuple[str, ...]:
    """Return the parts that a LoRA config names, in our order."""
    letters = options["attn_matrices"] if options["selfattn_lora"] else ()
    parts = [part for letter, part in keys.ATTENTION.items() if letter in letters]
    for name in ("intermediate", "output"):
        if options[f"{name}_lora"]:
            parts.append(keys.linear_part(base, name, interface=options["interface"]))
    if not parts:
        raise ExchangeError("config names no part that is changed")
    return tuple(sorted(parts, key=list(base.anatomy.family.parts).index))


def lora_sites(
    parts: tuple[str, ...], leave_out: list[int], base: BaseShape
) -> list[tuple[str, str]]:
    """Return our site and the library's path of every linear part, layer by layer."""
    layers = (layer for layer in range(base.anatomy.layers) if layer not in leave_out)
    return [
        (f"{part}.{layer}", f"{base.path(part, layer)}.loras") for layer in layers for part in parts
    ]


def split(tensors: Tensors, sites: list[tuple[str, str]], name: str) -> dict[str, Tensor]:
    """Take a tensor of every site; where several share a module (GPT-2), each its own rows."""
    found: dict[str, Tensor] = {}
    for path in dict.fromkeys(path for _, path in sites):
        mine = [site for site, other in sites if other == path]
        whole = tensors.take(f"{path}.{name}")
        if whole.shape[0] % len(mine):
            raise ExchangeError(f"tensor `{path}.{name}` has {whole.shape[0]} rows for {len(mine)}")
        found |= zip(mine, whole.chunk(len(mine)), strict=True)
    return found


def joined(own: Mapping[str, Tensor], sites: list[tuple[str, str]], name: str) -> dict[str, Tensor]:
    """Return the library's tensors of all sites: the reverse of `split`."""
    import torch

    paths = dict.fromkeys(path for _, path in sites)
    return {
        f"{path}.{name}": torch.cat([own[site] for site, other in sites if other == path])
        for path in paths
    }


def lora_config(parts: tuple[str, ...], base: BaseShape, **options: Any) -> dict[str, Any]:
    """Return the library's config for parts; raises `ExchangeError` for parts it cannot change."""
    letters = [letter for letter, part in keys.ATTENTION.items() if part in parts]
    places = {
        name: keys.linear_part(base, name, interface=False) for name in ("intermediate", "output")
    }
    odd = set(parts) - set(keys.ATTENTION.values()) - set(places.values())
    if odd:
        raise ExchangeError(f"`adapters` does not change part `{min(odd)}` of this family")
    return {
        **_LORA,
        "architecture": "lora",
        "selfattn_lora": bool(letters),
        "attn_matrices": letters,
        **{f"{name}_lora": part in parts for name, part in places.items()},
        **options,
    }


class LoRAConverter(Converter):
    """LoRA on the projections of attention and of the feed-forward block."""

    name = "adapterhub-lora"
    format = "adapterhub"
    method = "lora"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a config is of LoRA proper, not of its kin that share its options."""
        return (
            config.get("architecture") == "lora"
            and config.get("composition_mode", "add") == "add"
            and not config.get("use_dora")
            and config.get("vera_d") is None
        )

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; see `Converter.read`."""
        options = lora_options(reading.config)
        parts = lora_parts(options, reading.base)
        weights: dict[str, Tensor] = {}
        sites = lora_sites(parts, options["leave_out"], reading.base)
        for name, side in (("lora_A", "A"), ("lora_B", "B")):
            found = split(reading.tensors, sites, name)
            weights |= {f"{site}.{side}": tensor for site, tensor in found.items()}
        config = LoRAConfig(
            rank=options["r"],
            alpha=float(options["alpha"]),
            dropout=float(options["dropout"]),
            parts=parts,
        )
        return Converted(config, weights, tuple(sorted(set(options["leave_out"]))))

    def write(self, writing: Writing) -> Written:
        """Return the library's form; see `Converter.write`.  Its scaling is alpha / r."""
        config: LoRAConfig = writing.config
        plain = LoRAConfig(config.rank, config.alpha, config.rank_stabilised, config.dropout)
        for key, value in config.to_mapping().items():
            if key != "parts" and plain.to_mapping().get(key) != value:
                raise ExchangeError(f"LoRA config `{key}` has no form in `adapters`")
        tensors: dict[str, Tensor] = {}
        sites = lora_sites(config.parts, list(writing.leave_out), writing.base)
        for name, side in (("lora_A", "A"), ("lora_B", "B")):
            own = {site: writing.weights[f"{site}.{side}"] for site, _ in sites}
            tensors |= joined(own, sites, name)
        return Written(
            lora_config(
                config.parts,
                writing.base,
                r=config.rank,
                alpha=config.scaling * config.rank,
                dropout=config.dropout,
            ),
            tensors,
        )

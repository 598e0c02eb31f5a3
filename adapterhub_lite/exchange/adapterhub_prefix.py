"""Prefix tuning as `adapters` spells it: one tensor or one network for all layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

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
from adapterhub_lite.methods.prefix import PrefixConfig

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.exchange.bases import BaseShape

_PREFIX = {
    "encoder_prefix": True,
    "cross_prefix": True,
    "leave_out": [],
    "flat": False,
    "prefix_length": 30,
    "bottleneck_size": 512,
    "non_linearity": "tanh",
    "dropout": 0.0,
    "use_gating": False,
    "shared_gating": True,
    "init_weights_seed": None,
}


class PrefixConverter(Converter):
    """Prefix tuning: one tensor, or one network, for the keys and values of all layers."""

    name = "adapterhub-prefix"
    format = "adapterhub"
    method = "prefix"
    FLAT: ClassVar[str] = "control_trans"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a config is of prefix tuning."""
        return config.get("architecture") == "prefix_tuning"

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; see `Converter.read`."""
        options = _prefix_options(reading.config)
        _turns(reading.base)  # or refuse, before any tensor is looked at
        base, length = reading.base, options["prefix_length"]
        layers = [n for n in range(base.anatomy.layers) if n not in options["leave_out"]]
        place = f"prefix_tuning.prefix_tunings.{keys.prefix_place(base)}"
        width = base.anatomy.kv_width
        if options["flat"]:
            flat = reading.tensors.take(f"{place}.{self.FLAT}")
            _check_size(flat, length * len(layers) * 2 * width, place)
            both = flat.view(length, len(layers), 2, width)
            config = PrefixConfig(length=length)
            weights = _vectors(both, layers)
        else:
            config = PrefixConfig(length, reparameterise=True, inner=options["bottleneck_size"])
            weights = _network(reading.tensors, place, layers, width)
        return from_first_position(Converted(config, weights, tuple(options["leave_out"])), base)

    def write(self, writing: Writing) -> Written:
        """Return the library's form, flat; see `Converter.write`."""
        import torch

        if writing.config.gate:
            raise ExchangeError("a prefix with `gate` has no form in `adapters`")
        base = writing.base
        layers = [n for n in range(base.anatomy.layers) if n not in writing.leave_out]
        own = Converted(writing.config, dict(writing.weights), writing.leave_out)
        explicit = to_first_position(own, base)
        rows = [
            explicit.weights[f"attention.{layer}.{name}"]
            for layer in layers
            for name in ("keys", "values")
        ]
        place = f"prefix_tuning.prefix_tunings.{keys.prefix_place(base)}"
        config = {**_PREFIX, "architecture": "prefix_tuning", "flat": True}
        config["prefix_length"] = writing.config.length
        return Written(config, {f"{place}.{self.FLAT}": torch.stack(rows, dim=1).flatten()})


def _prefix_options(config: Mapping[str, Any]) -> dict[str, Any]:
    given = {k: v for k, v in config.items() if k not in ("architecture", "interface")}
    for key in given:
        if key not in _PREFIX:
            raise ExchangeError(f"config has `{key}`, which is unknown")
    options = {**_PREFIX, **given}
    if options["use_gating"]:
        raise ExchangeError("config `use_gating` is true: its gate depends on a text's padding")
    if not options["flat"] and options["non_linearity"] != "tanh":
        raise ExchangeError(f"config `non_linearity` is `{options['non_linearity']}`; `tanh` here")
    for key in ("prefix_length", "bottleneck_size"):
        if type(options[key]) is not int or options[key] < 1:
            raise ExchangeError(f"config `{key}` is `{options[key]}`")
    left = options["leave_out"] or []
    if not isinstance(left, list) or not all(type(layer) is int for layer in left):
        raise ExchangeError(f"config `leave_out` must be a list of layers, found `{left}`")
    return {**options, "leave_out": sorted(set(left))}


def _vectors(both: Tensor, layers: list[int]) -> dict[str, Tensor]:
    """Return keys and values by layer from (length, layers, 2, width)."""
    return {
        f"attention.{layer}.{name}": both[:, number, which].clone()
        for number, layer in enumerate(layers)
        for which, name in enumerate(("keys", "values"))
    }


def _network(tensors: Tensors, place: str, layers: list[int], width: int) -> dict[str, Tensor]:
    """Return our tensors of the network: its last layer has one slice for every model layer."""
    weights = {
        "shared.table": tensors.take(f"{place}.wte.weight"),
        "shared.in": tensors.take(f"{place}.control_trans.0.weight"),
        "shared.in_bias": tensors.take(f"{place}.control_trans.0.bias"),
    }
    for theirs, ours in (("weight", "out"), ("bias", "out_bias")):
        last = tensors.take(f"{place}.control_trans.2.{theirs}")
        _check_size(last[:, 0] if last.ndim == 2 else last, len(layers) * 2 * width, place)
        for layer, part in zip(layers, last.chunk(len(layers)), strict=True):
            weights[f"attention.{layer}.{ours}"] = part.clone()
    return weights


def _check_size(tensor: Tensor, wanted: int, place: str) -> None:
    if tensor.numel() != wanted:
        raise ExchangeError(
            f"prefix `{place}` has {tensor.numel()} values, this base needs {wanted}"
        )


def from_first_position(converted: Converted, base: BaseShape) -> Converted:
    """Return a prefix of a library in which the text keeps its positions when one is in front.

    Here, as with a cache of that length, the text is moved on by the prefix's length.  Rotating the
    keys by as much leaves every score what it was.
    """
    if not _turns(base):
        return converted
    return _rotated(_explicit(converted), base, turn=1)


def to_first_position(converted: Converted, base: BaseShape) -> Converted:
    """Return the vectors written out, for such a library: the reverse of `from_first_position`."""
    written_out = _explicit(converted)
    if not _turns(base):
        return written_out
    return _rotated(written_out, base, turn=-1)


def _turns(base: BaseShape) -> bool:
    """Whether a base's positions are rotations that a cache's length moves on.

    Raises:
        ExchangeError: they are moved on, and are vectors that are added: nothing makes up for it.
    """
    from torch import nn

    module = base.anatomy.rotary()
    if isinstance(module, nn.Embedding):
        raise ExchangeError(
            f"`adapters` leaves the text's positions as they are behind a prefix, here a "
            f"`{base.identity.architecture}` model moves them on, and its positions are learned"
        )
    return module is not None


def _explicit(converted: Converted) -> Converted:
    """Return a prefix with its vectors written out, in place of the network that makes them."""
    from torch.nn.functional import linear

    config, own = converted.config, converted.weights
    assert isinstance(config, PrefixConfig)
    if not config.reparameterise:
        return converted
    inner = linear(own["shared.table"], own["shared.in"], own["shared.in_bias"]).tanh()
    weights: dict[str, Tensor] = {}
    for site in [key.removesuffix(".out") for key in own if key.endswith(".out")]:
        made = linear(inner, own[f"{site}.out"], own[f"{site}.out_bias"]).chunk(2, dim=-1)
        weights |= {f"{site}.keys": made[0].clone(), f"{site}.values": made[1].clone()}
    note = "the network that makes the vectors is not kept: they are written out"
    return replace(
        converted,
        config=PrefixConfig(length=config.length),
        weights=weights,
        notes=(*converted.notes, note),
    )


def _rotated(converted: Converted, base: BaseShape, *, turn: int) -> Converted:
    """Return a prefix with its keys rotated by its length, as rotary positions rotate."""
    assert isinstance(converted.config, PrefixConfig)
    by = turn * converted.config.length
    weights = {
        key: rotate(tensor, base, by) if key.endswith(".keys") else tensor
        for key, tensor in converted.weights.items()
    }
    return replace(converted, weights=weights)


def rotate(vectors: Tensor, base: BaseShape, by: int) -> Tensor:
    """Return keys (length, kv width) rotated by `by` positions, with the base's own frequencies."""
    import torch

    module: Any = base.anatomy.rotary()
    with torch.device("cpu"):
        rotary = type(module)(config=base.model.config)
    cos, sin = (t / rotary.attention_scaling for t in rotary(vectors, torch.tensor([[abs(by)]])))
    sign = 1 if by > 0 else -1
    heads = vectors.view(vectors.shape[0], -1, cos.shape[-1])
    first, second = heads.chunk(2, dim=-1)
    turned = heads * cos + torch.cat((-second, first), dim=-1) * sin * sign
    result: Tensor = turned.reshape(vectors.shape)
    return result

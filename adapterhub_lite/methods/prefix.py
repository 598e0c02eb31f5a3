"""Prefix tuning: trained key and value vectors before the text's own, in every layer.

Li & Liang 2021, https://arxiv.org/abs/2101.00190.  With `reparameterise`, the vectors of all layers
come from one small table through a two-layer network (their section 4.3); without, they are free.

As published, a prefix takes part in the softmax from the first step, so a fresh one changes the
model.  With `gate` the prefix is attended to by itself and added times tanh(g), one g a head,
zero at the start (zero-init attention, LLaMA-Adapter, Zhang et al. 2023,
https://arxiv.org/abs/2303.16199): then a fresh adapter is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterhub_lite.errors import MethodError
from adapterhub_lite.methods.base import Flow, Memory, Method, ModelShape, Site, Weights
from adapterhub_lite.methods.config import WIDEST, MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PrefixConfig(MethodConfig):
    """Config of `prefix`."""

    length: int = option(30, "vectors a layer", at_most=WIDEST)
    reparameterise: bool = option(False, "make the vectors by a small network while training")
    inner: int = option(512, "width inside that network", at_most=WIDEST)
    gate: bool = option(
        False, "attend to the prefix by itself, scaled from zero: starts as identity"
    )
    shift_positions: bool = option(
        False,
        "count the prefix as positions before the text's also in encoders, as peft does",
        omit_default=True,
    )

    def check(self) -> None:
        """Refuse lengths below one."""
        if self.length < 1 or self.inner < 1:
            raise MethodError("`prefix` needs a length and an inner width of at least 1")


class Prefix(Method):
    """The prefix method; see the module's docstring.  Stacked, prefixes stand side by side."""

    name = "prefix"
    run = "prefix"
    averages = "weights"
    Config = PrefixConfig

    def parts(self, config: PrefixConfig) -> tuple[str, ...]:
        """Return the part that holds a layer's attention."""
        return ("attention",)

    def init(self, site: Site, config: PrefixConfig) -> dict[str, Tensor]:
        """Return keys and values (length, kv width), or the network's last layer; and the gate.

        A site's `width` is the width of keys and values, its `in_width` the number of query heads.
        """
        import torch

        gate = {"gate": torch.zeros(site.in_width)} if config.gate else {}
        if not config.reparameterise:
            return {
                "keys": torch.randn(config.length, site.width) * 0.02,
                "values": torch.randn(config.length, site.width) * 0.02,
                **gate,
            }
        return {
            "out": torch.randn(2 * site.width, config.inner) * 0.02,
            "out_bias": torch.zeros(2 * site.width),
            **gate,
        }

    def init_shared(self, shape: ModelShape, config: PrefixConfig) -> dict[str, Tensor]:
        """Return the table (length, hidden size) and the network's first layer."""
        import torch

        if not config.reparameterise:
            return {}
        return {
            "table": torch.randn(config.length, shape.hidden_size),
            "in": torch.randn(config.inner, shape.hidden_size) * 0.02,
            "in_bias": torch.zeros(config.inner),
        }

    def memory(self, site: Site, config: PrefixConfig, weights: Weights) -> Memory:
        """Return this layer's vectors: as stored, or table -> tanh -> this layer's slice."""
        from torch.nn.functional import linear

        gate = weights["gate"] if config.gate else None
        if not config.reparameterise:
            return Memory(weights["keys"], weights["values"], gate, shift=config.shift_positions)
        inner = linear(weights["table"], weights["in"], weights["in_bias"]).tanh()
        keys, values = linear(inner, weights["out"], weights["out_bias"]).chunk(2, dim=-1)
        return Memory(keys, values, gate, shift=config.shift_positions)

    def step(
        self, site: Site, config: PrefixConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        """Attention takes the vectors through `memory`; there is no output to change."""
        return state

    def follows(
        self, config: PrefixConfig, below: Method, below_config: PrefixConfig
    ) -> str | None:
        """A gated and an ungated prefix would need two softmaxes over the same text."""
        if below.run != self.run or config.gate == below_config.gate:
            return None
        return "a gated prefix cannot stand on an ungated one, nor the reverse"

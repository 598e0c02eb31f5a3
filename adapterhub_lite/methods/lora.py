"""LoRA: a low-rank change of a linear part, W x + s B A x.

Hu et al. 2021, https://arxiv.org/abs/2106.09685: s = alpha / r, A Gaussian, B zero at the start.
Rank-stabilised (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732): s = alpha / sqrt(r).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapterhub_lite.errors import MethodError
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.methods.base import Flow, Method, Site, Weights
from adapterhub_lite.methods.config import MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LoRAConfig(MethodConfig):
    """Config of `lora`."""

    rank: int = option(8, "r, the rank of the change")
    alpha: float = option(16.0, "scaling: alpha / r, or alpha / sqrt(r) with `rank_stabilised`")
    rank_stabilised: bool = option(False, "scale by alpha / sqrt(r)")
    dropout: float = option(0.0, "dropout on the input of A, in training")
    bias: bool = option(False, "train an addition to the part's bias as well")
    parts: tuple[str, ...] = option(("query", "value"), f"linear parts: {', '.join(LINEAR_PARTS)}")

    def check(self) -> None:
        """Refuse ranks below one, dropout outside [0, 1) and parts that are not linear."""
        if self.rank < 1:
            raise MethodError(f"`lora` needs a rank of at least 1, found {self.rank}")
        if not 0 <= self.dropout < 1:
            raise MethodError(f"`lora` needs a dropout in [0, 1), found {self.dropout}")
        for part in self.parts:
            if part not in LINEAR_PARTS:
                raise MethodError(
                    f"`lora` cannot change part `{part}`", hint=f"one of {', '.join(LINEAR_PARTS)}"
                )

    @property
    def scaling(self) -> float:
        """The factor s."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


class LoRA(Method):
    """The LoRA method; see the module's docstring.  Stacked, the changes add."""

    name = "lora"
    run = "lora"
    Config = LoRAConfig

    def init(self, site: Site, config: LoRAConfig) -> dict[str, Tensor]:
        """Return A (r, in), B (out, r), and the bias (out) where there is one."""
        import torch

        weights = {
            "A": torch.randn(config.rank, site.in_width) / math.sqrt(site.in_width),
            "B": torch.zeros(site.width, config.rank),
        }
        if config.bias:
            weights["bias"] = torch.zeros(site.width)
        return weights

    def step(
        self, site: Site, config: LoRAConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        """Return the state plus s B A x, and the bias."""
        from torch.nn.functional import dropout, linear

        x = flow.x
        if config.dropout and flow.training:
            x = dropout(x, config.dropout)
        change = linear(linear(x, weights["A"]), weights["B"]) * config.scaling
        if config.bias:
            change = change + weights["bias"]
        return state + change

    def delta(self, site: Site, config: LoRAConfig, weights: Weights) -> Tensor | None:
        """Return s B A; a trained bias cannot be folded into a weight."""
        if config.bias:
            return None
        return (weights["B"] @ weights["A"]) * config.scaling

    def average(
        self,
        config: LoRAConfig,
        members: Sequence[Mapping[str, Tensor]],
        coefficients: Sequence[float],
    ) -> tuple[LoRAConfig, dict[str, Tensor]]:
        """Return the exact mean of the changes: all A side by side, all B times their coefficient.

        The mean of A and the mean of B separately would add cross terms B1 A2.
        """
        import torch

        rank = config.rank * len(members)
        alpha = config.scaling * (math.sqrt(rank) if config.rank_stabilised else rank)
        weights: dict[str, Tensor] = {}
        for key in members[0]:
            tensors = [member[key] for member in members]
            scaled = [c * tensor for c, tensor in zip(coefficients, tensors, strict=True)]
            if key.endswith(".A"):
                weights[key] = torch.cat(tensors, dim=0)
            elif key.endswith(".B"):
                weights[key] = torch.cat(scaled, dim=1)
            else:
                weights[key] = torch.stack(scaled).sum(dim=0)
        return replace(config, rank=rank, alpha=alpha), weights

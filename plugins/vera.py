"""VeRA: a low-rank change from two random matrices that all layers share; two vectors are trained.

Kopiczko et al. 2024, https://arxiv.org/abs/2310.11454, equation 2:

    h = W x + L_b B L_d A x

A and B are never trained and never stored: they are drawn from `seed`, once for every shape of a
linear part.  L_d and L_b are diagonal, d starts at 0.1 and b at zero.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from adapterhub_lite.errors import MethodError
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import Method, Site, SiteMethod, Weights
from adapterhub_lite.methods.config import MethodConfig, option

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class VeRAConfig(MethodConfig):
    """Config of `vera`."""

    rank: int = option(256, "r, the inner width of the random matrices")
    seed: int = option(0, "what A and B are drawn from; part of the adapter")
    d_start: float = option(0.1, "first value of d")
    parts: tuple[str, ...] = option(("query", "value"), f"linear parts: {', '.join(LINEAR_PARTS)}")

    def check(self) -> None:
        """Refuse ranks below one and parts that are not linear."""
        if self.rank < 1:
            raise MethodError(f"`vera` needs a rank of at least 1, found {self.rank}")
        for part in self.parts:
            if part not in LINEAR_PARTS:
                raise MethodError(
                    f"`vera` cannot change part `{part}`", hint=f"one of {', '.join(LINEAR_PARTS)}"
                )


class VeRA(SiteMethod):
    """The VeRA method; see the module's docstring.  Stacked, the changes add."""

    name = "vera"
    averages = False
    Config = VeRAConfig

    def init(self, site: Site, config: VeRAConfig) -> dict[str, Tensor]:
        """Return d (r) and b (out)."""
        import torch

        return {"d": torch.full((config.rank,), config.d_start), "b": torch.zeros(site.width)}

    def transform(
        self, site: Site, config: VeRAConfig, weights: Weights, x: Tensor, y: Tensor
    ) -> Tensor:
        """Return y + b * B (d * A x)."""
        from torch.nn.functional import linear

        A, B = _matrices(site, config, x)
        return y + weights["b"] * linear(weights["d"] * linear(x, A), B)

    def delta(self, site: Site, config: VeRAConfig, weights: Weights) -> Tensor:
        """Return L_b B L_d A."""
        A, B = _matrices(site, config, weights["d"])
        return (weights["b"][:, None] * B * weights["d"]) @ A

    def average(
        self,
        config: VeRAConfig,
        members: Sequence[Mapping[str, Tensor]],
        coefficients: Sequence[float],
    ) -> NoReturn:
        """Refuse: means of d and of b would mix one adapter's d with another's b."""
        raise MethodError(
            "`vera` adapters have no average: the mean of their changes is no change of this form",
            hint="stack them: their changes add",
        )


def _matrices(site: Site, config: VeRAConfig, like: Tensor) -> tuple[Tensor, Tensor]:
    return draw(
        config.seed, config.rank, site.in_width, site.width, dtype=like.dtype, device=like.device
    )


@functools.lru_cache(maxsize=64)
def draw(
    seed: int, rank: int, in_width: int, width: int, *, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return A (r, in) and B (out, r), Kaiming-uniform; drawn on the CPU, the same everywhere."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def kaiming(rows: int, columns: int) -> Tensor:
        bound = math.sqrt(6 / columns)
        matrix = torch.empty(rows, columns, dtype=torch.float32, device="cpu")
        return matrix.uniform_(-bound, bound, generator=generator).to(device, dtype)

    return kaiming(rank, in_width), kaiming(width, rank)


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return vera."""
    return [VeRA()]

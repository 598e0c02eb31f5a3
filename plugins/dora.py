"""DoRA: a linear part's weight is split into magnitude and direction; LoRA changes the direction.

Liu et al. 2024, https://arxiv.org/abs/2402.09353, equations 5 and 11:

    V' = W + s B A,     W' = m * V' / ||V'||,     s = alpha / r

m holds one magnitude for each output, as in the authors' code, and starts at ||W||; B starts at
zero.  ||V'|| is taken as a constant in the gradient (section 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from adapterhub_lite.errors import MethodError
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import Flow, Method, Site, Weights
from adapterhub_lite.methods.config import MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DoRAConfig(MethodConfig):
    """Config of `dora`."""

    rank: int = option(8, "r, the rank of the direction's change")
    alpha: float = option(16.0, "scaling: alpha / r")
    parts: tuple[str, ...] = option(("query", "value"), f"linear parts: {', '.join(LINEAR_PARTS)}")

    def check(self) -> None:
        """Refuse ranks below one and parts that are not linear."""
        if self.rank < 1:
            raise MethodError(f"`dora` needs a rank of at least 1, found {self.rank}")
        for part in self.parts:
            if part not in LINEAR_PARTS:
                raise MethodError(
                    f"`dora` cannot change part `{part}`", hint=f"one of {', '.join(LINEAR_PARTS)}"
                )


class DoRA(Method):
    """The DoRA method; see the module's docstring.

    The state of a run is a weight: an adapter on another one splits the weight that it left.
    """

    name = "dora"
    averages = False
    run = "dora"
    Config = DoRAConfig

    def init(self, site: Site, config: DoRAConfig) -> dict[str, Tensor]:
        """Return A (r, in), B (out, r) and m (out)."""
        import torch

        return {
            "A": torch.randn(config.rank, site.in_width) / math.sqrt(site.in_width),
            "B": torch.zeros(site.width, config.rank),
            "m": _base(site).detach().cpu().float().norm(dim=1),
        }

    def begin(self, site: Site, config: DoRAConfig, flow: Flow) -> Tensor:
        """Return W."""
        return _base(site)

    def step(
        self, site: Site, config: DoRAConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        """Return W' for the W in `state`."""
        return changed(config, weights, state)

    def end(self, site: Site, config: DoRAConfig, flow: Flow, state: Tensor) -> Tensor:
        """Return y + (W' - W) x."""
        from torch.nn.functional import linear

        return flow.y + linear(flow.x, state - _base(site))

    def delta(self, site: Site, config: DoRAConfig, weights: Weights) -> Tensor:
        """Return W' - W."""
        return changed(config, weights, _base(site)) - _base(site)

    def follows(self, config: DoRAConfig, below: Method, below_config: Any) -> str | None:
        """The magnitude is that of a weight, so whatever is below must leave one."""
        if below.run == self.run:
            return None
        both = set(config.parts) & set(below.parts(below_config))
        if not both:
            return None
        return f"it splits the base's weight of `{min(both)}`, which `{below.name}` changed before"

    def average(
        self,
        config: DoRAConfig,
        members: Sequence[Mapping[str, Tensor]],
        coefficients: Sequence[float],
    ) -> NoReturn:
        """Refuse: the mean of several W' is no W' of this form."""
        raise MethodError(
            "`dora` adapters have no average: the mean of their weights is not of this form",
            hint="average `lora` adapters, or stack these",
        )


def changed(config: DoRAConfig, weights: Weights, W: Tensor) -> Tensor:
    """Return W'."""
    V = W + (weights["B"] @ weights["A"]) * (config.alpha / config.rank)
    scale: Tensor = weights["m"] / V.detach().norm(dim=1)
    return V * scale[:, None]


def _base(site: Site) -> Tensor:
    assert site.weight is not None  # `check` allows linear parts only
    return site.weight


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return dora."""
    return [DoRA()]

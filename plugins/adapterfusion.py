"""AdapterFusion: attention over the outputs of several adapters that stand side by side.

Pfeiffer et al. 2021, https://aclanthology.org/2021.eacl-main.39, equations in section 3.2:

    s = softmax(h Q . z_n K),  z'_n = z_n V,  o = sum_n s_n z'_n

h is what the members read and z_n what member n left, residual included.  Q, K and V are trained
in a second stage, over frozen members; they know the members by their place, so an adapter depends
on exactly these, in this order: `stack(language, fuse(a, b), this)`.  V starts as the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from adapterhub_lite.errors import MethodError
from adapterhub_lite.families import BLOCK_PARTS
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import Flow, Method, Site, Weights
from adapterhub_lite.methods.config import MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FusionConfig(MethodConfig):
    """Config of `adapterfusion`."""

    members: tuple[str, ...] = option((), "digests of the members, in order")
    parts: tuple[str, ...] = option(("ffn_block",), f"blocks of the members: {BLOCK_PARTS}")

    def check(self) -> None:
        """Refuse parts that are not blocks."""
        for part in self.parts:
            if part not in BLOCK_PARTS:
                raise MethodError(
                    f"`adapterfusion` cannot fuse at part `{part}`",
                    hint=f"one of {', '.join(BLOCK_PARTS)}",
                )


class AdapterFusion(Method):
    """The AdapterFusion method; see the module's docstring."""

    name = "adapterfusion"
    Config = FusionConfig
    fuses = True

    def members(self, config: FusionConfig) -> tuple[str, ...]:
        """Return the members' digests."""
        return config.members

    def for_members(self, config: FusionConfig, digests: Sequence[str]) -> FusionConfig:
        """Return the config with these members in it."""
        return replace(config, members=tuple(digests))

    def init(self, site: Site, config: FusionConfig) -> dict[str, Tensor]:
        """Return Q, K and V (width, width)."""
        import torch

        return {
            "Q": torch.randn(site.width, site.width) * 0.02,
            "K": torch.randn(site.width, site.width) * 0.02,
            "V": torch.eye(site.width),
        }

    def fuse(
        self,
        site: Site,
        config: FusionConfig,
        weights: Weights,
        state: Tensor,
        outputs: Sequence[Tensor],
        *,
        flow: Flow,
    ) -> Tensor:
        """Return o for h and all z_n."""
        import torch

        z = torch.stack(list(outputs), dim=-2)
        query = (state @ weights["Q"]).unsqueeze(-2)
        s = (query * (z @ weights["K"])).sum(-1).softmax(-1)
        o: Tensor = (s.unsqueeze(-1) * (z @ weights["V"])).sum(-2)
        return o

    def step(
        self, site: Site, config: FusionConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> NoReturn:
        """Never called: without members there is nothing to attend to, and attaching is refused."""
        raise MethodError("`adapterfusion` needs members: `stack(fuse(a, b), this)`")


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return adapterfusion."""
    return [AdapterFusion()]

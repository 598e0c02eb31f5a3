"""LT-SFT: a few entries of the base's weights are changed; which ones, a first training finds out.

Ansell et al. 2022, https://aclanthology.org/2022.acl-long.125, section 3:

    1. train all entries from theta_0 to theta_1
    2. keep the K entries with the largest |theta_1 - theta_0|, and rewind to theta_0
    3. train those K only; phi = theta_2 - theta_0

Differences of a language and of a task are composed by addition, theta_0 + phi_l + phi_t.  Files
hold the K entries only.  Here they are of the linear parts' weights.  Attached with `merge=True`
they are added into the base's weights, whose old values are kept and put back bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterhub_lite.errors import MethodError
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import Method, Site, SiteMethod, Weights
from adapterhub_lite.methods.config import MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SFTConfig(MethodConfig):
    """Config of `sft`."""

    density: float = option(0.05, "K / number of entries")
    parts: tuple[str, ...] = option(
        ("query", "key", "value", "attention_out", "ffn_up", "ffn_down"),
        f"linear parts: {', '.join(LINEAR_PARTS)}",
    )

    def check(self) -> None:
        """Refuse densities outside (0, 1] and parts that are not linear."""
        if not 0 < self.density <= 1:
            raise MethodError(f"`sft` needs a density in (0, 1], found {self.density}")
        for part in self.parts:
            if part not in LINEAR_PARTS:
                raise MethodError(
                    f"`sft` cannot change part `{part}`", hint=f"one of {', '.join(LINEAR_PARTS)}"
                )


class SFT(SiteMethod):
    """The LT-SFT method; see the module's docstring.  Stacked, the differences add."""

    name = "sft"
    Config = SFTConfig
    sparse = True
    rounds = 2

    def init(self, site: Site, config: SFTConfig) -> dict[str, Tensor]:
        """Return phi (out, in), all zero."""
        import torch

        return {"phi": torch.zeros(site.width, site.in_width)}

    def transform(
        self, site: Site, config: SFTConfig, weights: Weights, x: Tensor, y: Tensor
    ) -> Tensor:
        """Return y + phi x."""
        from torch.nn.functional import linear

        return y + linear(x, weights["phi"])

    def delta(self, site: Site, config: SFTConfig, weights: Weights) -> Tensor:
        """Return phi."""
        return weights["phi"]

    def masks(self, config: SFTConfig, start: Weights, end: Weights) -> dict[str, Tensor]:
        """Return where the K entries are that the first round moved most, over all sites."""
        import torch

        keys = [key for key in start if key.endswith(".phi")]
        moved = torch.cat([(end[key] - start[key]).abs().flatten() for key in keys])
        mask = torch.zeros_like(moved, dtype=torch.bool)
        mask[moved.topk(max(1, round(config.density * moved.numel()))).indices] = True
        parts = torch.split(mask, [start[key].numel() for key in keys])
        return {key: part.view_as(start[key]) for key, part in zip(keys, parts, strict=True)}


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return sft."""
    return [SFT()]

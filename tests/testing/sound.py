"""A sound method to break, and its kit test: a low-rank change with a bias, written plainly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from adapterhub_lite.methods.base import MethodConfig, Site, SiteMethod, Weights
from adapterhub_lite.methods.config import option
from adapterhub_lite.testing import MethodSuite


@dataclass(frozen=True)
class SoundConfig(MethodConfig):
    rank: int = option(2, "rank of the change")
    alpha: float = option(6.0, "the change is scaled by alpha / rank")
    parts: tuple[str, ...] = option(("query", "ffn_up"), "linear parts")


class Sound(SiteMethod):
    name = "sound"
    Config: ClassVar[type[MethodConfig]] = SoundConfig

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        return {
            "A": torch.randn(config.rank, site.in_width) * 0.2,
            "B": torch.zeros(site.width, config.rank),
        }

    def transform(self, site: Site, config: Any, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
        return y + self.change(site, config, weights, x)

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        change: Tensor = x @ weights["A"].T @ weights["B"].T * (config.alpha / config.rank)
        return change

    def delta(self, site: Site, config: Any, weights: Weights) -> Tensor | None:
        change: Tensor = weights["B"] @ weights["A"] * (config.alpha / config.rank)
        return change


class SoundSuite(MethodSuite):
    """Not collected by its name: the tests call its checks one by one."""

    __test__ = False
    method = Sound()
    families = ("bert",)

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]) -> Tensor:
        return x @ (weight + 3.0 * own["B"] @ own["A"]).T + bias

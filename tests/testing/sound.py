"""Sound methods to break, and their kit tests: a low-rank change, and a learned mean of members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from adapterhub_lite.methods.base import Flow, Method, MethodConfig, Site, SiteMethod, Weights
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
    averages = "changes"

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

    def average(
        self, config: Any, members: Sequence[Mapping[str, Tensor]], coefficients: Sequence[float]
    ) -> tuple[Any, dict[str, Tensor]]:
        mean = {}
        for key in members[0]:
            tensors = [member[key] for member in members]
            if key.endswith("B"):
                scaled = [c * B for c, B in zip(coefficients, tensors, strict=True)]
                mean[key] = torch.cat(scaled, dim=1)
            else:
                mean[key] = torch.cat(tensors, dim=0)
        many = len(members)
        return replace(config, rank=config.rank * many, alpha=config.alpha * many), mean


class SoundSuite(MethodSuite):
    """Not collected by its name: the tests call its checks one by one."""

    __test__ = False
    method = Sound()
    families = ("bert",)

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]) -> Tensor:
        return x @ (weight + 3.0 * own["B"] @ own["A"]).T + bias


class DecoderSuite(SoundSuite):
    """The same on a decoder, for what only those can show: caches, later tokens, left padding."""

    __test__ = False
    families = ("llama",)


@dataclass(frozen=True)
class FusionConfig(MethodConfig):
    members: tuple[str, ...] = option((), "digests of the members")
    parts: tuple[str, ...] = option(("ffn_block",), "blocks of the members")


class SoundFusion(Method):
    name = "sound_fusion"
    Config: ClassVar[type[MethodConfig]] = FusionConfig
    fuses = True
    averages = "weights"

    def members(self, config: Any) -> tuple[str, ...]:
        found: tuple[str, ...] = config.members
        return found

    def for_members(self, config: Any, digests: Sequence[str]) -> Any:
        return replace(config, members=tuple(digests))

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        return {"share": torch.zeros(len(config.members), site.width)}

    def fuse(
        self,
        site: Site,
        config: Any,
        weights: Weights,
        state: Tensor,
        outputs: Sequence[Tensor],
        *,
        flow: Flow,
    ) -> Tensor:
        shares = self.shares(weights)
        mean: Tensor = (torch.stack(list(outputs), dim=-2) * shares).sum(-2)
        return mean

    def shares(self, weights: Weights) -> Tensor:
        return weights["share"].softmax(dim=0)

    def step(self, site: Site, config: Any, weights: Weights, flow: Flow, state: Tensor) -> Tensor:
        raise AssertionError("attaching it without members is refused")


class FusionSuite(MethodSuite):
    """As above, for a method that fuses."""

    __test__ = False
    method = SoundFusion()
    families = ("bert",)

    def expected_fusion(
        self, state: Tensor, outputs: tuple[Tensor, ...], own: dict[str, Tensor]
    ) -> Tensor:
        first, second = own["share"].exp()
        mean: Tensor = (outputs[0] * first + outputs[1] * second) / (first + second)
        return mean

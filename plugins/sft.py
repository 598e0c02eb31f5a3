"""LT-SFT: a few entries of the base's weights are changed; which ones, a first training finds out.

Ansell et al. 2022, https://aclanthology.org/2022.acl-long.125, section 3:

    1. train all entries from theta_0 to theta_1
    2. keep the K entries with the largest |theta_1 - theta_0|, and rewind to theta_0
    3. train those K only; phi = theta_2 - theta_0

Differences of a language and of a task are composed by addition, theta_0 + phi_l + phi_t.  Files
hold the K entries only.  As in the authors' training scripts, linear parts and embeddings change,
layer norms do not, and the output embedding stays as it was even where it is tied to the words'
embedding.  Attached with `merge=True`, the differences are added into the base's weights, whose old
values are kept and put back bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError, MethodError, WeightsError
from adapterhub_lite.exchange.converter import Converted, Converter, Reading, Writing, Written
from adapterhub_lite.families import LINEAR_PARTS, LOOKUP_PARTS, NORM_PARTS, OUTER_NORM_PARTS
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import Method, ModelShape, Site, SiteMethod, Weights
from adapterhub_lite.methods.config import MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.exchange.bases import BaseShape


@dataclass(frozen=True)
class SFTConfig(MethodConfig):
    """Config of `sft`."""

    density: float = option(0.05, "K / number of entries")
    parts: tuple[str, ...] = option(
        ("query", "key", "value", "attention_out", "ffn_up", "ffn_down"),
        f"linear parts: {', '.join(LINEAR_PARTS)}",
    )
    biases: bool = option(default=True, help="change biases, where the base has them")
    embeddings: bool = option(default=True, help="change the embeddings of words, positions, types")
    norms: bool = option(default=False, help="change the layer norms")

    def check(self) -> None:
        """Refuse densities outside (0, 1] and parts that are not linear."""
        if not 0 < self.density <= 1:
            raise MethodError(f"`sft` needs a density in (0, 1], found {self.density}")
        for part in self.parts:
            if part not in LINEAR_PARTS:
                raise MethodError(
                    f"`sft` cannot change part `{part}`", hint=f"one of {', '.join(LINEAR_PARTS)}"
                )

    def most(self, entries: int) -> int:
        """Return K."""
        return max(1, round(self.density * entries))


class SFT(SiteMethod):
    """The LT-SFT method; see the module's docstring.  Stacked, the differences add."""

    name = "sft"
    Config = SFTConfig
    scheme = "LT-SFT"
    averages = "changes"
    sparse = True
    rounds = 2

    def parts(self, config: SFTConfig) -> tuple[str, ...]:
        """Return the linear parts and layer norms of a layer."""
        return (*config.parts, *(NORM_PARTS if config.norms else ()))

    def sites(self, shape: ModelShape, config: SFTConfig, leave_out: Sequence[int]) -> list[Site]:
        """Return the sites in the layers, and those of the rest that this family has."""
        outside = (LOOKUP_PARTS if config.embeddings else ()) + (
            OUTER_NORM_PARTS if config.norms else ()
        )
        found = [shape.site(part) for part in outside]
        return [*(site for site in found if site), *super().sites(shape, config, leave_out)]

    def init(self, site: Site, config: SFTConfig) -> dict[str, Tensor]:
        """Return phi, of the weight's shape (a lookup's as a table), and the bias's; all zero."""
        import torch

        assert site.weight is not None  # every part that `sites` returns has one
        phi = {"phi": torch.zeros(_stored(site, site.weight).shape)}
        if config.biases and site.bias is not None:
            phi["phi_bias"] = torch.zeros(site.bias.shape)
        return phi

    def transform(
        self, site: Site, config: SFTConfig, weights: Weights, x: Tensor, y: Tensor
    ) -> Tensor:
        """Return y and what it changes by where the base's weights change by phi."""
        assert site.change is not None
        return y + site.change(x, weights["phi"], weights.get("phi_bias"))

    def delta(self, site: Site, config: SFTConfig, weights: Weights) -> Tensor:
        """Return the weight's phi."""
        return _stored(site, weights["phi"])

    def delta_bias(self, site: Site, config: SFTConfig, weights: Weights) -> Tensor | None:
        """Return the bias's phi."""
        return weights.get("phi_bias")

    def masks(self, config: SFTConfig, start: Weights, end: Weights) -> dict[str, Tensor]:
        """Return where the K entries are that the first round moved most, over all sites."""
        import torch

        keys = _own(start)
        moved = torch.cat([(end[key] - start[key]).abs().flatten() for key in keys])
        mask = torch.zeros_like(moved, dtype=torch.bool)
        mask[moved.topk(config.most(moved.numel())).indices] = True
        parts = torch.split(mask, [start[key].numel() for key in keys])
        return {key: part.view_as(start[key]) for key, part in zip(keys, parts, strict=True)}

    def check_weights(self, name: str, config: SFTConfig, weights: Weights) -> None:
        """Refuse more than K entries."""
        found, entries = _counted(weights)
        if found > config.most(entries):
            raise WeightsError(
                f"`{name}` changes {found} entries of {entries}; its config says a density of "
                f"{config.density}, which are {config.most(entries)}"
            )

    def average(
        self,
        config: SFTConfig,
        members: Sequence[Mapping[str, Tensor]],
        coefficients: Sequence[float],
    ) -> tuple[SFTConfig, dict[str, Tensor]]:
        """Return the mean of every difference; it has the members' places together."""
        config, mean = super().average(config, members, coefficients)
        found, entries = _counted(mean)
        return replace(config, density=max(config.density, found / entries)), mean


class LTSFT(Converter):
    """The authors' own files; what is not in one does not change."""

    name = "lt-sft"
    format = "lt-sft"
    method = "sft"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """All of them."""
        return True

    def read(self, reading: Reading) -> Converted:
        """Return the differences, and the config that covers them.

        Its density is the default one or, where more entries changed, the next whole percent: so
        adapters of one recipe have equal configs, whatever each found to change.
        """
        linear = tuple(p for p in LINEAR_PARTS if p in reading.base.anatomy.family.parts)
        every = _places(reading.base, SFTConfig(parts=linear, norms=True))
        there = {key: place for key, place in every.items() if key in reading.tensors}
        parts = {site.part for site, _ in there.values()}
        config = SFTConfig(
            parts=tuple(part for part in linear if part in parts),
            biases=any(name == "phi_bias" for _, name in there.values()),
            embeddings=bool(parts & set(LOOKUP_PARTS)),
            norms=bool(parts & {*NORM_PARTS, *OUTER_NORM_PARTS}),
        )
        weights: dict[str, Tensor] = {}
        for key, (site, name) in _places(reading.base, config).items():
            blank = SFT().init(site, config)[name]
            weights[f"{site.key}.{name}"] = reading.tensors.take(key) if key in there else blank
        changed, entries = _counted(weights)
        density = max(SFTConfig.density, math.ceil(100 * changed / entries) / 100)
        return Converted(replace(config, density=density), weights)

    def write(self, writing: Writing) -> Written:
        """Return the differences by the names of the base's parameters."""
        places = _places(writing.base, writing.config, writing.leave_out)
        tensors = {
            key: writing.weights[f"{site.key}.{name}"] for key, (site, name) in places.items()
        }
        return Written({}, tensors)


def _places(
    base: BaseShape, config: SFTConfig, leave_out: Sequence[int] = ()
) -> dict[str, tuple[Site, str]]:
    """Return site and weight by the name of the parameter, from the trunk on."""
    places = {}
    for site in SFT().sites(base.anatomy, config, leave_out):
        path = base.path(site.part, site.layer)
        if f"{path}.weight" in places:
            raise ExchangeError(f"several parts are slices of `{path}.weight` in this family")
        places[f"{path}.weight"] = (site, "phi")
        if config.biases and site.bias is not None:
            places[f"{path}.bias"] = (site, "phi_bias")
    return places


def _stored(site: Site, weight: Tensor) -> Tensor:
    """Return a weight the way it is stored; or, of a stored one, the way a site has it."""
    return weight.t() if site.part in LOOKUP_PARTS else weight


def _own(weights: Weights) -> list[str]:
    return [key for key in weights if key.endswith((".phi", ".phi_bias"))]


def _counted(weights: Weights) -> tuple[int, int]:
    """Return how many entries are not zero, and how many there are."""
    own = [weights[key] for key in _own(weights)]
    return sum(int(t.count_nonzero()) for t in own), sum(t.numel() for t in own)


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return sft."""
    return [SFT()]


@hookimpl
def ahl_converters() -> Sequence[Converter]:
    """Return the one to and from the authors' files."""
    return [LTSFT()]

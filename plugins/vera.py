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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from adapterhub_lite.errors import ExchangeError, MethodError
from adapterhub_lite.exchange.converter import Converted, Converter, Reading, Writing, Written
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods import places
from adapterhub_lite.methods.base import Method, ModelShape, Site, SiteMethod, Weights
from adapterhub_lite.methods.config import WIDEST, MethodConfig, option

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from adapterhub_lite.exchange.bases import BaseShape


@dataclass(frozen=True)
class VeRAConfig(MethodConfig):
    """Config of `vera`."""

    rank: int = option(256, "r, the inner width of the random matrices", at_most=WIDEST)
    seed: int = option(0, "what A and B are drawn from; part of the adapter")
    d_start: float = option(0.1, "first value of d")
    parts: tuple[str, ...] = option(("query", "value"), f"linear parts: {', '.join(LINEAR_PARTS)}")
    sites: tuple[str, ...] = option(
        (), "single sites in place of `parts`, such as `query.0`", omit_default=True
    )
    drawn: tuple[int, ...] = option(
        (),
        "(out, in): draw one pair A, B of this shape and cut all others out of it, as peft does",
        omit_default=True,
    )
    stored: bool = option(False, "that pair is kept with the weights", omit_default=True)

    def check(self) -> None:
        """Refuse ranks below one and parts that are not linear."""
        if self.rank < 1:
            raise MethodError(f"`vera` needs a rank of at least 1, found {self.rank}")
        for part in self.parts:
            if part not in LINEAR_PARTS:
                raise MethodError(
                    f"`vera` cannot change part `{part}`", hint=f"one of {', '.join(LINEAR_PARTS)}"
                )
        places.check_sites(self.sites, "vera")
        if len(self.drawn) not in (0, 2) or (self.stored and not self.drawn):
            raise MethodError(f"`vera` needs `drawn` as two numbers, found {self.drawn}")


class VeRA(SiteMethod):
    """The VeRA method; see the module's docstring.  Stacked, the changes add."""

    name = "vera"
    Config = VeRAConfig

    def parts(self, config: VeRAConfig) -> tuple[str, ...]:
        """Return the parts that are touched in some layer."""
        return places.parts_of(config.sites) if config.sites else config.parts

    def sites(self, shape: ModelShape, config: VeRAConfig, leave_out: Sequence[int]) -> list[Site]:
        """Return the parts in every layer, or the sites that the config names."""
        if config.sites:
            return places.sites_named(shape, config.sites, leave_out, self.name)
        return super().sites(shape, config, leave_out)

    def init_shared(self, shape: ModelShape, config: VeRAConfig) -> dict[str, Tensor]:
        """Return A (r, in) and B (out, r) where they are kept."""
        import torch

        if not config.stored:
            return {}
        out, width = config.drawn
        return {"A": torch.zeros(config.rank, width), "B": torch.zeros(out, config.rank)}

    def init(self, site: Site, config: VeRAConfig) -> dict[str, Tensor]:
        """Return d (r) and b (out)."""
        import torch

        return {"d": torch.full((config.rank,), config.d_start), "b": torch.zeros(site.width)}

    def transform(
        self, site: Site, config: VeRAConfig, weights: Weights, x: Tensor, y: Tensor
    ) -> Tensor:
        """Return y + b * B (d * A x)."""
        from torch.nn.functional import linear

        A, B = _matrices(site, config, weights, x)
        return y + weights["b"] * linear(weights["d"] * linear(x, A), B)

    def delta(self, site: Site, config: VeRAConfig, weights: Weights) -> Tensor:
        """Return L_b B L_d A."""
        A, B = _matrices(site, config, weights, weights["d"])
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


def _matrices(
    site: Site, config: VeRAConfig, weights: Weights, like: Tensor
) -> tuple[Tensor, Tensor]:
    kind: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
    if not config.drawn:
        return draw(config.seed, config.rank, site.in_width, site.width, **kind)
    out, width = config.drawn
    if config.stored:
        A, B = weights["A"], weights["B"]
    else:
        A, B = draw(config.seed, config.rank, width, out, **kind)
    return A[:, : site.in_width], B[site.start : site.start + site.width]


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


class PeftVeRA(Converter):
    """VeRA in peft's files: one A and one B as large as the largest part; others are cut out."""

    name = "peft-vera"
    format = "peft"
    method = "vera"
    kinds: Mapping[str, tuple[type, ...]] = {
        "bias": (str,),
        "d_initial": (int, float),
        "init_weights": (bool,),
        "projection_prng_key": (int,),
        "r": (int,),
        "save_projection": (bool,),
        "vera_dropout": (int, float),
    }

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether it is VeRA."""
        return config.get("peft_type") == "VERA"

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; A and B are kept only where they are not what the seed gives."""
        from adapterhub_lite.exchange import peft_config, peft_targets
        from adapterhub_lite.exchange.peft_extras import of_site, shaped

        config, base = reading.config, reading.base
        peft_config.check(config, self.kinds, {}, method="VeRA")
        if config.get("bias", "none") != "none":
            raise ExchangeError(f"`bias` {config['bias']!r} of VeRA has no form here")
        rank = int(peft_config.positive(config, "r", 256))
        weights: dict[str, Tensor] = {}
        keys: list[str] = []
        paths = peft_targets.placed(reading, ["vera_lambda_b"])
        for path in paths:
            sites = base.sites_at(path)
            width = sum(site.width for site in sites)
            b = shaped(reading, f"{path}.vera_lambda_b", (width,))
            d = shaped(reading, f"{path}.vera_lambda_d", (rank,))
            for site in sites:
                keys.append(site.key)
                weights |= {f"{site.key}.d": d.clone(), f"{site.key}.b": of_site(site, b)}
        outside = [key for key in keys if places.split(key)[0] not in LINEAR_PARTS]
        if outside:
            raise ExchangeError(f"VeRA at `{outside[0]}` has no form here")
        out, width = _largest(base, paths)
        parts, names, leave_out = peft_targets.normal_form(keys, base)
        made = VeRAConfig(
            rank=rank,
            seed=int(config.get("projection_prng_key", 0)),
            d_start=float(config.get("d_initial", 0.1)),
            parts=parts,
            sites=names,
            drawn=(out, width),
        )
        if "vera_A" in reading.tensors:
            pair = (
                shaped(reading, "vera_A", (rank, width)),
                shaped(reading, "vera_B", (out, rank)),
            )
            made, kept = _kept(made, pair)
            weights |= kept
        return Converted(made, weights, leave_out)

    def write(self, writing: Writing) -> Written:
        """Return peft's config and tensors, A and B among them."""
        from adapterhub_lite.exchange import peft_lora_write, peft_targets

        base, weights = writing.base, writing.weights
        keys = [key.removesuffix(".b") for key in weights if key.endswith(".b")]
        paths = list(dict.fromkeys(base.module_of(key) for key in keys))
        A, B = _pair(writing, paths)
        tensors: dict[str, Tensor] = {"vera_A": A, "vera_B": B}
        for path in paths:
            tensors |= _vectors(writing, path)
        values = {
            "bias": "none",
            "d_initial": writing.config.d_start,
            "fan_in_fan_out": peft_lora_write.transposed(writing, paths),
            "peft_type": "VERA",
            "projection_prng_key": writing.config.seed,
            "r": writing.config.rank,
            "save_projection": True,
            "target_modules": peft_targets.short_names(paths, base),
        }
        return Written(values, tensors)


def _largest(base: BaseShape, paths: Sequence[str]) -> tuple[int, int]:
    sites = [base.sites_at(path) for path in paths]
    return max(sum(s.width for s in some) for some in sites), max(s[0].in_width for s in sites)


def _kept(config: VeRAConfig, pair: tuple[Tensor, Tensor]) -> tuple[VeRAConfig, dict[str, Tensor]]:
    """Return config and weights with A and B as they are, unless the seed gives them."""
    import torch

    (out, width), like = config.drawn, pair[0].float()
    own = draw(config.seed, config.rank, width, out, dtype=like.dtype, device=like.device)
    if all(torch.equal(a, b.float()) for a, b in zip(own, pair, strict=True)):
        return config, {}
    return replace(config, stored=True), {"shared.A": pair[0], "shared.B": pair[1]}


def _pair(writing: Writing, paths: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return A and B for all modules, cut to the largest of them."""
    import torch

    config, base = writing.config, writing.base
    out, width = _largest(base, paths)
    sites = [site for path in paths for site in base.sites_at(path)]
    if not config.drawn and len({(s.width, s.in_width, s.start) for s in sites}) > 1:
        raise ExchangeError(
            "this adapter draws A and B for every shape of a part, peft one pair for all",
            hint="give it parts of one shape, or train it with `--set drawn=OUT,IN`",
        )
    like = torch.zeros(1)
    site = replace(sites[0], in_width=width, width=out, start=0)
    shared = {key: writing.weights.get(f"shared.{key}", like) for key in "AB"}
    A, B = _matrices(site, config, shared, like)
    return A, B


def _vectors(writing: Writing, path: str) -> dict[str, Tensor]:
    import torch

    weights = writing.weights
    sites = writing.base.sites_at(path)
    own = [weights[f"{site.key}.d"] for site in sites if f"{site.key}.d" in weights]
    if not all(torch.equal(d, own[0]) for d in own):
        raise ExchangeError(f"peft has one d for the whole of `{path}`, this adapter one a part")
    b = [weights.get(f"{site.key}.b", torch.zeros(site.width)) for site in sites]
    return {f"{path}.vera_lambda_d": own[0], f"{path}.vera_lambda_b": torch.cat(b)}


@hookimpl
def ahl_converters() -> Sequence[Converter]:
    """Return how peft spells it."""
    return [PeftVeRA()]


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return vera."""
    return [VeRA()]

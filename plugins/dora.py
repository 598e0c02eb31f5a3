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

from adapterhub_lite.errors import ExchangeError, MethodError
from adapterhub_lite.exchange.converter import Converted, Converter, Reading, Writing, Written
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods import places
from adapterhub_lite.methods.base import Flow, Method, ModelShape, Site, Weights
from adapterhub_lite.methods.config import WIDEST, MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DoRAConfig(MethodConfig):
    """Config of `dora`."""

    rank: int = option(8, "r, the rank of the direction's change", at_most=WIDEST)
    alpha: float = option(16.0, "scaling: alpha / r")
    parts: tuple[str, ...] = option(("query", "value"), f"linear parts: {', '.join(LINEAR_PARTS)}")
    sites: tuple[str, ...] = option(
        (), "single sites in place of `parts`, such as `query.0`", omit_default=True
    )
    ranks: tuple[str, ...] = option((), "other ranks: `query.0=16`", omit_default=True)
    alphas: tuple[str, ...] = option((), "other alphas: `query.0=32`", omit_default=True)

    def check(self) -> None:
        """Refuse ranks below one and parts that are not linear."""
        if self.rank < 1:
            raise MethodError(f"`dora` needs a rank of at least 1, found {self.rank}")
        for part in self.parts:
            if part not in LINEAR_PARTS:
                raise MethodError(
                    f"`dora` cannot change part `{part}`", hint=f"one of {', '.join(LINEAR_PARTS)}"
                )
        places.check_sites(self.sites, "dora")
        if any(r > WIDEST for r in places.numbers(self.ranks, "dora").values()):
            raise MethodError(f"`dora` needs ranks up to {WIDEST}, found {self.ranks}")

    def rank_at(self, key: str) -> int:
        """Return the rank at a site."""
        return int(places.numbers(self.ranks, "dora").get(key, self.rank))

    def scaling_at(self, key: str) -> float:
        """Return the factor s at a site."""
        alpha = places.numbers(self.alphas, "dora").get(key, self.alpha)
        return alpha / self.rank_at(key)


class DoRA(Method):
    """The DoRA method; see the module's docstring.

    The state of a run is a weight: an adapter on another one splits the weight that it left.
    """

    name = "dora"
    run = "dora"
    Config = DoRAConfig

    def parts(self, config: DoRAConfig) -> tuple[str, ...]:
        """Return the parts that are touched in some layer."""
        return places.parts_of(config.sites) if config.sites else config.parts

    def sites(self, shape: ModelShape, config: DoRAConfig, leave_out: Sequence[int]) -> list[Site]:
        """Return the parts in every layer, or the sites that the config names."""
        if config.sites:
            return places.sites_named(shape, config.sites, leave_out, self.name)
        return super().sites(shape, config, leave_out)

    def init(self, site: Site, config: DoRAConfig) -> dict[str, Tensor]:
        """Return A (r, in), B (out, r) and m (out)."""
        import torch

        rank = config.rank_at(site.key)
        return {
            "A": torch.randn(rank, site.in_width) / math.sqrt(site.in_width),
            "B": torch.zeros(site.width, rank),
            "m": places.copied(_base(site)).norm(dim=1),
        }

    def begin(self, site: Site, config: DoRAConfig, flow: Flow) -> Tensor:
        """Return W."""
        return _base(site)

    def step(
        self, site: Site, config: DoRAConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        """Return W' for the W in `state`."""
        return changed(config.scaling_at(site.key), weights, state)

    def end(self, site: Site, config: DoRAConfig, flow: Flow, state: Tensor) -> Tensor:
        """Return y + (W' - W) x."""
        from torch.nn.functional import linear

        return flow.y + linear(flow.x, state - _base(site))

    def delta(self, site: Site, config: DoRAConfig, weights: Weights) -> Tensor:
        """Return W' - W."""
        return changed(config.scaling_at(site.key), weights, _base(site)) - _base(site)

    def follows(self, config: DoRAConfig, below: Method, below_config: Any) -> str | None:
        """The magnitude is that of a weight, so whatever is below must leave one."""
        if below.run == self.run:
            return None
        both = set(self.parts(config)) & set(below.parts(below_config))
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


def changed(s: float, weights: Weights, W: Tensor) -> Tensor:
    """Return W'."""
    V = W + (weights["B"] @ weights["A"]) * s
    scale: Tensor = weights["m"] / V.detach().norm(dim=1)
    return V * scale[:, None]


def _base(site: Site) -> Tensor:
    assert site.weight is not None  # `check` allows linear parts only
    return site.weight


class PeftDoRA(Converter):
    """DoRA in peft's files: LoRA with `use_dora`; m is `lora_magnitude_vector`."""

    name = "peft-dora"
    format = "peft"
    method = "dora"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether it is LoRA with `use_dora`."""
        return config.get("peft_type") == "LORA" and bool(config.get("use_dora"))

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; a rank-stabilised scaling becomes a larger alpha."""
        from adapterhub_lite.exchange import peft_lora, peft_targets

        config = reading.config
        peft_lora.check_config(config)
        for key in ("lora_bias", "trainable_token_indices"):
            if config.get(key):
                raise ExchangeError(f"`{key}` together with DoRA has no form here")
        if config.get("bias", "none") != "none":
            raise ExchangeError(f"`bias` {config['bias']!r} together with DoRA has no form here")
        found = peft_lora.low_rank(reading, "lora_magnitude_vector")
        _only_linear(found.sites)
        if config.get("use_rslora"):
            found.alphas = {k: a * math.sqrt(found.ranks[k]) for k, a in found.alphas.items()}
        parts, sites, leave_out = peft_targets.normal_form(found.sites, reading.base)
        rank, alpha = peft_lora.rank_and_alpha(config)
        alpha *= math.sqrt(rank) if config.get("use_rslora") else 1
        ranks, alphas = found.other(rank, alpha)
        made = DoRAConfig(
            rank=rank, alpha=alpha, parts=parts, sites=sites, ranks=ranks, alphas=alphas
        )
        return Converted(made, found.weights, leave_out)

    def write(self, writing: Writing) -> Written:
        """Return peft's config and tensors."""
        from adapterhub_lite.exchange import peft_lora_write, peft_targets

        config = writing.config
        sites = [key.removesuffix(".A") for key in writing.weights if key.endswith(".A")]
        changes = peft_lora_write.by_module(writing, sites, ("m",))
        tensors = {}
        for path, change in changes.items():
            missing = {site.key for site in writing.base.sites_at(path)} - set(sites)
            if missing:
                raise ExchangeError(
                    f"peft changes `{path}` as a whole, this adapter leaves out `{min(missing)}`"
                )
            tensors[f"{path}.lora_A.weight"] = change.A
            tensors[f"{path}.lora_B.weight"] = change.B
            tensors[f"{path}.lora_magnitude_vector"] = change.more["m"]
        values = {
            **peft_lora_write.numbers(changes, config.rank, config.alpha),
            "fan_in_fan_out": peft_lora_write.transposed(writing, list(changes)),
            "peft_type": "LORA",
            "target_modules": peft_targets.short_names(list(changes), writing.base),
            "use_dora": True,
        }
        return Written(values, tensors)


def _only_linear(keys: Sequence[str]) -> None:
    for key in keys:
        if places.split(key)[0] not in LINEAR_PARTS:
            raise ExchangeError(f"DoRA at `{key}` has no form here, only at linear parts of layers")


# ---------------------------------------------------------------------------- adapters' files


class AdapterHubDoRA(Converter):
    """DoRA in `adapters`: a LoRA config with `use_dora`; m is `m.weight`.

    That library divides by the norm of W + B A, unscaled, and rescales a bias along.  So what it
    trained is of this form only with a scaling of 1, and at parts without bias.
    """

    name = "adapterhub-dora"
    format = "adapterhub"
    method = "dora"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether it is LoRA with `use_dora`."""
        lora = config.get("architecture") == "lora" and config.get("vera_d") is None
        return lora and bool(config.get("use_dora"))

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; see `Converter.read`."""
        from adapterhub_lite.exchange import adapterhub_lora as lora

        options = lora.lora_options(reading.config)
        if options["r"] != options["alpha"]:
            raise ExchangeError(
                f"config `alpha` is {options['alpha']} with `r` {options['r']}: `adapters` scales "
                "a DoRA's change and not its norm, which is no DoRA"
            )
        parts = lora.lora_parts(options, reading.base)
        sites = lora.lora_sites(parts, options["leave_out"], reading.base)
        _without_bias(sites, reading)
        weights = {}
        for site, path in sites:
            for theirs, ours in (("lora_A", "A"), ("lora_B", "B")):
                weights[f"{site}.{ours}"] = reading.tensors.take(f"{path}.{theirs}")
            weights[f"{site}.m"] = reading.tensors.take(f"{path}.m.weight").flatten()
        config = DoRAConfig(rank=options["r"], alpha=float(options["alpha"]), parts=parts)
        return Converted(config, weights, tuple(sorted(set(options["leave_out"]))))


def _without_bias(sites: Sequence[tuple[str, str]], reading: Reading) -> None:
    for key, _ in sites:
        part, _, layer = key.partition(".")
        site = reading.base.anatomy.site(part, int(layer))
        if site is None or site.bias is not None:
            raise ExchangeError(
                f"`adapters` rescales the bias of `{part}` as well, which is no DoRA"
            )


@hookimpl
def ahl_converters() -> Sequence[Converter]:
    """Return how peft and adapters spell it."""
    return [PeftDoRA(), AdapterHubDoRA()]


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return dora."""
    return [DoRA()]

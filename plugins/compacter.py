"""Compacter: a bottleneck whose matrices are sums of Kronecker products, one factor shared by all.

Karimi Mahabadi, Henderson & Ruder 2021, https://arxiv.org/abs/2106.04647, equations 4 to 6:

    W = sum_i  A_i (x) (s_i t_i),     i = 1..n

The A_i (n by n) are shared by all layers and both projections; s_i and t_i, of rank r, are each
matrix's own.  Placements, residual and norm are those of the bottleneck: `houlsby` is Compacter,
`pfeiffer` the variant after the feed-forward block only that stands on MAD-X language adapters.
s of the up-projection starts at zero: a fresh adapter is the identity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from adapterhub_lite.errors import ExchangeError, MethodError
from adapterhub_lite.exchange.converter import Converted, Converter, Reading, Writing, Written
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import Flow, Method, ModelShape, Site, Weights
from adapterhub_lite.methods.bottleneck import Bottleneck, BottleneckConfig
from adapterhub_lite.methods.config import SMALLEST_REDUCTION, WIDEST, MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor

BOTTLENECK = Bottleneck()


@dataclass(frozen=True)
class CompacterConfig(MethodConfig):
    """Config of `compacter`."""

    placement: Literal["houlsby", "pfeiffer", "parallel"] = option(
        "houlsby", "after both blocks, after the feed-forward block, or beside it"
    )
    reduction: float = option(32.0, "hidden size / bottleneck size", at_least=SMALLEST_REDUCTION)
    n: int = option(
        4, "number of Kronecker products; divides hidden and bottleneck size", at_most=WIDEST
    )
    rank: int = option(1, "r, the rank of s_i t_i", at_most=WIDEST)
    activation: str = option("gelu_new", "non-linearity, as for `bottleneck`")
    stacking: Literal["shared", "chained"] = option(
        "shared", "how it reads an adapter below, as for `bottleneck`", omit_default=True
    )
    shared_rule: bool = option(
        True, "one A for all, or one for every projection", omit_default=True
    )

    def check(self) -> None:
        """Refuse sizes below one, and what `bottleneck` refuses."""
        if self.n < 1 or self.rank < 1:
            raise MethodError("`compacter` needs n and rank of at least 1")
        self.dense()

    def dense(self) -> BottleneckConfig:
        """Return the config of the bottleneck with the same matrices written out."""
        return BottleneckConfig(
            placement=self.placement,
            reduction=self.reduction,
            activation=self.activation,
            stacking=self.stacking,
        )


class Compacter(Method):
    """The Compacter method; see the module's docstring."""

    name = "compacter"
    run = Bottleneck.run
    Config = CompacterConfig

    def parts(self, config: CompacterConfig) -> tuple[str, ...]:
        """Return the blocks of the placement."""
        return BOTTLENECK.parts(config.dense())

    def init_shared(self, shape: ModelShape, config: CompacterConfig) -> dict[str, Tensor]:
        """Return the A_i (n, n, n), scaled so that W is as large as its s_i t_i."""
        return {"A": _rule(config)} if config.shared_rule else {}

    def init(self, site: Site, config: CompacterConfig) -> dict[str, Tensor]:
        """Return s (n, out / n, r), t (n, r, in / n) and the bias of both projections."""
        import torch

        n, r = config.n, config.rank
        inner = max(1, int(site.width // config.reduction))
        for size, what in ((site.width, "hidden size"), (inner, "bottleneck size")):
            if size % n:
                raise MethodError(
                    f"`compacter` with n = {n} cannot divide the {what} {size}",
                    hint="set `n` or `reduction` to fit",
                )
        own = {} if config.shared_rule else {"down_A": _rule(config), "up_A": _rule(config)}
        return {
            **own,
            "down_s": torch.randn(n, inner // n, r) / math.sqrt(r),
            "down_t": torch.randn(n, r, site.width // n) * 0.02,
            "down_bias": torch.zeros(inner),
            "up_s": torch.zeros(n, site.width // n, r),
            "up_t": torch.randn(n, r, inner // n) / math.sqrt(r),
            "up_bias": torch.zeros(site.width),
        }

    def begin(self, site: Site, config: CompacterConfig, flow: Flow) -> Tensor:
        """Return what the bottleneck reads at this placement."""
        return BOTTLENECK.begin(site, config.dense(), flow)

    def step(
        self, site: Site, config: CompacterConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        """Write the matrices out and do as the bottleneck does."""
        down_A, up_A = (weights["A" if config.shared_rule else f"{n}_A"] for n in ("down", "up"))
        matrices = {
            "down": kronecker(down_A, weights["down_s"], weights["down_t"]),
            "down_bias": weights["down_bias"],
            "up": kronecker(up_A, weights["up_s"], weights["up_t"]),
            "up_bias": weights["up_bias"],
        }
        return BOTTLENECK.step(site, config.dense(), matrices, flow, state)

    def follows(self, config: CompacterConfig, below: Method, below_config: Any) -> str | None:
        """As for the bottleneck: one placement for all."""
        return BOTTLENECK.follows(config.dense(), below, below_config)

    def average(
        self,
        config: CompacterConfig,
        members: Sequence[Mapping[str, Tensor]],
        coefficients: Sequence[float],
    ) -> NoReturn:
        """Refuse: the products of mean factors are not the mean of the products."""
        raise MethodError(
            "`compacter` adapters have no average: the mean of their matrices is not of this form",
            hint="average `bottleneck` adapters",
        )


def _rule(config: CompacterConfig) -> Tensor:
    import torch

    return torch.randn(config.n, config.n, config.n) / math.sqrt(config.n)


def kronecker(A: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Return the sum over i of A_i (x) (s_i t_i)."""
    import torch

    blocks = torch.einsum("ipq,iuv->puqv", A, s @ t)
    return blocks.reshape(A.shape[1] * s.shape[1], A.shape[2] * t.shape[2])


class AdapterHubCompacter(Converter):
    """Compacter in `adapters`: a bottleneck with `phm_layer`; matrices act from the right there.

    So its rule, W_left and W_right are the transposes of our A, t and s.
    """

    name = "adapterhub-compacter"
    format = "adapterhub"
    method = "compacter"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a config is of a bottleneck whose matrices are Kronecker products."""
        return config.get("architecture") is None and bool(config.get("phm_layer"))

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; see `Converter.read`."""
        from adapterhub_lite.exchange import adapterhub_bottleneck, adapterhub_keys

        options = reading.config
        dense = adapterhub_bottleneck.read_options(options, reading.base)
        config = _config_of(options, dense.config)
        take, weights = reading.tensors.take, {}

        def rule(place: str) -> Tensor:
            if not options["factorized_phm_rule"]:
                return take(f"{place}phm_rule").mT
            return (take(f"{place}phm_rule_left") @ take(f"{place}phm_rule_right")).mT

        if config.shared_rule:
            weights["shared.A"] = rule("shared_parameters.")
        sites = adapterhub_bottleneck.blocks_of(dense.config, dense.leave_out, reading.base)
        for block, layer in sites:
            path = adapterhub_keys.block_path(reading.base, block, layer)
            for name, place in (("down", "adapter_down.0"), ("up", "adapter_up")):
                own, there = f"{block}.{layer}.{name}", f"{path}.{place}."
                if not config.shared_rule:
                    weights[f"{own}_A"] = rule(there)
                weights[f"{own}_t"] = take(f"{there}W_left").mT
                weights[f"{own}_s"] = take(f"{there}W_right").mT
                bias = f"{own}_bias"
                weights[bias] = take(f"{there}b") if options["phm_bias"] else _none(weights, own)
        return Converted(config, weights, dense.leave_out, dense.notes)

    def write(self, writing: Writing) -> Written:
        """Return the library's form; see `Converter.write`."""
        from adapterhub_lite.exchange import adapterhub_bottleneck, adapterhub_keys

        config: CompacterConfig = writing.config
        own, tensors = writing.weights, {}
        if config.shared_rule:
            tensors["shared_parameters.phm_rule"] = own["shared.A"].mT
        dense = config.dense()
        sites = adapterhub_bottleneck.blocks_of(dense, writing.leave_out, writing.base)
        for block, layer in sites:
            path = adapterhub_keys.block_path(writing.base, block, layer)
            for name, place in (("down", "adapter_down.0"), ("up", "adapter_up")):
                ours, there = f"{block}.{layer}.{name}", f"{path}.{place}."
                if not config.shared_rule:
                    tensors[f"{there}phm_rule"] = own[f"{ours}_A"].mT
                tensors[f"{there}W_left"] = own[f"{ours}_t"].mT
                tensors[f"{there}W_right"] = own[f"{ours}_s"].mT
                tensors[f"{there}b"] = own[f"{ours}_bias"]
        options = {
            **adapterhub_bottleneck.options_of(dense),
            "phm_layer": True,
            "phm_dim": config.n,
            "phm_rank": config.rank,
            "shared_phm_rule": config.shared_rule,
        }
        return Written(options, tensors)


def _config_of(options: Mapping[str, Any], dense: BottleneckConfig) -> CompacterConfig:
    """Return the config, and refuse what only bottlenecks with ordinary matrices have here."""
    config = CompacterConfig.from_mapping(
        {
            "placement": dense.placement,
            "reduction": dense.reduction,
            "n": options["phm_dim"],
            "rank": options["phm_rank"],
            "activation": dense.activation,
            "stacking": dense.stacking,
            "shared_rule": options["shared_phm_rule"],
        }
    )
    own, wanted = config.dense().to_mapping(), dense.to_mapping()
    odd = [key for key in {**own, **wanted} if key != "init" and own.get(key) != wanted.get(key)]
    if odd:
        raise ExchangeError(f"`compacter` has no `{odd[0]}`, which the config sets")
    if options["shared_W_phm"] or not options["factorized_phm_W"]:
        raise ExchangeError("config `shared_W_phm` or `factorized_phm_W` is not as published")
    return config


def _none(weights: Mapping[str, Tensor], own: str) -> Tensor:
    """Return a bias of zeros for a projection that has none."""
    n, out, _ = weights[f"{own}_s"].shape
    return weights[f"{own}_s"].new_zeros(n * out)


@hookimpl
def ahl_converters() -> Sequence[Converter]:
    """Return how `adapters` spells Compacter."""
    return [AdapterHubCompacter()]


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return compacter."""
    return [Compacter()]

"""AdapterFusion: attention over the outputs of several adapters that stand side by side.

Pfeiffer et al. 2021, https://aclanthology.org/2021.eacl-main.39, equations in section 3.2:

    s = softmax(h Q . z_n K),  z'_n = z_n V,  o = sum_n s_n z'_n

h is what the members read and z_n what member n left, residual included.  Q, K and V are trained
in a second stage, over frozen members; they know the members by their place, so an adapter depends
on exactly these, in this order: `stack(language, fuse(a, b), this)`.  V starts as the identity.

The library `adapters` computes it another way (`reads="change"`): z_n is what member n adds, Q and
K have biases, h is the block's result, and the residual is added to o.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from adapterhub_lite.errors import ExchangeError, MethodError
from adapterhub_lite.exchange.converter import Converted, Converter, Reading
from adapterhub_lite.families import BLOCK_PARTS
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import Flow, Method, Site, Weights
from adapterhub_lite.methods.bottleneck import Bottleneck
from adapterhub_lite.methods.config import MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.adapter import Adapter


@dataclass(frozen=True)
class FusionConfig(MethodConfig):
    """Config of `adapterfusion`."""

    members: tuple[str, ...] = option((), "digests of the members, in order")
    parts: tuple[str, ...] = option(("ffn_block",), f"blocks of the members: {BLOCK_PARTS}")
    reads: Literal["output", "change"] = option(
        "output",
        "z_n: what a member leaves (as published), or what it adds (as the library `adapters`)",
        omit_default=True,
    )
    query: Literal["state", "normed"] = option(
        "state", "h: what the members read, or the block's result for it", omit_default=True
    )
    bias: bool = option(False, "Q and K have biases", omit_default=True)

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

        biases = ("Q_bias", "K_bias") if config.bias else ()
        return {
            "Q": torch.randn(site.width, site.width) * 0.02,
            "K": torch.randn(site.width, site.width) * 0.02,
            "V": torch.eye(site.width),
            **{name: torch.zeros(site.width) for name in biases},
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

        h, z, r = state, torch.stack(list(outputs), dim=-2), None
        if config.query == "normed":
            h = _normed(flow, state)
        if config.reads == "change":
            r = flow.y if state is flow.normed else state
            z = z - r.unsqueeze(-2)
        query, key = h @ weights["Q"], z @ weights["K"]
        if config.bias:
            query, key = query + weights["Q_bias"], key + weights["K_bias"]
        s = (query.unsqueeze(-2) * key).sum(-1).softmax(-1)
        o: Tensor = (s.unsqueeze(-1) * (z @ weights["V"])).sum(-2)
        return o if r is None else o + r

    def step(
        self, site: Site, config: FusionConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> NoReturn:
        """Never called: without members there is nothing to attend to, and attaching is refused."""
        raise MethodError("`adapterfusion` needs members: `stack(fuse(a, b), this)`")


def _normed(flow: Flow, state: Tensor) -> Tensor:
    """Return the block's result for what the members read."""
    if state is flow.y or state is flow.normed:
        assert flow.normed is not None
        return flow.normed
    assert flow.norm is not None
    return flow.norm(state)


_SWITCHES = {"key": True, "query": True, "query_before_ln": False}
_SWITCHES |= {"residual_before": False, "temperature": False}
_IGNORED = ("regularization", "value_before_softmax", "value_initialized", "dropout_prob")


class AdapterHubFusion(Converter):
    """AdapterFusion in `adapters`: a folder of its own, over members that come in before it."""

    name = "adapterhub-fusion"
    format = "adapterhub"
    method = "adapterfusion"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a folder holds a fusion."""
        return config.get("architecture") == "fusion"

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; see `Converter.read`."""
        import torch

        from adapterhub_lite.exchange.adapterhub_keys import fusion_path

        _check(reading.config)
        members = _members(reading)
        first = members[0].manifest
        parts = tuple(first.config["blocks"]) if first.config.get("blocks") else ("ffn_block",)
        if first.config["placement"] == "houlsby" and not first.config.get("blocks"):
            parts = BLOCK_PARTS
        config = FusionConfig(
            members=tuple(member.digest for member in members),
            parts=parts,
            reads="change",
            query="normed" if first.config["placement"] == "pfeiffer" else "state",
            bias=True,
        )
        weights, take = {}, reading.tensors.take
        for layer in range(reading.base.anatomy.layers):
            for part in parts:
                path, own = fusion_path(reading.base, part, layer), f"{part}.{layer}"
                for theirs, ours in (("query", "Q"), ("key", "K")):
                    weights[f"{own}.{ours}"] = take(f"{path}.{theirs}.weight").mT
                    weights[f"{own}.{ours}_bias"] = take(f"{path}.{theirs}.bias")
                weights[f"{own}.V"] = (
                    take(f"{path}.value.weight").mT
                    if reading.config["value"]
                    else torch.eye(reading.base.identity.hidden_size)
                )
        return Converted(config, weights)


def _check(config: Mapping[str, Any]) -> None:
    known = {*_SWITCHES, *_IGNORED, "value", "architecture", "members", "interface"}
    for key in config:
        if key not in known:
            raise ExchangeError(f"config has `{key}`, which is unknown")
    for key, wanted in {**_SWITCHES, "value": config.get("value") is True}.items():
        if config.get(key) is not wanted:
            raise ExchangeError(f"config `{key}` is `{config.get(key)}`, which has no form here")


def _members(reading: Reading) -> tuple[Adapter, ...]:
    """Return the members that the user names.

    Raises:
        ExchangeError: too few of them, or members that the library fuses in another way.
    """
    names = reading.config["members"]
    if len(reading.over) < len(names):
        raise ExchangeError(
            f"it fuses {', '.join(f'`{name}`' for name in names)}, which the folder does not hold",
            hint="import them first, and name them in this order: " + "`--over REF` each",
        )
    members = reading.over[-len(names) :]
    for member in members:
        config = member.manifest.config
        usual = member.manifest.method == Bottleneck.name and config.get("stacking") == "chained"
        if not usual or config.get("residual") or member.manifest.leave_out:
            raise ExchangeError(
                f"`{member.ref}` is no bottleneck as `adapters` fuses them: sequential, in every "
                "layer, with the sub-layer's output as residual"
            )
        if config.get("norm_after"):
            raise ExchangeError(f"`{member.ref}`: `adapters` fuses before `norm_after`")
    return members


@hookimpl
def ahl_converters() -> Sequence[Converter]:
    """Return how `adapters` spells a fusion."""
    return [AdapterHubFusion()]


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return adapterfusion."""
    return [AdapterFusion()]

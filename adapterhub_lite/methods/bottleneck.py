"""Bottleneck adapters: down-projection, non-linearity, up-projection, residual.

    a = U g(D h) + r

Placements, with x the residual stream, r the sub-layer's output and LN the block's own layer norm:

- `pfeiffer` (Pfeiffer et al. 2020, MAD-X, https://aclanthology.org/2020.emnlp-main.617): after the
  feed-forward block, h = LN(r + x); after the whole run the block computes LN(a + x).  A task
  adapter on a language adapter reads h = a and adds the same r.
- `houlsby` (Houlsby et al. 2019, https://arxiv.org/abs/1902.00751): after both blocks, h = r.
- `parallel` (He et al. 2022, https://arxiv.org/abs/2110.04366): beside the feed-forward block,
  h = x, and s U g(D x) is added to r.

The invertible part (MAD-X, section 3.3; NICE coupling, Dinh et al. 2015) acts on the halves of the
embedding output and is undone before the output embedding:

    y1 = e1 + F(e2),  y2 = e2 + G(y1);    inverse: e2 = y2 - G(y1),  e1 = y1 - F(e2)

U and the second layers of F and G start at zero (`init="zero"`): a fresh adapter is the identity.

The library `adapters` computes a stack in another way than the paper: every adapter starts afresh
from what the one below left, h = LN(a + x) and r = a (h = a and r = a for `houlsby`).  Adapters
that were trained there say `stacking="chained"`.  At the bottom of a stack both are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from adapterhub_lite.errors import MethodError
from adapterhub_lite.families import BLOCK_PARTS
from adapterhub_lite.methods.base import Flow, Method, ModelShape, Site, Weights
from adapterhub_lite.methods.config import SMALLEST_REDUCTION, MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor

ACTIVATIONS = ("relu", "gelu", "gelu_new", "silu", "tanh", "leaky_relu")
_PARTS = {
    "pfeiffer": ("ffn_block",),
    "houlsby": ("attention_block", "ffn_block"),
    "parallel": ("ffn_block",),
}


@dataclass(frozen=True)
class BottleneckConfig(MethodConfig):
    """Config of `bottleneck`."""

    placement: Literal["pfeiffer", "houlsby", "parallel"] = option(
        "pfeiffer",
        "after the feed-forward block, after both blocks, or beside the feed-forward block",
    )
    reduction: float = option(16.0, "hidden size / bottleneck size", at_least=SMALLEST_REDUCTION)
    activation: str = option("relu", f"non-linearity: {', '.join(ACTIVATIONS)}")
    scale: float = option(1.0, "factor on the up-projection's output")
    invertible: bool = option(False, "add the invertible part at the embeddings")
    invertible_reduction: float = option(
        2.0, "half hidden size / size inside the coupling", at_least=SMALLEST_REDUCTION
    )
    init: Literal["zero", "bert"] = option(
        "zero", "up-projection at zero (identity), or all weights from N(0, 0.02) as BERT's"
    )
    stacking: Literal["shared", "chained"] = option(
        "shared",
        "on an adapter below: read its output and add the sub-layer's (as published), or start "
        "afresh from its output (as the library `adapters`)",
        omit_default=True,
    )
    reductions: tuple[float, ...] = option(
        (),
        "a reduction for every layer, in place of `reduction`",
        omit_default=True,
        at_least=SMALLEST_REDUCTION,
    )
    blocks: tuple[str, ...] = option(
        (), "blocks that are touched, in place of the placement's", omit_default=True
    )
    residual: Literal["output", "sum", "normed"] = option(
        "output",
        "r: the sub-layer's output; it plus the residual stream; or that sum after the layer norm",
        omit_default=True,
    )
    norm_before: bool = option(False, "a layer norm of its own on h", omit_default=True)
    norm_after: Literal["no", "inside", "outside"] = option(
        "no",
        "a layer norm of its own on U g(D h) + r (inside), or on U g(D h) alone (outside)",
        omit_default=True,
    )
    learned_scale: Literal["no", "scalar", "channel"] = option(
        "no", "a trained factor on the up-projection's output", omit_default=True
    )

    def check(self) -> None:
        """Refuse sizes below one, unknown activations and unknown blocks."""
        if min(self.reduction, self.invertible_reduction, *self.reductions) <= 0:
            raise MethodError("`bottleneck` needs reduction factors above 0")
        for block in self.blocks:
            if block not in BLOCK_PARTS:
                raise MethodError(
                    f"`bottleneck` cannot touch `{block}`", hint=f"one of {', '.join(BLOCK_PARTS)}"
                )
        if self.activation not in ACTIVATIONS:
            raise MethodError(
                f"`bottleneck` has no activation `{self.activation}`",
                hint=f"one of {', '.join(ACTIVATIONS)}",
            )


class Bottleneck(Method):
    """The bottleneck method; see the module's docstring."""

    name = "bottleneck"
    run = "bottleneck"
    averages = "weights"
    scheme = "MAD-X"
    Config = BottleneckConfig
    language_defaults: ClassVar[Mapping[str, Any]] = {"reduction": 2.0, "invertible": True}

    def parts(self, config: BottleneckConfig) -> tuple[str, ...]:
        """Return the blocks of the placement, or those that the config lists."""
        return config.blocks or _PARTS[config.placement]

    def sites(
        self, shape: ModelShape, config: BottleneckConfig, leave_out: Sequence[int]
    ) -> list[Site]:
        """Return the blocks, and embeddings and output where there is an invertible part."""
        if config.reductions and len(config.reductions) != shape.layers:
            raise MethodError(
                f"`reductions` has {len(config.reductions)} values, the model {shape.layers} layers"
            )
        sites = super().sites(shape, config, leave_out)
        if not config.invertible:
            return sites
        embeddings = shape.site("embeddings")
        if embeddings is None or embeddings.width % 2:
            raise MethodError("an invertible part needs embeddings of even width")
        output = shape.site("output")
        return [embeddings, *sites, *([output] if output else [])]

    def init(self, site: Site, config: BottleneckConfig) -> dict[str, Tensor]:
        """Return down (b, width), down_bias, up (width, b), up_bias for a block; norms, scale."""
        if site.layer is None:
            return {}
        reduction = config.reductions[site.layer] if config.reductions else config.reduction
        down, down_bias, up, up_bias = _two_layers(
            site.width, max(1, int(site.width // reduction)), config.init
        )
        weights = {"down": down, "down_bias": down_bias, "up": up, "up_bias": up_bias}
        return {**weights, **_extras(config, site.width)}

    def init_shared(self, shape: ModelShape, config: BottleneckConfig) -> dict[str, Tensor]:
        """Return both couplings of the invertible part, F and G, two layers each."""
        site = shape.site("embeddings") if config.invertible else None
        if site is None:
            return {}
        half = site.width // 2
        inner = max(1, int(half // config.invertible_reduction))
        names = ("0", "0_bias", "2", "2_bias")
        return {
            f"{coupling}{name}": tensor
            for coupling in "FG"
            for name, tensor in zip(names, _two_layers(half, inner, config.init), strict=True)
        }

    def begin(self, site: Site, config: BottleneckConfig, flow: Flow) -> Tensor:
        """Return what the first adapter reads: h, or what h is made of."""
        if site.layer is None or config.placement != "pfeiffer" or config.stacking == "chained":
            return flow.y
        assert flow.normed is not None
        return flow.normed

    def step(
        self, site: Site, config: BottleneckConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        """Return U g(D h) + r, or one direction of the coupling."""
        if site.part == "embeddings":
            return couple(config, weights, state)
        if site.part == "output":
            return uncouple(config, weights, state)
        h, r = _reads(config, flow, state)
        if config.norm_before:
            h = _norm(h, weights, "norm_before")
        up = _linear(_activation(config, _linear(h, weights, "down")), weights, "up")
        if config.scale != 1.0:
            up = up * config.scale
        if config.learned_scale != "no":
            up = up * weights["scale"]
        if config.norm_after == "inside":
            return _norm(up + r, weights, "norm_after")
        return (_norm(up, weights, "norm_after") if config.norm_after == "outside" else up) + r

    def follows(
        self, config: BottleneckConfig, below: Method, below_config: BottleneckConfig
    ) -> str | None:
        """Two placements at one block would disagree on what is normed when."""
        if below.run != self.run or config.placement == below_config.placement:
            return None
        return (
            f"placement `{config.placement}` cannot stand on placement `{below_config.placement}`"
        )


def _reads(config: BottleneckConfig, flow: Flow, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return h and r.  An adapter is at the bottom where nothing has replaced `y` yet."""
    if config.placement == "parallel":
        return flow.x, state
    bottom = state is flow.y or state is flow.normed
    output = flow.y if bottom or config.stacking == "shared" else state
    if config.placement == "houlsby":
        return state, output
    if bottom:
        assert flow.normed is not None
        h = flow.normed
    elif config.stacking == "shared":
        h = state
    else:
        assert flow.norm is not None
        h = flow.norm(state)
    if config.residual == "sum":
        return h, output + flow.x
    return h, h if config.residual == "normed" else output


def couple(config: BottleneckConfig, weights: Weights, embedded: Tensor) -> Tensor:
    """Return the coupling of an embedding output (..., width)."""
    import torch

    first, second = embedded.chunk(2, dim=-1)
    first = first + _inner(config, weights, "F", second)
    second = second + _inner(config, weights, "G", first)
    return torch.cat((first, second), dim=-1)


def uncouple(config: BottleneckConfig, weights: Weights, coupled: Tensor) -> Tensor:
    """Return the exact inverse of `couple`."""
    import torch

    first, second = coupled.chunk(2, dim=-1)
    second = second - _inner(config, weights, "G", first)
    first = first - _inner(config, weights, "F", second)
    return torch.cat((first, second), dim=-1)


def _inner(config: BottleneckConfig, weights: Weights, name: str, half: Tensor) -> Tensor:
    return _linear(_activation(config, _linear(half, weights, f"{name}0")), weights, f"{name}2")


def _linear(x: Tensor, weights: Weights, name: str) -> Tensor:
    from torch.nn.functional import linear

    return linear(x, weights[name], weights[f"{name}_bias"])


def _norm(x: Tensor, weights: Weights, name: str) -> Tensor:
    from torch.nn.functional import layer_norm

    return layer_norm(x, x.shape[-1:], weights[name], weights[f"{name}_bias"])


def _extras(config: BottleneckConfig, width: int) -> dict[str, Tensor]:
    """Return the weights of layer norms and of a learned scale, where the config has them."""
    import torch

    norms = {"norm_before": config.norm_before, "norm_after": config.norm_after != "no"}
    weights: dict[str, Tensor] = {}
    for name in (name for name, there in norms.items() if there):
        weights |= {name: torch.ones(width), f"{name}_bias": torch.zeros(width)}
    if config.learned_scale != "no":
        weights["scale"] = torch.ones(width if config.learned_scale == "channel" else 1)
    return weights


def _activation(config: BottleneckConfig, x: Tensor) -> Tensor:
    from torch.nn import functional

    if config.activation == "gelu_new":
        return functional.gelu(x, approximate="tanh")
    activation: Any = getattr(functional, config.activation)
    result: Tensor = activation(x)
    return result


def _two_layers(width: int, inner: int, init: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (inner, width), its bias, (width, inner), its bias."""
    import torch

    first = torch.randn(inner, width) * 0.02
    second = torch.randn(width, inner) * 0.02 if init == "bert" else torch.zeros(width, inner)
    return first, torch.zeros(inner), second, torch.zeros(width)

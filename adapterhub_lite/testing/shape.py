"""A model's shape without a model: sites for the worked example, with weights of their own.

Widths of linear parts differ, to show what mixes them up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adapterhub_lite.families import LINEAR_PARTS, LOOKUP_PARTS, NORM_PARTS, OUTER_NORM_PARTS
from adapterhub_lite.methods.base import Site
from adapterhub_lite.model.changes import change_of
from adapterhub_lite.testing.models import HIDDEN, LAYERS

ENTRIES = 12
"""Of a lookup."""
EPS = 1e-5
"""Of a layer norm."""
_HEADS = 4


class Shape:
    """The shape: four heads, widths of the tiny models."""

    hidden_size = HIDDEN
    layers = LAYERS
    kv_width = HIDDEN

    def site(self, part: str, layer: int | None = None) -> Site | None:
        """Return the site of a part."""
        if part == "attention":
            return Site(part, layer, _HEADS, self.kv_width)
        if part in LINEAR_PARTS:
            return _site(part, layer, nn.Linear(HIDDEN, HIDDEN + 4))
        if part in LOOKUP_PARTS:
            return _site(part, layer, nn.Embedding(ENTRIES, HIDDEN))
        if part in (*NORM_PARTS, *OUTER_NORM_PARTS):
            return _site(part, layer, nn.LayerNorm(HIDDEN, eps=EPS))
        return Site(part, layer, HIDDEN, HIDDEN)


def own_parameters(site: Site) -> dict[str, Tensor]:
    """Return the base's weight and bias at a site, as far as there are any."""
    named = {"weight": site.weight, "bias": site.bias}
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def base_output(site: Site, x: Tensor) -> Tensor:
    """Return what a part with weights gives for `x`, by the formula of its kind."""
    assert site.weight is not None
    if site.part in LOOKUP_PARTS:
        return site.weight.T[x]
    if site.part not in LINEAR_PARTS:
        spread = x.var(dim=-1, keepdim=True, correction=0)
        x = (x - x.mean(dim=-1, keepdim=True)) / (spread + EPS).sqrt()
        return x * site.weight + (0 if site.bias is None else site.bias)
    return x @ site.weight.T + (0 if site.bias is None else site.bias)


def _site(part: str, layer: int | None, module: nn.Module) -> Site:
    generator = torch.Generator().manual_seed(23)
    module.requires_grad_(False)
    for parameter in module.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    stored, bias = module.get_parameter("weight"), getattr(module, "bias", None)
    weight = stored.t() if part in LOOKUP_PARTS else stored
    in_width, width = weight.shape[-1], weight.shape[0]
    return Site(part, layer, in_width, width, weight=weight, bias=bias, change=change_of(module))

"""What a part's output changes by when its own weight and bias change, for parts of any kind."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from adapterhub_lite.methods.base import Change

_LINEAR_IN_ITS_WEIGHTS = (nn.Embedding, nn.LayerNorm)


def change_of(module: nn.Module) -> Change:
    """Return the function of a linear part, a lookup or a layer norm.

    All of them are affine in weight and bias; where a family's own class is not known to be linear
    (a norm that multiplies by 1 + w), its value for zeros is subtracted.
    """
    if isinstance(module, nn.Linear):
        return linear

    def change(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        result = _forward(module, x, weight, bias)
        if type(module) in _LINEAR_IN_ITS_WEIGHTS:
            return result
        zero = None if bias is None else torch.zeros_like(bias)
        return result - _forward(module, x, torch.zeros_like(weight), zero)

    return change


def _forward(module: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Run a module with other parameters, and without its hooks."""
    twin = copy.copy(module)
    own: dict[str, Any] = {"weight": weight, "bias": bias}
    twin._parameters = {name: own[name] for name in module._parameters}
    result: Tensor = twin.forward(x)
    return result

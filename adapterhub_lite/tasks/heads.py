"""What a head computes, where its config says more than "one linear layer".

Heads that are trained here are one linear layer and have an empty config.  Heads that come from
other libraries read the first vector instead of a mean, or have hidden layers: their config says so
with the keys `pooling`, `layers` and `activation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import TaskTypeError, near
from adapterhub_lite.tasks.base import linear_head

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.adapter import HeadSpec

POOLINGS = ("mean", "first", "last")
ACTIVATIONS = ("tanh", "relu", "gelu", "gelu_new", "silu", "leaky_relu")


@dataclass(frozen=True, slots=True)
class HeadShape:
    """A head's config.

    Args:
        pooling: of the vectors of a unit: their `mean`, or the `first` or `last` one.
        layers: linear layers; all but the last are hidden size to hidden size.
        activation: after every hidden layer; `None` for none.
    """

    pooling: str = "mean"
    layers: int = 1
    activation: str | None = None

    def to_config(self) -> dict[str, Any]:
        """Return the config: what differs from the defaults."""
        default = HeadShape()
        return {k: v for k, v in asdict(self).items() if v != getattr(default, k)}


def shape_of(head: HeadSpec) -> HeadShape:
    """Return what a head's config says.

    Raises:
        TaskTypeError: an unknown key or value.
    """
    known = HeadShape.__dataclass_fields__
    for key in head.config:
        if key not in known:
            raise TaskTypeError(f"a head's config has no `{key}`", hint=near(key, known))
    shape = HeadShape(**head.config)
    if shape.pooling not in POOLINGS:
        raise TaskTypeError(f"no pooling `{shape.pooling}`", hint=near(shape.pooling, POOLINGS))
    if type(shape.layers) is not int or not 1 <= shape.layers <= 8:
        raise TaskTypeError(f"a head has 1 to 8 layers, found {shape.layers}")
    if shape.activation is not None and shape.activation not in ACTIVATIONS:
        raise TaskTypeError(
            f"a head has no activation `{shape.activation}`",
            hint=near(str(shape.activation), ACTIVATIONS),
        )
    return shape


def init(head: HeadSpec, hidden_size: int, choices: int) -> dict[str, Tensor]:
    """Return fresh weights: `0.weight`, `0.bias`, ... of hidden layers, `weight` and `bias`."""
    hidden = {
        f"{layer}.{name}": tensor
        for layer in range(shape_of(head).layers - 1)
        for name, tensor in linear_head(hidden_size, hidden_size).items()
    }
    return {**hidden, **linear_head(hidden_size, choices)}


def scores(shape: HeadShape, weights: Mapping[str, Tensor], vectors: Tensor) -> Tensor:
    """Return (..., choices) from vectors (..., hidden size)."""
    from torch.nn.functional import linear

    for layer in range(shape.layers - 1):
        vectors = linear(vectors, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
        vectors = _activate(shape.activation, vectors)
    return linear(vectors, weights["weight"], weights["bias"])


def pooled(shape: HeadShape, hidden: Tensor, units: Tensor) -> Tensor:
    """Return (rows, units, width): a unit's vector is the mean of its tokens', or one."""
    from adapterhub_lite.tasks.base import unit_means

    if shape.pooling == "mean":
        return unit_means(hidden, units)
    count = max(int(units.max()) + 1, 1)
    places = _places(units, count, last=shape.pooling == "last")
    return hidden.gather(1, places.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))


def _places(units: Tensor, count: int, *, last: bool) -> Tensor:
    """Return a token of every unit, (rows, units): its first or last; 0 where a row has fewer."""
    import torch

    belongs = units.unsqueeze(1) == torch.arange(count, device=units.device).unsqueeze(-1)
    if last:
        belongs = belongs * torch.arange(1, units.shape[1] + 1, device=units.device)
    return belongs.int().argmax(dim=-1)


def _activate(name: str | None, x: Tensor) -> Tensor:
    from torch.nn import functional

    if name is None:
        return x
    if name == "gelu_new":
        return functional.gelu(x, approximate="tanh")
    activation: Any = getattr(functional, name)
    result: Tensor = activation(x)
    return result

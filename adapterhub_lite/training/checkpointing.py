"""Gradient checkpointing: keep a layer's input, and compute its activations again when needed.

transformers does it in training mode only.  The frozen base stays in evaluation mode here, so that
its dropout is off, and its own switch would silently do nothing.  The layers are called through
torch's `checkpoint` instead, hooks included: adapters are hooks, and their activations are most of
what training has to keep.

Chen et al. 2016, https://arxiv.org/abs/1604.06174.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

if TYPE_CHECKING:
    from torch import nn


def checkpointed_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers of a model that may be computed again, outermost ones only."""
    layers: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer) and module not in inside:
            layers.append(module)
            inside.update(module.modules())
    return layers


@contextmanager
def gradient_checkpointing(model: nn.Module) -> Iterator[None]:
    """Within, the layers of a model keep no activations for the backward pass."""
    layers: list[Any] = checkpointed_layers(model)
    for layer in layers:
        # `_call_impl` runs a module with its hooks; set on the instance, it is found first
        layer._call_impl = partial(_computed_again, layer._call_impl)  # noqa: SLF001
    try:
        yield
    finally:
        for layer in layers:
            del layer._call_impl  # noqa: SLF001


def _computed_again(call: Any, *args: Any, **kwargs: Any) -> Any:
    return checkpoint(call, *args, use_reentrant=False, **kwargs)

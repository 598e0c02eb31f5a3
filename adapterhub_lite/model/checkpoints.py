"""Gradient checkpointing: a layer that is computed again does so with the plan it had at first.

`backward` runs such layers again, outside of any forward pass; on a GPU in a thread of autograd's,
which has neither the plan nor the `rows` block.  So the plan is put into what is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.calls import thread
from adapterhub_lite.model.hooks import Uncopied

_FUNCTION = "_gradient_checkpointing_func"
"""Where transformers' models keep the function that checkpoints (`torch.utils.checkpoint`)."""


class Carrying(Uncopied):
    """A model's checkpointing function, that hands on the plan of the forward pass."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original = original

    def __call__(self, function: Callable[..., Any], *inputs: Any, **settings: Any) -> Any:
        """Checkpoint `function`."""
        if not torch.compiler.is_compiling():
            function = _carried(function)
        return self.original(function, *inputs, **settings)


def _carried(function: Callable[..., Any]) -> Callable[..., Any]:
    attachment, plan = thread.attachment, thread.plan
    if attachment is None:
        return function

    def run(*inputs: Any, **named: Any) -> Any:
        if attachment.detached:
            raise AttachError(
                f"{attachment.title} was detached before `backward`, which computes checkpointed "
                "layers again and needs it",
                hint="call `backward` before `detach`",
            )
        before = thread.attachment, thread.plan
        thread.attachment, thread.plan = attachment, plan
        try:
            return function(*inputs, **named)
        finally:
            thread.attachment, thread.plan = before

    return run


def checkpointed(trunk: nn.Module) -> list[nn.Module]:
    """Return the modules of a trunk that can checkpoint what they compute."""
    return [module for module in trunk.modules() if hasattr(module, "gradient_checkpointing")]


def carry_plans(modules: Iterable[nn.Module], model: nn.Module) -> None:
    """Make modules that checkpoint hand on the plan; it may be switched on at any time.

    Raises:
        AttachError: nothing of the model is trainable.  Checkpoints give even its inputs gradients,
            so that training would go through and change nothing.
    """
    switched_on = [module for module in modules if module.gradient_checkpointing]
    if switched_on and not any(parameter.requires_grad for parameter in model.parameters()):
        raise AttachError(
            "gradient checkpointing is on and no parameter of this model is trainable: training "
            "would change nothing",
            hint="name the adapters to train: `attach(..., trainable=[REF])`; or switch "
            "checkpointing off: `model.activation_checkpointing_disable()`",
        )
    for module in switched_on:
        function = module.__dict__.get(_FUNCTION)
        if function and not isinstance(function, Carrying):
            module.__dict__[_FUNCTION] = Carrying(function)


def restore(modules: Iterable[nn.Module]) -> None:
    """Give modules their own function back."""
    for module in modules:
        function = module.__dict__.get(_FUNCTION)
        if isinstance(function, Carrying):
            module.__dict__[_FUNCTION] = function.original

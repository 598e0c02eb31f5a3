"""Trained weights, where whoever walks the model's modules finds them.

An optimizer on `model.parameters()`, transformers' `Trainer`, `DistributedDataParallel` and a
checkpoint of `state_dict()` see what is registered on a module.  So while an attachment has
trainable adapters, their weights are parameters of one more module below the trunk; it computes
nothing.  Detaching takes that module off again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from adapterhub_lite.model.loaded import LoadedAdapter

NAME = "trainable_adapters"
"""Name of the module; with a number where an attachment below has one too."""


def register(trunk: nn.Module, adapters: Mapping[str, LoadedAdapter]) -> Callable[[], None]:
    """Register the weights of adapters by ref and key; return what undoes it.

    A name in a module has no dots: `query.0.A` becomes `query/0/A`.
    """
    module = nn.Module()
    for ref, adapter in adapters.items():
        weights = nn.Module()
        for key, tensor in adapter.weights.items():
            if isinstance(tensor, nn.Parameter):
                weights.register_parameter(key.replace(".", "/"), tensor)
        module.add_module(ref.replace(".", "/"), weights)
    name, number = NAME, 1
    while hasattr(trunk, name):
        number += 1
        name = f"{NAME}_{number}"
    trunk.add_module(name, module)
    return lambda: delattr(trunk, name)

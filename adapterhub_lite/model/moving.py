"""Adapters follow a model that was moved to another device or cast to another number type.

`model.to(...)`, `.half()` or `.cuda()` change the base's weights only.  The next forward pass finds
the model elsewhere and brings along what is attached: weights, heads, and the views of the base's
own weights that sites have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.compile import Compiled, Step

Placement = tuple[torch.dtype, torch.device]


def placement_of(parameter: Tensor) -> Placement:
    """Return number type and device."""
    return parameter.dtype, parameter.device


@torch.no_grad()
def bring(compositions: Iterable[Compiled], anatomy: Anatomy, to: Placement) -> None:
    """Cast and move all that compositions compute with.

    Weights that are trained stay the parameters that they are, which an optimizer may have; others
    are replaced, because a cache may have them too.
    """
    moved: dict[int, tuple[Tensor, Tensor]] = {}

    def renew(weights: dict[str, Tensor]) -> None:
        for key, tensor in weights.items():
            if isinstance(tensor, nn.Parameter):
                tensor.data = tensor.data.to(*to[::-1])
            else:
                if id(tensor) not in moved:
                    moved[id(tensor)] = (tensor, tensor.to(*to[::-1]))
                weights[key] = moved[id(tensor)][1]

    with torch.inference_mode(mode=False):
        for compiled in compositions:
            for weights in _mappings(compiled):
                renew(weights)
            for site in compiled.sites.values():
                anatomy.renew(site)


def _mappings(compiled: Compiled) -> Iterator[dict[str, Tensor]]:
    for adapter in compiled.adapters:
        yield adapter.weights
    for runs in compiled.runs.values():
        for run in runs:
            for step in run.steps:
                yield from _of_step(step)
    if compiled.head:
        yield compiled.head[1]


def _of_step(step: Step) -> Iterator[dict[str, Tensor]]:
    yield step.weights
    for member in step.members:
        yield from _of_step(member)

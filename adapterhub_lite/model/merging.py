"""Fold a composition into the base's weights: free in the forward pass, and undone exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from adapterhub_lite.errors import AttachError
from adapterhub_lite.families import LOOKUP_PARTS
from adapterhub_lite.methods.base import Site
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.compile import Compiled, Step


@torch.no_grad()
def merge_weights(compiled: Compiled, anatomy: Anatomy) -> Iterator[Callable[[], None]]:
    """Change the base's weights site by site, yielding what undoes each change bit for bit.

    Raises:
        AttachError: a method that cannot be merged; what was changed before can be undone.
    """
    kept: set[nn.Module] = set()
    for key, runs in compiled.runs.items():
        site = compiled.sites[key]
        steps = [step for run in runs for step in run.steps]
        module = anatomy.module(site.part, site.layer)
        assert module is not None
        if site.part in LOOKUP_PARTS:
            yield _replace_table(module, site, steps)
            continue
        if module not in kept:  # several parts may be slices of one module
            kept.add(module)
            yield _restorer(module)
        for step in steps:
            for own, change in zip((site.weight, site.bias), _changes(site, step), strict=True):
                if own is not None and change is not None:
                    own.add_(change)


def _changes(site: Site, step: Step) -> tuple[Tensor, Tensor | None]:
    adapter = step.adapter
    change = adapter.method.delta(site, adapter.config, step.weights)
    if site.weight is None or change is None:
        raise AttachError(
            f"`{adapter.ref}` ({adapter.method.name}) cannot be merged",
            hint="attach it without `merge=True`",
        )
    return change, adapter.method.delta_bias(site, adapter.config, step.weights)


def _replace_table(module: nn.Module, site: Site, steps: list[Step]) -> Callable[[], None]:
    """Give a lookup a table of its own: the base's may be the output embedding's as well."""
    kept = module.get_parameter("weight")
    table = kept.detach().clone()
    for step in steps:
        table += _changes(site, step)[0].t()
    module.register_parameter("weight", nn.Parameter(table, requires_grad=False))

    def restore() -> None:
        now = module.get_parameter("weight")  # the model may have been moved or cast meanwhile
        kept.data = kept.data.to(now.device, now.dtype)
        module.register_parameter("weight", kept)

    return restore


def _restorer(module: nn.Module) -> Callable[[], None]:
    """Keep a module's parameters; return what puts them back, wherever the module is by then."""
    parameters = dict(module.named_parameters(recurse=False))
    kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def restore() -> None:
        with torch.no_grad():
            for name, tensor in kept.items():
                module.get_parameter(name).copy_(tensor)

    return restore

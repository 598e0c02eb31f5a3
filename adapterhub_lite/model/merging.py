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
    for key, runs in compiled.runs.items():
        site = compiled.sites[key]
        steps = [step for run in runs for step in run.steps]
        if site.part in LOOKUP_PARTS:
            module = anatomy.module(site.part, site.layer)
            assert module is not None
            yield _replace_table(module, site, steps)
            continue
        for own in (site.weight, site.bias):
            if own is not None:
                yield _restorer(own)
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
    return lambda: module.register_parameter("weight", kept)


def _restorer(weight: Tensor) -> Callable[[], None]:
    kept = weight.detach().clone()

    def restore() -> None:
        with torch.no_grad():
            weight.copy_(kept)

    return restore

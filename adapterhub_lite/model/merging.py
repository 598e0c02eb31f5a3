"""Fold a composition into the base's weights: free in the forward pass, and undone exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.compile import Compiled


@torch.no_grad()
def merge_weights(compiled: Compiled) -> Iterator[Callable[[], None]]:
    """Change the base's weights site by site, yielding what undoes each change bit for bit.

    Raises:
        AttachError: a method that cannot be merged; what was changed before can be undone.
    """
    for key, runs in compiled.runs.items():
        site = compiled.sites[key]
        weight = site.weight
        if weight is not None:
            yield _restorer(weight)
        for step in (step for run in runs for step in run.steps):
            adapter = step.adapter
            change = adapter.method.delta(site, adapter.config, step.weights)
            if weight is None or change is None:
                raise AttachError(
                    f"`{adapter.ref}` ({adapter.method.name}) cannot be merged",
                    hint="attach it without `merge=True`",
                )
            weight += change


def _restorer(weight: Tensor) -> Callable[[], None]:
    kept = weight.detach().clone()

    def restore() -> None:
        with torch.no_grad():
            weight.copy_(kept)

    return restore

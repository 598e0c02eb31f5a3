"""Training in rounds: from the same start again, with fewer entries to change.

For methods that first find out which weights matter (lottery tickets).  Each round is a whole run
of the loop with checkpoints of its own, so an interrupted one goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.training.runs import ROUND
from adapterhub_lite.training.watching import Fitted


def in_rounds(
    adapter: LoadedAdapter, folder: Path, fit: Callable[[Path, int | None], Fitted]
) -> Fitted:
    """Run `fit` as often as the adapter's method wants, each round in a folder of its own.

    Returns:
        What the last round did, with the tokens of all rounds.
    """
    method, weights = adapter.method, adapter.weights
    if method.rounds == 1:
        return fit(folder, None)
    start = _copy(weights)
    fitted = [fit(folder / f"{ROUND}1", 1)]
    for number in range(2, method.rounds + 1):
        masks = method.masks(adapter.config, start, _copy(weights))
        _rewind(weights, start)
        hooks = [_keep_to(mask, weights[key]) for key, mask in masks.items()]
        fitted.append(fit(folder / f"{ROUND}{number}", number))
        for hook in hooks:
            hook.remove()
    return replace(fitted[-1], tokens=sum(one.tokens for one in fitted))


def _keep_to(mask: Tensor, weight: Tensor) -> Any:
    """Let gradients through where the mask is true."""
    parameter: Any = weight  # torch has no annotations for `register_hook`
    return parameter.register_hook(partial(torch.mul, mask))


def _copy(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.detach().clone() for key, tensor in weights.items()}


def _rewind(weights: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for key, tensor in weights.items():
            tensor.copy_(start[key])

"""Adapters with random weights, and what a base says of a batch, for tests of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adapterhub_lite.adapter import Kind
from adapterhub_lite.families import Family
from adapterhub_lite.methods.base import Method
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter, fresh
from adapterhub_lite.plugins import load


def random_adapter(
    base: Base,
    method: Method,
    config: Mapping[str, Any],
    *,
    ref: str = "a",
    seed: int = 1,
    scale: float = 0.3,
    leave_out: Sequence[int] = (),
    families: Mapping[str, Family] | None = None,
) -> LoadedAdapter:
    """Return an adapter whose every weight is drawn from N(0, `scale`); fresh when `scale` is 0.

    `families` is the anatomy table; left out, that of the package.
    """
    adapter = fresh(
        Anatomy(base.model, load().families if families is None else families),
        method,
        method.Config.from_mapping(config),
        ref=ref,
        kind=Kind.LANGUAGE,
        leave_out=leave_out,
        seed=seed,
    )
    if scale:
        generator = torch.Generator().manual_seed(seed)
        adapter.weights = {
            key: torch.randn(tensor.shape, generator=generator) * scale
            for key, tensor in adapter.weights.items()
        }
    return adapter


def logits(base: Base, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the vocabulary scores (rows, tokens, vocabulary) of a batch."""
    with torch.no_grad():
        result: Tensor = base.model(**batch).logits
    return result

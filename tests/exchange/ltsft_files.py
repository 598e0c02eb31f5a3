"""LT-SFT folders written the way composable-sft's `SFT.save` writes them.

Format facts: `src/sft/sft.py` and `trainer.py` of github.com/cambridgeltl/composable-sft.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapterhub_lite.model.base import Base

FILE = "pytorch_diff.bin"


def encoded(diff: Tensor) -> dict[str, Any]:
    """Return a difference as the library stores it: column by column, steps between places."""
    where = np.argwhere(diff.numpy())
    strides = [int(np.prod(diff.shape[:axis])) for axis in range(diff.dim())]
    places = where @ np.array(strides, dtype=np.int64)
    order = places.argsort()
    places, values = places[order], diff.numpy()[tuple(where[order].T)]
    steps = (places[1:] - places[:-1]).tolist()
    return {
        "size": diff.size(),
        "index_steps": [places[0], *steps] if len(places) else steps,  # a numpy number stands first
        "values": torch.from_numpy(values),
    }


def decoded(stored: Mapping[str, Any]) -> Tensor:
    """Return the tensor of a stored difference."""
    whole = np.zeros(int(np.prod(stored["size"])), dtype=np.float32)
    whole[np.cumsum(stored["index_steps"], dtype=np.int64)] = stored["values"].numpy()
    return torch.from_numpy(whole.reshape(tuple(stored["size"]), order="F").copy())


def differences(base: Base, *, seed: int, norms: bool = False) -> dict[str, Tensor]:
    """Return sparse differences of the trunk's parameters by name; layer norms may be frozen.

    As in the authors' script, the output embedding is untied before parameters are listed.
    """
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, parameter in with_added(base).model.named_parameters():
        if name.startswith(f"{base.model.base_model_prefix}.") and (norms or "Norm" not in name):
            kept = torch.rand(parameter.shape, generator=generator) < 0.04
            found[name] = torch.randn(parameter.shape, generator=generator) * 0.3 * kept
    return found


def write(folder: Path, diffs: Mapping[str, Tensor], whole: Mapping[str, Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stored = {"diffs": {k: encoded(d) for k, d in diffs.items()}, "abs": dict(whole)}
    torch.save(stored, folder / FILE)
    return folder


def with_added(base: Base, *changes: Mapping[str, Tensor]) -> Base:
    """Return the base with differences added to its parameters, the output embedding untied."""
    model = copy.deepcopy(base.model)
    output: Any = model.get_output_embeddings()
    output.weight = torch.nn.Parameter(output.weight.clone(), requires_grad=False)
    for change in changes:
        for name, diff in change.items():
            model.get_parameter(name).data += diff
    return replace(base, model=model)

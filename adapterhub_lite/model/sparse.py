"""Weights that are mostly zero, as files hold them: the other entries and where they are.

A tensor `query.0.phi` becomes `query.0.phi#values`, `#places` (positions in the flattened tensor,
ascending) and `#shape`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from adapterhub_lite.errors import WeightsError

_VALUES, _PLACES, _SHAPE = "#values", "#places", "#shape"


def packed(tensors: Mapping[str, Tensor], *, keep: str) -> dict[str, Tensor]:
    """Return what a file holds; tensors whose name starts with `keep` stay as they are."""
    result: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key.startswith(keep):
            result[key] = tensor
            continue
        places = tensor.flatten().nonzero().flatten()
        result[key + _VALUES] = tensor.flatten()[places]
        result[key + _PLACES] = places
        result[key + _SHAPE] = torch.tensor(tensor.shape)
    return result


def unpacked(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the tensors that a file holds, with the zeros back in.

    Raises:
        WeightsError: places that are not in the tensor, or not one for each value.
    """
    result = {key: tensor for key, tensor in tensors.items() if "#" not in key}
    for name in tensors:
        key, mark, _ = name.partition("#")
        if mark and key not in result:
            result[key] = _whole(key, tensors, path)
    return result


def _whole(key: str, tensors: Mapping[str, Tensor], path: Path) -> Tensor:
    absent = [mark for mark in (_VALUES, _PLACES, _SHAPE) if key + mark not in tensors]
    if absent:
        raise WeightsError(f"`{path}` lacks `{key}{absent[0]}`")
    values, places = tensors[key + _VALUES], tensors[key + _PLACES]
    whole = torch.zeros(tensors[key + _SHAPE].tolist(), dtype=values.dtype)
    ascending = bool((places[1:] > places[:-1]).all())
    inside = not len(places) or (int(places[0]) >= 0 and int(places[-1]) < whole.numel())
    if values.shape != places.shape or not ascending or not inside:
        raise WeightsError(f"`{path}`: `{key}{_PLACES}` does not say where the values are")
    whole.view(-1)[places] = values
    return whole

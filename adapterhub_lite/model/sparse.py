"""Weights that are mostly zero, as files hold them: the other entries and where they are.

A tensor `query.0.phi` becomes `query.0.phi#values`, `#places` (positions in the flattened tensor,
ascending) and `#shape`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from adapterhub_lite.errors import WeightsError

_VALUES, _PLACES, _SHAPE = _PARTS = "#values", "#places", "#shape"

SPREAD = 1000
"""Entries of a sparse tensor for each that is not zero: such adapters change percents of a base."""

_ALWAYS = 1 << 26
_MOST_DIMENSIONS = 8


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


def unpacked(
    tensors: Mapping[str, Tensor],
    path: Path,
    expected: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Tensor]:
    """Return the tensors that a file holds, with the zeros back in.

    Args:
        expected: shapes by name.  A few bytes can claim a shape of any size, so nothing is made of
            one that is not among them.  Where no base is at hand to tell (`None`), all tensors
            together may have `SPREAD` entries for each one that the file holds.

    Raises:
        WeightsError: a tensor or shape that is not expected; places that are not in the tensor, or
            not one for each value.
    """
    if expected is None:
        expected = _stated(tensors, path)
    result = {key: tensor for key, tensor in tensors.items() if "#" not in key}
    for name in tensors:
        key, mark, _ = name.partition("#")
        if not mark:
            continue
        if name not in {key + part for part in _PARTS}:
            raise WeightsError(f"`{path}` holds `{name}`, which is no part of a sparse tensor")
        if key in tensors:
            raise WeightsError(f"`{path}` holds `{key}` twice, whole and sparse")
        if key not in result:
            result[key] = _whole(key, tensors, path, expected)
    return result


def _stated(tensors: Mapping[str, Tensor], path: Path) -> dict[str, list[int]]:
    """Return the shapes that a file states, if they are no larger than its content allows."""
    shapes = {
        name.removesuffix(_SHAPE): tensor.flatten()[:_MOST_DIMENSIONS].tolist()
        for name, tensor in tensors.items()
        if name.endswith(_SHAPE) and tensor.dtype == torch.int64
    }
    held = sum(tensor.numel() for tensor in tensors.values())
    wanted = sum(math.prod(shape) for shape in shapes.values())
    if any(size < 0 for shape in shapes.values() for size in shape) or (
        wanted > max(SPREAD * held, _ALWAYS)
    ):
        raise WeightsError(
            f"`{path}` holds {held} numbers and states shapes with {wanted} entries: that is no "
            "adapter",
            hint="attach it once to its base, which knows the shapes",
        )
    return shapes


def _whole(
    key: str, tensors: Mapping[str, Tensor], path: Path, expected: Mapping[str, Sequence[int]]
) -> Tensor:
    absent = [mark for mark in _PARTS if key + mark not in tensors]
    if absent:
        raise WeightsError(f"`{path}` lacks `{key}{absent[0]}`")
    shape = _shape(key, tensors[key + _SHAPE], path, expected)
    values, places = tensors[key + _VALUES], tensors[key + _PLACES]
    if places.dtype != torch.int64 or places.dim() != 1 or not values.is_floating_point():
        raise WeightsError(f"`{path}`: `{key}` has {values.dtype} at {places.dtype} places")
    ascending = bool((places[1:] > places[:-1]).all())
    inside = not len(places) or (int(places[0]) >= 0 and int(places[-1]) < math.prod(shape))
    if values.shape != places.shape or not ascending or not inside:
        raise WeightsError(f"`{path}`: `{key}{_PLACES}` does not say where the values are")
    whole = torch.zeros(shape, dtype=values.dtype)
    whole.view(-1)[places] = values
    return whole


def _shape(
    key: str, shape: Tensor, path: Path, expected: Mapping[str, Sequence[int]]
) -> tuple[int, ...]:
    """Return the shape that a file states, which must be the expected one."""
    if key not in expected:
        raise WeightsError(f"`{path}` has `{key}`, which its config does not name")
    if shape.dim() != 1 or shape.is_floating_point() or shape.tolist() != list(expected[key]):
        stated = shape.flatten()[:8].tolist()
        raise WeightsError(
            f"`{path}`: tensor `{key}` has shape {stated}, expected {list(expected[key])}"
        )
    return tuple(expected[key])

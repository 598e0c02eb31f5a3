"""Positions of the text, moved on by the vectors that stand before it, as a cache moves them.

Decoders count a cache's length as positions, so vectors before the text always move theirs.
Encoders have no cache: there positions move only where an adapter was trained that way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.compile import Compiled
from adapterhub_lite.model.hooks import Hook
from adapterhub_lite.model.rows import Plan

Planner = Callable[[], Plan | None]
Length = Callable[[Compiled], int]


def hook_positions(module: nn.Module, planner: Planner, length: Length) -> RemovableHandle:
    """Move the positions that `module` is given by `length` of each row's composition.

    `module` is a rotary embedding (hidden states, positions) or an embedding of positions.

    Raises:
        AttachError: (in the forward pass) positions beyond those that the model has.
    """

    def before(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        plan = planner()
        if plan is None:
            return None
        at = len(inputs) - 1
        positions = named["position_ids"] if "position_ids" in named else inputs[at]
        moved = _moved(module, positions, _shift(plan, length))
        if "position_ids" in named:
            return inputs, {**named, "position_ids": moved}
        return (*inputs[:at], moved), named

    return module.register_forward_pre_hook(Hook(before), with_kwargs=True)


def _shift(plan: Plan, length: Length) -> int | Tensor:
    if plan.whole is not None:
        return length(plan.whole)
    lengths = torch.cat([torch.full((g.stop - g.start,), length(g.compiled)) for g in plan.groups])
    ordered = lengths if plan.back is None else lengths[plan.back]
    return ordered[:, None]


def _moved(module: nn.Module, positions: Tensor, shift: int | Tensor) -> Tensor:
    """Return the positions moved on; padding, where the embedding marks it, stays."""
    shift = shift if isinstance(shift, int) else shift.to(positions.device)
    if not isinstance(module, nn.Embedding):
        return positions + shift
    first = 0 if module.padding_idx is None else module.padding_idx + 1
    most = shift if isinstance(shift, int) else int(shift.max())
    if first + positions.shape[-1] + most > module.num_embeddings:
        raise AttachError(
            f"{positions.shape[-1]} tokens after {most} vectors need more positions than the "
            f"{module.num_embeddings - first} that this model has",
            hint="give it shorter texts",
        )
    moved = positions + shift
    if module.padding_idx is None:
        return moved
    return torch.where(positions == module.padding_idx, positions, moved)

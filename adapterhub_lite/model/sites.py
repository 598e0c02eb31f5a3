"""Forward hooks: the one place where adapters meet the base model's computation.

A hook asks the attachment for the current plan, runs what the plan has for its site, and returns
the new output.  Modules, parameter names and the state dict of the base stay as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from adapterhub_lite.families import BLOCK_PARTS, BY_PATH, LOOKUP_PARTS
from adapterhub_lite.methods.base import Flow, Site
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.compile import Compiled
from adapterhub_lite.model.hooks import Hook
from adapterhub_lite.model.rows import Plan, arrange, by_rows

Planner = Callable[[], Plan | None]
Norm = Callable[[Tensor, Tensor], Tensor]
"""A block's result from its sub-layer's output and the residual stream."""


class _Noted(threading.local):
    """What one block has let pass in the forward pass that this thread is in."""

    def __init__(self) -> None:
        self.x: Tensor | None = None
        """The residual stream."""
        self.y: Tensor | None = None
        """The sub-layer's output."""

    def take(self) -> tuple[Tensor, Tensor | None]:
        """Return both, and keep neither: they would hold memory until the next pass."""
        x, y = self.x, self.y
        self.x = self.y = None
        assert x is not None
        return x, y


def hook_site(anatomy: Anatomy, site: Site, planner: Planner) -> list[RemovableHandle]:
    """Register the hooks of one site (all but the part `attention`)."""
    if site.part in BLOCK_PARTS:
        return _hook_block(anatomy, site, planner)
    module = anatomy.module(site.part, site.layer)
    assert module is not None
    if site.part == "output":

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> Any:
            new = run_site(planner(), site.key, inputs[0], inputs[0], None, module.training)
            return None if new is None else (new, *inputs[1:])

        return [module.register_forward_pre_hook(Hook(before))]

    span = anatomy.span(site.part)

    def after(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        plan = planner()
        x = inputs[0] if inputs and inputs[0] is not None else output
        if site.part == "embeddings":
            x = output
        elif site.part in LOOKUP_PARTS and plan is not None and plan.size > output.shape[0] == 1:
            x, output = (t.expand(plan.size, *t.shape[1:]) for t in (x, output))
        if span is None:
            return run_site(plan, site.key, x, output, None, module.training)
        start, stop = span
        new = run_site(plan, site.key, x, output[..., start:stop], None, module.training)
        return None if new is None else _with_slice(output, new, start, stop)

    return [module.register_forward_hook(Hook(after))]


def _with_slice(output: Tensor, new: Tensor, start: int, stop: int) -> Tensor:
    return torch.cat((output[..., :start], new, output[..., stop:]), dim=-1)


def run_site(
    plan: Plan | None,
    key: str,
    x: Tensor,
    y: Tensor,
    norm: Norm | None,
    training: bool,
    *,
    norm_keys: tuple[str, ...] = (),
) -> Tensor | None:
    """Return what replaces `y` at a site, or `None` where nothing is to be done.

    `norm` gives a block's result from its sub-layer's output, for runs that read it; `norm_keys`
    are the norm's own sites, where adapters may be as well.
    """
    if plan is None:
        return None
    if plan.whole is not None:
        known = norm(y, x) if norm else None
        return _apply(plan.whole, key, x, y, known, norm, training, norm_keys)
    if all(key not in group.compiled.runs for group in plan.groups):
        return None
    x_rows, y_rows = arrange(plan, x), arrange(plan, y)
    normed = arrange(plan, norm(y, x)) if norm else None

    def compute(compiled: Compiled, rows: slice) -> Tensor:
        part = normed[rows] if normed is not None else None
        result = _apply(compiled, key, x_rows[rows], y_rows[rows], part, norm, training, norm_keys)
        assert result is not None
        return result

    return by_rows(plan, key, compute, lambda rows: y_rows[rows], y.shape[0])


def _apply(
    compiled: Compiled,
    key: str,
    x: Tensor,
    y: Tensor,
    normed: Tensor | None,
    norm: Norm | None,
    training: bool,
    norm_keys: tuple[str, ...] = (),
) -> Tensor | None:
    runs = compiled.runs.get(key)
    if not runs:
        return None

    def norm_of(new: Tensor) -> Tensor:
        assert norm is not None
        result = norm(new, x)
        for norm_key in norm_keys:
            changed = _apply(compiled, norm_key, new + x, result, None, None, training)
            result = result if changed is None else changed
        return result

    rows_norm = norm_of if norm else None
    y = runs[0](Flow(x, y, normed, training, rows_norm))
    for run in runs[1:]:
        y = run(Flow(x, y, rows_norm(y) if rows_norm else None, training, rows_norm))
    return y


def _hook_block(anatomy: Anatomy, site: Site, planner: Planner) -> list[RemovableHandle]:
    """Hook a block: note the residual stream, then replace the sub-layer's output.

    Where the family norms after the sum, the new output is added and normed here, by the block's
    own layer norm; where it norms before, the family adds the residual itself.
    """
    assert site.layer is not None
    block = anatomy.block(site.part)
    path, number = block.residual
    entry = anatomy.within(site.layer, path)
    sublayer = anatomy.within(site.layer, block.sublayer)
    assert entry is not None
    assert sublayer is not None
    noted = _Noted()

    def note_residual(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if planner() is not None:
            noted.x = inputs[number]

    handles = [entry.register_forward_pre_hook(Hook(note_residual))]
    if block.norm is None:

        def replace(module: nn.Module, _: Any, output: Tensor) -> Tensor | None:
            plan = planner()
            if plan is None:
                return None
            x, _ = noted.take()
            return run_site(plan, site.key, x, output, torch.add, module.training)

        return [*handles, sublayer.register_forward_hook(Hook(replace))]

    norm = anatomy.within(site.layer, block.norm)
    assert norm is not None
    named = site.part.replace("_block", "_norm")
    norm_keys = (f"{named}.{site.layer}", f"{BY_PATH}{block.norm}.{site.layer}")

    def note_output(_: nn.Module, __: Any, output: Tensor) -> None:
        if planner() is not None:
            noted.y = output

    def norm_again(module: nn.Module, _: Any, output: Tensor) -> Tensor | None:
        plan = planner()
        if plan is None:
            return None
        x, y = noted.take()
        assert y is not None
        first = _first(output, module)
        new = run_site(plan, site.key, x, y, first, module.training, norm_keys=norm_keys)
        return None if new is None else _normed(plan, norm_keys, module, new + x)

    return [
        *handles,
        sublayer.register_forward_hook(Hook(note_output)),
        norm.register_forward_hook(Hook(norm_again)),
    ]


def _normed(plan: Plan, keys: tuple[str, ...], module: nn.Module, total: Tensor) -> Tensor:
    """Return a norm's output for all rows, with what adapters do at the norm itself."""
    result: Tensor = module.forward(total)
    for key in keys:
        changed = run_site(plan, key, total, result, None, module.training)
        result = result if changed is None else changed
    return result


def _first(known: Tensor, module: nn.Module) -> Norm:
    """Return the block's norm as a function; its first value is already computed."""
    fresh = [known]

    def norm(y: Tensor, x: Tensor) -> Tensor:
        if fresh:
            return fresh.pop()
        result: Tensor = module.forward(y + x)
        return result

    return norm

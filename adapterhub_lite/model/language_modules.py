"""Language modules that are built into a base: run the one that a row's composition names.

Where the family has none, everything here does nothing.  In a layer that has them, the owner
(`modular.Modules`) computes, with x the residual stream, r the feed-forward output and m a module:

    s = r + x,   h = LN(s),   h + m(h)

A row whose composition has a module is given to no module of the base, which then adds zeros; that
zero is replaced by m(h).  Other rows go the base's own way, by its default language; where it has
none, an adapter without module below it is an error, and the base alone runs no module.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from adapterhub_lite.errors import AttachError
from adapterhub_lite.families import BY_PATH
from adapterhub_lite.methods.base import Site
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.compile import NOTHING, Compiled
from adapterhub_lite.model.hooks import Hook
from adapterhub_lite.model.module_tables import module_names
from adapterhub_lite.model.rows import Plan
from adapterhub_lite.model.sites import Planner, hook_site, run_site
from adapterhub_lite.modular import MODULE, Modules, modules_of

NOBODY = -1
"""The place in the table that rows get which no module of the base is to run on."""


def hook_part(anatomy: Anatomy, site: Site, planner: Planner) -> list[RemovableHandle]:
    """Register the hooks of one site (all but the part `attention`)."""
    modules = modules_of(anatomy.family)
    if modules is None or site.part not in (MODULE, "ffn_block"):
        return hook_site(anatomy, site, planner)
    assert site.layer is not None
    layer = _Layer(anatomy, site, modules, planner)
    return [*layer.watch(), *(layer.run_module() if site.part == MODULE else layer.run_block())]


class _Passed(threading.local):
    """What has passed through one layer in the forward pass that this thread is in."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}


class _Layer:
    """One layer's owner of modules as it runs."""

    def __init__(self, anatomy: Anatomy, site: Site, modules: Modules, planner: Planner) -> None:
        self._planner = planner
        self._key = site.key
        self._passed = _Passed()
        owner = _module(anatomy, site, modules.owner)
        assert owner is not None
        self._owner: Any = owner
        dropout = _module(anatomy, site, modules.dropout)
        assert dropout is not None
        self._dropout = dropout
        own, last = (_module(anatomy, site, path) for path in modules.norms)
        self._before = own or (last if self._owner.adapter_reuse_layer_norm else None)
        after = anatomy.block("ffn_block").norm
        self._after = last if after else None
        keys = (f"ffn_norm.{site.layer}", f"{BY_PATH}{after}.{site.layer}")
        self._norm_keys = keys if after else ()

    def watch(self) -> list[RemovableHandle]:
        """Note the sum s and the module's input h, from when the owner begins."""
        handles = [
            self._owner.register_forward_pre_hook(Hook(self._note_stream)),
            self._dropout.register_forward_hook(Hook(self._note_sum)),
        ]
        if self._before is not None:
            handles.append(self._before.register_forward_hook(Hook(self._note_input)))
        return handles

    def _note_stream(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._passed.tensors.clear()
        if self._planner() is not None:
            self._passed.tensors["x"] = inputs[1]

    def _note_sum(self, _: nn.Module, __: Any, output: Tensor) -> None:
        passed = self._passed.tensors
        if "x" in passed and "s" not in passed:
            passed["s"] = passed["h"] = output + passed["x"]

    def _note_input(self, _: nn.Module, __: Any, output: Tensor) -> None:
        if "s" in self._passed.tensors:
            self._passed.tensors["h"] = output

    def run_module(self) -> list[RemovableHandle]:
        """Replace what the module adds, before the owner's dropout."""

        def replace(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
            if "s" not in self._passed.tensors:
                return None
            h = self._passed.tensors["h"]
            self._passed.tensors.clear()
            return run_site(self._planner(), self._key, h, inputs[0], None, module.training)

        return [self._dropout.register_forward_pre_hook(Hook(replace))]

    def run_block(self) -> list[RemovableHandle]:
        """Replace the owner's output: the module's result y, the residual, and what is on top."""

        def note_result(_: nn.Module, __: Any, output: Tensor) -> None:
            if "s" in self._passed.tensors and "r" in self._passed.tensors:
                self._passed.tensors["y"] = output.clone()  # the owner adds the residual in place
            elif "s" in self._passed.tensors:
                self._passed.tensors["r"] = output

        def replace(owner: nn.Module, _: Any, __: Tensor) -> Tensor | None:
            noted = dict(self._passed.tensors)
            self._passed.tensors.clear()
            if "y" not in noted:
                return None
            x = noted["h" if self._owner.ln_before_adapter else "s"]
            y, training = noted["y"], owner.training
            new = run_site(
                self._planner(), self._key, x, y, self._norm, training, norm_keys=self._norm_keys
            )
            return None if new is None else new + x

        return [
            self._dropout.register_forward_hook(Hook(note_result)),
            self._owner.register_forward_hook(Hook(replace)),
        ]

    def _norm(self, y: Tensor, x: Tensor) -> Tensor:
        if self._after is None:
            return y + x
        result: Tensor = self._after.forward(y + x)
        return result


def _module(anatomy: Anatomy, site: Site, path: str) -> nn.Module | None:
    assert site.layer is not None
    return anatomy.within(site.layer, path)


def hook_rows(
    anatomy: Anatomy, planner: Planner, on_top: Callable[[], bool]
) -> list[Callable[[], None]]:
    """Tell the trunk which rows no module of its own is to run on; return what undoes that.

    `on_top` says whether nothing was attached later, which then decides.
    """
    modules = modules_of(anatomy.family)
    if modules is None:
        return []
    name, names = modules.rows, module_names(anatomy)
    chosen = anatomy.model.config.default_language
    default = names.index(chosen) if chosen in names else None

    def before(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        called = {**dict(zip(("input_ids", name), inputs, strict=False)), **named}
        given = called.get(name) is not None
        places = _places(planner(), default, given=given) if on_top() else None
        if places is None:
            return None
        if given:
            raise AttachError(
                f"this batch has `{name}`, and a language module is attached",
                hint=f"leave `{name}` out, or attach no module",
            )
        tokens = called.get("input_ids")
        tokens = called["inputs_embeds"] if tokens is None else tokens
        rows = _expanded(places, tokens.shape[0]).to(tokens.device)
        if len(inputs) > 1:
            return (inputs[0], rows, *inputs[2:]), named
        return inputs, {**named, name: rows}

    return [anatomy.trunk.register_forward_pre_hook(Hook(before), with_kwargs=True).remove]


def _places(plan: Plan | None, default: int | None, *, given: bool) -> Tensor | None:
    """Return a place in the table for each row (one for all), or `None`: the base knows itself.

    The base by itself runs its default language, and no module where it has none.
    """
    whole = NOTHING if plan is None else plan.whole
    groups, sizes = [whole or NOTHING], [1]
    if plan is not None and whole is None:
        groups = [group.compiled for group in plan.groups]
        sizes = [group.stop - group.start for group in plan.groups]
    having = [_has_module(compiled) for compiled in groups]
    if not any(having) and (given or default is not None):
        return None
    for compiled, has in zip(groups, having, strict=True):
        if compiled.adapters and not has and default is None:
            raise AttachError(
                f"this base has no default language, and below `{compiled.adapters[0].ref}` there "
                "is no language module",
                hint="stack it on one: `ahl list --kind language --base BASE` shows them",
            )
    places = [NOBODY if has or default is None else default for has in having]
    rows = torch.tensor(places).repeat_interleave(torch.tensor(sizes))
    return rows if plan is None or plan.back is None else rows[plan.back]


def _expanded(places: Tensor, size: int) -> Tensor:
    if len(places) == 1:
        return places.repeat(size)
    if len(places) != size:
        raise AttachError(
            f"this batch has {size} rows, `rows(...)` named {len(places)}",
            hint="name one composition a row, in the batch's order",
        )
    return places


def _has_module(compiled: Compiled) -> bool:
    return any(site.part == MODULE for site in compiled.sites.values())

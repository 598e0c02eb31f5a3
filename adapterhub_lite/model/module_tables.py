"""The tables of language modules in a base: which there are, and their weights."""

from __future__ import annotations

from torch import Tensor, nn

from adapterhub_lite.errors import AttachError, near
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.modular import Modules, modules_of


def module_names(anatomy: Anatomy) -> tuple[str, ...]:
    """Return the base's own names of the languages it has modules for, in their order."""
    modules = modules_of(anatomy.family)
    return tuple(_table(anatomy, modules, 0)) if modules else ()


def module_weights(anatomy: Anatomy, name: str) -> list[dict[str, Tensor]]:
    """Return a built-in module's weights, one mapping a layer: the base's own, not copies.

    Raises:
        AttachError: the base has no such module.
    """
    names, modules = module_names(anatomy), modules_of(anatomy.family)
    if modules is None or name not in names:
        raise AttachError(f"this base has no language module `{name}`", hint=near(name, names))
    layers = [_table(anatomy, modules, number)[name] for number in range(anatomy.layers)]
    return [_weights(module, modules) for module in layers]


def _table(anatomy: Anatomy, modules: Modules, layer: int) -> dict[str, nn.Module]:
    table = anatomy.within(layer, modules.table)
    assert isinstance(table, nn.ModuleDict)
    return dict(table.items())


def _weights(module: nn.Module, modules: Modules) -> dict[str, Tensor]:
    down, up = module.get_submodule(modules.down), module.get_submodule(modules.up)
    assert isinstance(down, nn.Linear)
    assert isinstance(up, nn.Linear)
    return {"down": down.weight, "down_bias": down.bias, "up": up.weight, "up_bias": up.bias}

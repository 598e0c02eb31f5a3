"""Families whose layers hold a module for each language already: X-MOD (Pfeiffer et al. 2022).

https://aclanthology.org/2022.naacl-main.255.  A row says where in a layer the modules are and what
is around them; `model/language_modules.py` runs them, `methods/xmod.py` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapterhub_lite.families import BUILT_IN, Block, Family

MODULE = "language_module"
"""The part where a layer's language module is: its input, and what it adds to the stream."""


@dataclass(frozen=True, slots=True)
class Modules:
    """Where the language modules are in one layer.

    Args:
        table: modules by the base's own name of the language.
        owner: module that runs the one of a row, after it has added the residual stream (its
            second argument) to the sub-layer's output.
        dropout: what both the sub-layer's and the module's output pass through, in the owner.
        norms: layer norms that may stand before the modules; the first that is there does, the
            last only if the owner reuses it.
        down: a module's first linear part.
        up: a module's second linear part.
        rows: the trunk's argument that says which row gets which module, by place in the table.
    """

    table: str
    owner: str
    dropout: str
    norms: tuple[str, str]
    down: str
    up: str
    rows: str


@dataclass(frozen=True, slots=True)
class ModularFamily(Family):
    """A row of the anatomy table for bases with language modules.

    `pre_norm` has the blocks of models whose config sets `pre_norm`; `method` is the name of the
    method that runs a module.
    """

    modules: Modules | None = None
    pre_norm: Mapping[str, Block] | None = None
    method: str = ""


def modules_of(family: Family) -> Modules | None:
    """Return where a family's language modules are, if it has any."""
    return family.modules if isinstance(family, ModularFamily) else None


def fitted(family: Family, config: Any) -> Family:
    """Return the row for one model: some families norm before a block or after it, by config."""
    if isinstance(family, ModularFamily) and family.pre_norm and config.pre_norm:
        return replace(family, blocks=family.pre_norm)
    return family


def _xmod() -> ModularFamily:
    """Return the row of X-MOD: RoBERTa's but for the end of the layer.

    A layer computes s = r + x (feed-forward output, stream), h = LN(s), and h + m(h), where m is
    the language module; with `ln_before_adapter` off, s + m(h).  So what a task adapter finds as
    its block is the module's: residual h, sub-layer output m(h).
    """
    (roberta,) = (row for row in BUILT_IN if "roberta" in row.model_types)
    shared = {name: getattr(roberta, name) for name in Family.__dataclass_fields__}
    blocks = {**roberta.blocks}
    return ModularFamily(
        **{**shared, "model_types": ("xmod",), "blocks": blocks},
        modules=Modules(
            table="output.adapter_modules",
            owner="output",
            dropout="output.dropout",
            norms=("output.adapter_layer_norm", "output.LayerNorm"),
            down="dense1",
            up="dense2",
            rows="lang_ids",
        ),
        pre_norm={part: replace(block, norm=None) for part, block in blocks.items()},
        method="xmod",
    )


FAMILIES: tuple[Family, ...] = (_xmod(),)

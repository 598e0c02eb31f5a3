"""Find the parts of one model: a family's row of paths, turned into modules and widths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from adapterhub_lite.errors import AttachError, near
from adapterhub_lite.families import (
    BLOCK_PARTS,
    BY_PATH,
    LOGITS,
    LOOKUP_PARTS,
    NORM_PARTS,
    OUTER_NORM_PARTS,
    WORDS,
    Block,
    Family,
)
from adapterhub_lite.methods.base import Site
from adapterhub_lite.model.changes import change_of
from adapterhub_lite.modular import MODULE, fitted, modules_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Anatomy:
    """Where the parts of `model` are.  `model` may be a trunk or have a head on it.

    Raises:
        AttachError: no row for the model's family, or the row does not fit the model.
    """

    def __init__(self, model: PreTrainedModel, families: Mapping[str, Family]) -> None:
        config = model.config
        self.model = model
        self.trunk: nn.Module = model.base_model
        if config.model_type not in families:
            raise AttachError(
                f"no row in the anatomy table for model type `{config.model_type}`",
                hint="a plugin can add one through `ahl_families`; "
                + near(config.model_type, families),
            )
        self.family = fitted(families[config.model_type], config)
        layers = _module(self.trunk, self.family.layers)
        if not isinstance(layers, nn.ModuleList):
            raise AttachError(f"`{config.model_type}` has no layers at `{self.family.layers}`")
        self._layers = layers
        self.layers = len(layers)
        self.hidden_size: int = config.hidden_size
        self.heads: int = config.num_attention_heads
        head_width = getattr(config, "head_dim", None) or self.hidden_size // self.heads
        self.kv_width: int = head_width * (
            getattr(config, "num_key_value_heads", None) or self.heads
        )

    def site(self, part: str, layer: int | None = None) -> Site | None:
        """Return the site of a part, or `None` where this model has none."""
        module = self.module(part, layer)
        if module is None:
            return None
        if part == "attention":
            return Site(part, layer, self.heads, self.kv_width)
        if part in self.family.parts or part in (*LOOKUP_PARTS, LOGITS) or _is_matrix(part, module):
            weight, bias = self.matrix(part, layer)
            start = (self.span(part) or (0,))[0]
            return Site(
                part,
                layer,
                weight.shape[1],
                weight.shape[0],
                weight=weight,
                bias=bias,
                start=start,
                change=change_of(module) if part in LOOKUP_PARTS else linear,
            )
        if part in (*NORM_PARTS, *OUTER_NORM_PARTS):
            return _norm_site(part, layer, module)
        if part.startswith(BY_PATH):
            bias = getattr(module, "bias", None)
            width = 0 if bias is None else bias.shape[0]
            return Site(part, layer, width, width, bias=bias)
        return Site(part, layer, self.hidden_size, self.hidden_size)

    def renew(self, site: Site) -> None:
        """Give a site the model's weights of now: views do not follow a model that is moved."""
        fresh = self.site(site.part, site.layer)
        assert fresh is not None
        for name in ("weight", "bias"):
            object.__setattr__(site, name, getattr(fresh, name))  # a site is frozen for methods

    def module(self, part: str, layer: int | None = None) -> nn.Module | None:
        """Return the module of a part; for a block, the one whose output is the block's result."""
        if part.startswith(BY_PATH):
            return self._by_path(part.removeprefix(BY_PATH), layer)
        if layer is None:
            return self._outside(part)
        if part == MODULE:
            modules = modules_of(self.family)
            return self.within(layer, modules.table) if modules else None
        if part in BLOCK_PARTS:
            block = self.family.blocks.get(part)
            return self.within(layer, block.norm or block.sublayer) if block else None
        paths = {**self.family.parts, **self.family.norms, "attention": self.family.attention}
        return self.within(layer, paths[part]) if part in paths else None

    def _outside(self, part: str) -> nn.Module | None:
        if part in ("output", LOGITS):
            return _module(self.model, self.family.output)
        if part == WORDS:
            words: nn.Module = self.model.get_input_embeddings()
            return words
        paths = {
            "positions": self.family.positions,
            **self.family.outside,
            "embeddings": self.family.embeddings,
        }
        path = paths.get(part)
        return _module(self.trunk, path) if path else None

    def _by_path(self, path: str, layer: int | None) -> nn.Module | None:
        if layer is not None:
            return self.within(layer, path)
        found = _module(self.trunk, path)
        return _module(self.model, path) if found is None else found

    def matrix(self, part: str, layer: int | None) -> tuple[Tensor, Tensor | None]:
        """Return a linear part's weight (out, in) and bias, as views into the model's own.

        Raises:
            AttachError: the model has something else there.
        """
        module = self.module(part, layer)
        if isinstance(module, nn.Linear):
            weight, bias = module.weight, module.bias
        elif isinstance(module, Conv1D):
            weight, bias = module.weight.t(), module.bias
        elif isinstance(module, nn.Embedding):
            return module.weight.t(), None
        else:
            raise AttachError(
                f"part `{part}` of layer {layer} is {type(module).__name__}, expected a Linear"
            )
        span = self.span(part)
        if span is None:
            return weight, bias
        rows = slice(*span)
        return weight[rows], None if bias is None else bias[rows]

    def span(self, part: str) -> tuple[int, int] | None:
        """Return which outputs of its module a part is, where several share one module."""
        if part not in self.family.fused:
            return None
        number, count = self.family.fused[part]
        module = self.module(part, 0)
        size = module.nf if isinstance(module, Conv1D) else int(getattr(module, "out_features", 0))
        return number * size // count, (number + 1) * size // count

    def block(self, part: str) -> Block:
        """Return the row's entry for a block."""
        return self.family.blocks[part]

    def within(self, layer: int, path: str) -> nn.Module | None:
        """Return the module at `path` in a layer."""
        return _module(self._layers[layer], path)

    def rotary(self) -> nn.Module | None:
        """Return the module of positions that a cache's length shifts, if the family has one."""
        return _module(self.trunk, self.family.rotary) if self.family.rotary else None

    def positions(self) -> nn.Module | None:
        """Return the embedding of absolute positions that are counted from the text's start."""
        return _module(self.trunk, self.family.positions) if self.family.positions else None


def _is_matrix(part: str, module: nn.Module) -> bool:
    return part.startswith(BY_PATH) and isinstance(module, (nn.Linear, Conv1D))


def _norm_site(part: str, layer: int | None, module: nn.Module) -> Site:
    weight, bias = module.get_parameter("weight"), getattr(module, "bias", None)
    width = weight.shape[0]
    return Site(part, layer, width, width, weight=weight, bias=bias, change=change_of(module))


def _module(root: nn.Module, path: str) -> nn.Module | None:
    try:
        return root.get_submodule(path)
    except AttributeError:
        return None

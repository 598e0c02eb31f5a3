"""The part `attention`: keys and values that a layer sees before the text's own.

transformers looks up a layer's attention function by its config's `_attn_implementation`.  While
attached, a layer's attention module gets a view of its config that names the function below, which
puts the vectors in front and calls the original.  Masks are made elsewhere, with the untouched
config, and only get columns added here; taking the view away undoes everything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from adapterhub_lite.errors import AttachError
from adapterhub_lite.methods.base import Memory, Site
from adapterhub_lite.model.compile import Compiled
from adapterhub_lite.model.hooks import Uncopied
from adapterhub_lite.model.rows import Plan, arrange, check_size

NAME = "adapterhub_lite"
SUPPORTED = ("eager", "sdpa")


class ConfigView(Uncopied):
    """A model's config, seen through: all as it is, but another attention function.

    `_attn_implementation` is where every attention module of transformers looks.  `under` is what
    the module had before: the config, or the view of an attachment that this one covers.
    """

    def __init__(self, under: Any, site: Site, planner: Callable[[], Plan | None]) -> None:
        self.under = under
        self.original: Any = under.original if isinstance(under, ConfigView) else under
        self.site = site
        self.planner = planner
        self._attn_implementation = NAME

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def view_attention(
    module: nn.Module, site: Site, planner: Callable[[], Plan | None]
) -> Callable[[], None]:
    """Give an attention module its view; return the function that takes it away.

    Raises:
        AttachError: an attention function whose masks cannot be extended here.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    before: Any = module.config
    view = ConfigView(before, site, planner)
    implementation = view.original._attn_implementation
    if implementation not in SUPPORTED:
        raise AttachError(
            f"prefixes work with attention {' or '.join(SUPPORTED)}, "
            f"this model uses `{implementation}`",
            hint='load it with `attn_implementation="sdpa"`',
        )
    ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)
    module.config = view  # type: ignore[assignment]  # it is seen as a config

    def undo() -> None:
        module.config = before

    return undo


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **settings: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention over memory and text.  Shapes: (rows, heads, tokens, head width)."""
    view: Any = module.config
    plan: Plan | None = view.planner()
    while plan is None and isinstance(view.under, ConfigView):  # a covered one's recomputation
        view = view.under
        plan = view.planner()
    inner = _Inner(module, view, settings)
    if plan is None:
        return inner(query, key, value, attention_mask)
    if plan.whole is not None:
        return inner.with_memory(plan.whole, query, key, value, mask=attention_mask)
    if all(view.site.key not in group.compiled.runs for group in plan.groups):
        return inner(query, key, value, attention_mask)
    check_size(plan, query.shape[0])
    tensors = [arrange(plan, t) for t in (query, key, value)]
    mask = attention_mask
    per_row = mask is not None and mask.shape[0] == query.shape[0]
    if mask is not None and per_row:
        mask = arrange(plan, mask)
    parts = []
    for group in plan.groups:
        rows = slice(group.start, group.stop)
        own = mask[rows] if mask is not None and per_row else mask
        output, _ = inner.with_memory(group.compiled, *(t[rows] for t in tensors), mask=own)
        parts.append(output)
    joined = torch.cat(parts)
    return (joined if plan.back is None else joined.index_select(0, plan.back)), None


class _Inner:
    """The original attention function of one module, with and without memory."""

    def __init__(self, module: nn.Module, view: ConfigView, settings: dict[str, Any]) -> None:
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        eager: Any = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
        self.function: Any = ALL_ATTENTION_FUNCTIONS.get_interface(
            view.original._attn_implementation, eager
        )
        self.module = module
        self.site = view.site
        self.settings = settings

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        result: tuple[Tensor, Tensor | None] = self.function(
            self.module, query, key, value, mask, **self.settings
        )
        return result

    def with_memory(
        self,
        compiled: Compiled,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        mask: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        steps = [s for run in compiled.runs.get(self.site.key, ()) for s in run.steps]
        found = [step.memory(self.site) for step in steps]
        memories = [memory for memory in found if memory is not None]
        plain = [m for m in memories if m.gate is None]
        if plain:
            keys = _heads(torch.cat([m.keys for m in plain]), key)
            values = _heads(torch.cat([m.values for m in plain]), value)
            mask = self._longer(mask, query, key, keys.shape[2])
            key, value = torch.cat((keys, key), dim=2), torch.cat((values, value), dim=2)
        output, weights = self(query, key, value, mask)
        for memory in memories:
            if memory.gate is not None:
                output = output + self._gated(memory, query, key)
        return output, weights

    def _longer(
        self, mask: Tensor | None, query: Tensor, key: Tensor, length: int
    ) -> Tensor | None:
        """Return the mask with `length` visible columns in front."""
        if mask is None:
            causal = getattr(self.module, "is_causal", False) and query.shape[2] > 1
            if not causal:
                return None
            tokens, seen = query.shape[2], key.shape[2]
            ones = torch.ones(tokens, seen, dtype=torch.bool, device=query.device)
            mask = ones.tril(seen - tokens)[None, None]
            if self.function.__name__ == "eager_attention_forward":
                lowest = torch.finfo(query.dtype).min
                mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, lowest)
        visible = 1 if mask.dtype == torch.bool else 0
        return nn.functional.pad(mask, (length, 0), value=visible)

    def _gated(self, memory: Memory, query: Tensor, key: Tensor) -> Tensor:
        """Return tanh(gate) * softmax(q K / sqrt(d)) V, as (rows, tokens, heads, head width)."""
        assert memory.gate is not None
        groups = query.shape[1] // key.shape[1]
        keys = _heads(memory.keys, key).repeat_interleave(groups, dim=1)
        values = _heads(memory.values, key).repeat_interleave(groups, dim=1)
        scaling = self.settings.get("scaling") or query.shape[-1] ** -0.5
        weights = (query @ keys.transpose(2, 3) * scaling).softmax(dim=-1)
        mixed: Tensor = weights @ values * memory.gate.tanh()[:, None, None]
        return mixed.transpose(1, 2)


def _heads(vectors: Tensor, like: Tensor) -> Tensor:
    """Return (length, kv width) as (rows, kv heads, length, head width)."""
    rows, heads, _, width = like.shape
    split = vectors.view(vectors.shape[0], heads, width).transpose(0, 1)
    return split.unsqueeze(0).expand(rows, -1, -1, -1)

"""LoRA in peft's files, written: the reverse of `peft_lora`.

Parts that are slices of one module (query, key and value of `c_attn`) become one A and one B; where
their A differ, A holds all of them and B is block-diagonal, which computes the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adapterhub_lite.exchange import peft_targets
from adapterhub_lite.exchange.converter import Writing, Written
from adapterhub_lite.families import WORDS
from adapterhub_lite.methods import places

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.methods.base import Site


@dataclass
class Change:
    """A and B of one module, with its rank and alpha."""

    A: Tensor
    B: Tensor
    rank: int
    alpha: float
    more: dict[str, Tensor] = field(default_factory=dict)


def write(writing: Writing) -> Written:
    """Return peft's config and tensors of a LoRA adapter."""
    config, base = writing.config, writing.base
    sites = [key.removesuffix(".A") for key in writing.weights if key.endswith(".A")]
    changes = by_module(writing, sites, ("bias",))
    tensors: dict[str, Tensor] = {}
    for path, change in changes.items():
        s = change.alpha / (math.sqrt(change.rank) if config.rank_stabilised else change.rank)
        words = base.sites_at(path)[0].part == WORDS
        names = ("lora_embedding_A", "lora_embedding_B") if words else _NAMES
        tensors |= {f"{path}.{names[0]}": change.A, f"{path}.{names[1]}": change.B}
        if "bias" in change.more:
            tensors[f"{path}.lora_B.bias"] = change.more["bias"] / s
    values = {
        **numbers(changes, config.rank, config.alpha),
        "bias": "none",
        "fan_in_fan_out": transposed(writing, list(changes)),
        "lora_bias": config.bias,
        "lora_dropout": config.dropout,
        "peft_type": "LORA",
        "target_modules": peft_targets.short_names(list(changes), base),
        "use_rslora": config.rank_stabilised,
    }
    biases = _own_biases(writing)
    if biases:
        values["bias"] = "lora_only" if set(biases) <= set(changes) else "all"
        wrapped = {p: f"{p}.base_layer.bias" if p in changes else f"{p}.bias" for p in biases}
        tensors |= {wrapped[path]: tensor for path, tensor in biases.items()}
    if config.tokens:
        values["trainable_token_indices"] = list(config.tokens)
        key = f"{base.module_of(WORDS)}.token_adapter.trainable_tokens_delta"
        tensors[key] = writing.weights["shared.vectors"]
    return Written(values, tensors)


_NAMES = ("lora_A.weight", "lora_B.weight")


def numbers(changes: Mapping[str, Change], rank: int, alpha: float) -> dict[str, Any]:
    """Return `r`, `lora_alpha` and the patterns for modules where they differ."""
    return {
        "r": rank,
        "lora_alpha": _whole(alpha),
        "rank_pattern": {path: c.rank for path, c in changes.items() if c.rank != rank},
        "alpha_pattern": {path: _whole(c.alpha) for path, c in changes.items() if c.alpha != alpha},
    }


def _whole(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number


def by_module(writing: Writing, keys: Sequence[str], more: Sequence[str]) -> dict[str, Change]:
    """Return the changes by the path of the module they are of, in the base's order.

    `more` names vectors over a part's outputs that stand beside A and B.
    """
    grouped: dict[str, list[str]] = {}
    for key in keys:
        grouped.setdefault(writing.base.module_of(key), []).append(key)
    found = {path: _change(writing, path, own, more) for path, own in grouped.items()}
    order = {path: at for at, path in enumerate(writing.base.modules)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], 0)))


def _change(writing: Writing, path: str, keys: Sequence[str], more: Sequence[str]) -> Change:
    import torch

    config, weights = writing.config, writing.weights
    sites = writing.base.sites_at(path)
    first = keys[0]
    numbers_of = {key: _numbers(config, key) for key in keys}
    same_A = all(torch.equal(weights[f"{key}.A"], weights[f"{first}.A"]) for key in keys)
    vectors = {
        name: torch.cat([_vector(writing, site, name) for site in sites])
        for name in more
        if any(f"{key}.{name}" in weights for key in keys)
    }
    if same_A and all(numbers_of[key] == numbers_of[first] for key in keys):
        rank, alpha = numbers_of[first]
        B = torch.cat([_rows(writing, site, rank) for site in sites])
        return Change(weights[f"{first}.A"], B, rank, alpha, vectors)
    present = [site for site in sites if site.key in keys]
    rank = sum(numbers_of[site.key][0] for site in present)
    stable = getattr(config, "rank_stabilised", False)
    alpha = math.sqrt(rank) if stable else float(rank)  # s = 1; each part's own s goes into B
    blocks = {site.key: weights[f"{site.key}.B"] * _s(config, site.key) for site in present}
    A = torch.cat([weights[f"{site.key}.A"] for site in present])
    B = torch.zeros(sum(site.width for site in sites), rank)
    at = 0
    for site in present:
        block = blocks[site.key]
        B[site.start : site.start + site.width, at : at + block.shape[1]] = block
        at += block.shape[1]
    return Change(A, B, rank, alpha, vectors)


def _numbers(config: Any, key: str) -> tuple[int, float]:
    ranks, alphas = (places.numbers(texts, "lora") for texts in (config.ranks, config.alphas))
    return int(ranks.get(key, config.rank)), float(alphas.get(key, config.alpha))


def _s(config: Any, key: str) -> float:
    rank, alpha = _numbers(config, key)
    stable = getattr(config, "rank_stabilised", False)
    return float(alpha / (math.sqrt(rank) if stable else rank))


def _rows(writing: Writing, site: Site, rank: int) -> Tensor:
    import torch

    key = f"{site.key}.B"
    return writing.weights[key] if key in writing.weights else torch.zeros(site.width, rank)


def _vector(writing: Writing, site: Site, name: str) -> Tensor:
    import torch

    return writing.weights.get(f"{site.key}.{name}", torch.zeros(site.width))


def transposed(writing: Writing, paths: Sequence[str]) -> bool:
    """Whether the modules keep their weights as (in, out)."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(writing.base.modules[path], Conv1D) for path in paths)


def _own_biases(writing: Writing) -> dict[str, Tensor]:
    """Return the base's biases that were trained along, whole, by module."""
    import torch

    found: dict[str, Tensor] = {}
    for key in writing.config.biases:
        path = writing.base.module_of(key)
        if path in found:
            continue
        sites = writing.base.sites_at(path)
        pieces = []
        for site in sites:
            own = writing.weights.get(f"{site.key}.own_bias")
            whole = writing.base.tensor(f"{path}.bias") if own is None else None
            rows = slice(site.start, site.start + site.width)
            pieces.append(own if own is not None else _known(whole, path)[rows])
        found[path] = torch.cat(pieces)
    return found


def _known(bias: Tensor | None, path: str) -> Tensor:
    from adapterhub_lite.errors import ExchangeError

    if bias is None:
        raise ExchangeError(f"the base holds no bias of `{path}`, a slice of which was retrained")
    return bias

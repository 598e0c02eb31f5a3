"""LoRA in peft's files, read: patterns of ranks, fused modules, biases, tokens, embeddings.

One module of the base may be several parts here (`c_attn` is query, key and value): each gets the
same A and its own rows of B, which computes the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import peft_config, peft_extras, peft_targets
from adapterhub_lite.exchange.converter import Converted, Converter, Reading, Writing, Written
from adapterhub_lite.exchange.peft_extras import of_site, shaped
from adapterhub_lite.families import WORDS
from adapterhub_lite.methods import places

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.methods.base import Site

KINDS: dict[str, tuple[type, ...]] = {
    "alpha_pattern": (dict,),
    "bias": (str,),
    "corda_config": (dict, NoneType),
    "ensure_weight_tying": (bool,),
    "eva_config": (dict, NoneType),
    "init_lora_weights": (bool, str),
    "loftq_config": (dict, NoneType),
    "lora_alpha": (int, float),
    "lora_bias": (bool,),
    "lora_dropout": (int, float),
    "lora_ga_config": (dict, NoneType),
    "megatron_core": (str, NoneType),
    "qalora_group_size": (int,),
    "r": (int,),
    "rank_pattern": (dict,),
    "trainable_token_indices": (list, dict, NoneType),
    "use_dora": (bool,),
    "use_rslora": (bool,),
    "velora_config": (dict, NoneType),
}
REFUSED = {
    "alora_invocation_tokens": "aLoRA, which acts after some tokens only",
    "arrow_config": "Arrow, a router over several adapters",
    "kasa_config": "KaSA, which truncates the base's weights",
    "layer_replication": "layers that are run twice",
    "megatron_config": "Megatron's parallel layers",
    "monteclora_config": "MonteCLoRA, which samples",
    "target_parameters": "parameters that are no module's",
    "use_bdlora": "BD-LoRA, block-diagonal factors",
    "use_qalora": "QALoRA, which pools the input",
}
CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to start that take something out of the base's weights, so that A and B alone are useless.

peft repeats that on loading.  Saved with `path_initial_model_for_weight_conversion`, an adapter no
longer needs it, and its config says so.
"""
SUFFIXES = ("lora_A.weight", "lora_embedding_A")


@dataclass
class LowRank:
    """What A, B and their numbers are at every site, in this package's form."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    alphas: dict[str, float] = field(default_factory=dict)

    @property
    def sites(self) -> list[str]:
        """The keys of the sites, in order."""
        return list(self.ranks)

    def other(self, rank: int, alpha: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return, as configs have them, the ranks and alphas that are not these."""
        ranks = {key: float(r) for key, r in self.ranks.items() if r != rank}
        alphas = {key: a for key, a in self.alphas.items() if a != alpha}
        return places.texts(ranks), places.texts(alphas)


class PeftLoRA(Converter):
    """LoRA in peft's files; see the module's docstring."""

    name = "peft-lora"
    format = "peft"
    method = "lora"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether it is LoRA, and not DoRA, which is a method of its own here."""
        return config.get("peft_type") == "LORA" and not config.get("use_dora")

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; raises `ExchangeError` for what has no exact form."""
        from adapterhub_lite.methods.lora import LoRAConfig

        config = reading.config
        check_config(config)
        tokens, vectors = peft_extras.tokens(reading)
        peft_extras.same_as_base(reading)
        found = low_rank(reading)
        own = peft_extras.own_biases(reading)
        parts, sites, leave_out = peft_targets.normal_form(found.sites, reading.base)
        if own and any(key not in found.ranks for key in own) and not sites:
            sites, leave_out = tuple(found.sites), ()
        rank, alpha = rank_and_alpha(config)
        ranks, alphas = found.other(rank, alpha)
        made = LoRAConfig(
            rank=rank,
            alpha=alpha,
            rank_stabilised=bool(config.get("use_rslora")),
            dropout=float(config.get("lora_dropout", 0.0)),
            bias=bool(config.get("lora_bias")),
            parts=parts,
            sites=sites,
            ranks=ranks,
            alphas=alphas,
            biases=tuple(own),
            tokens=tokens,
            tokens_tied=bool(tokens) and reading.base.tied(),
        )
        weights = {**found.weights, **{f"{key}.own_bias": t for key, t in own.items()}}
        if vectors is not None:
            weights["shared.vectors"] = vectors
        return Converted(made, weights, leave_out, notes=peft_extras.notes(reading))

    def write(self, writing: Writing) -> Written:
        """Return peft's config and tensors."""
        from adapterhub_lite.exchange.peft_lora_write import write

        return write(writing)


def check_config(config: Mapping[str, Any]) -> None:
    """Raise `ExchangeError` for config values that have no exact form here, naming them."""
    peft_config.check(config, KINDS, REFUSED, method="LoRA")
    rank_and_alpha(config)
    for key in ("rank_pattern", "alpha_pattern"):
        for name in config.get(key) or {}:
            peft_config.positive(config[key], name, 1)
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(CHANGES_THE_BASE):
        raise ExchangeError(
            f"the adapter started from `{start}`, which changes the base's weights, and was not "
            "converted when it was saved",
            hint="save it with `path_initial_model_for_weight_conversion`, which makes it plain "
            "LoRA",
        )
    if config.get("bias", "none") not in ("none", "all", "lora_only"):
        raise ExchangeError(f"peft's LoRA config has `bias` {config['bias']!r}")
    if config.get("ensure_weight_tying") and config.get("modules_to_save"):
        raise ExchangeError("`ensure_weight_tying` with `modules_to_save` has no form here")


def rank_and_alpha(config: Mapping[str, Any]) -> tuple[int, float]:
    """Return r and alpha; where a config leaves one out, peft's own default is meant."""
    return int(peft_config.positive(config, "r", 8)), peft_config.positive(config, "lora_alpha", 8)


def scalings(
    config: Mapping[str, Any], names: Sequence[str]
) -> dict[str, tuple[int, float, float]]:
    """Return rank, alpha and s of modules by their full names."""
    rank, alpha = rank_and_alpha(config)
    ranks = peft_targets.by_pattern(config.get("rank_pattern") or {}, names, rank)
    alphas = peft_targets.by_pattern(config.get("alpha_pattern") or {}, names, alpha)
    stable = config.get("use_rslora")
    return {
        name: (
            int(ranks[name]),
            float(alphas[name]),
            alphas[name] / (math.sqrt(ranks[name]) if stable else ranks[name]),
        )
        for name in names
    }


def low_rank(reading: Reading, magnitude: str | None = None) -> LowRank:
    """Return A and B (and `m` with `magnitude`, the peer's name of it) at every site.

    Raises:
        ExchangeError: config, tensors and base do not fit together.
    """
    found = LowRank()
    paths = peft_targets.placed(reading, SUFFIXES)
    full = {path: peft_targets.full_name(reading, path) for path in paths}
    numbers = scalings(reading.config, list(full.values()))
    for path in paths:
        rank, alpha, s = numbers[full[path]]
        for site, tensors in _module(reading, path, rank, s, magnitude):
            found.ranks[site.key], found.alphas[site.key] = rank, alpha
            found.weights |= {f"{site.key}.{key}": tensor for key, tensor in tensors.items()}
    return found


def _module(
    reading: Reading, path: str, rank: int, s: float, magnitude: str | None
) -> list[tuple[Site, dict[str, Tensor]]]:
    sites = reading.base.sites_at(path)
    width = sum(site.width for site in sites)
    words = sites[0].part == WORDS
    keys = ("lora_embedding_A", "lora_embedding_B") if words else (SUFFIXES[0], "lora_B.weight")
    A = shaped(reading, f"{path}.{keys[0]}", (rank, sites[0].in_width))
    whole = {"B": shaped(reading, f"{path}.{keys[1]}", (width, rank))}
    if reading.config.get("lora_bias"):
        whole["bias"] = shaped(reading, f"{path}.lora_B.bias", (width,)) * s
    if magnitude:
        whole["m"] = shaped(reading, f"{path}.{magnitude}", (width,))
    return [
        (site, {"A": A.clone(), **{key: of_site(site, tensor) for key, tensor in whole.items()}})
        for site in sites
    ]

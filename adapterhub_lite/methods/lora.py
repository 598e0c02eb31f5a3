"""LoRA: a low-rank change of a linear part, W x + s B A x.

Hu et al. 2021, https://arxiv.org/abs/2106.09685: s = alpha / r, A Gaussian, B zero at the start.
Rank-stabilised (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732): s = alpha / sqrt(r).

Beyond that paper, for adapters that come from elsewhere: sites named one by one with ranks of their
own, the embedding of token ids as a site (A and B change its rows), biases of the base that were
trained along and take the place of its own, and single rows of the embedding that were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapterhub_lite.errors import MethodError
from adapterhub_lite.families import LINEAR_PARTS, LOGITS, WORDS
from adapterhub_lite.methods import places
from adapterhub_lite.methods.base import Flow, Method, ModelShape, Site, Weights
from adapterhub_lite.methods.config import WIDEST, MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LoRAConfig(MethodConfig):
    """Config of `lora`."""

    rank: int = option(8, "r, the rank of the change", at_most=WIDEST)
    alpha: float = option(16.0, "scaling: alpha / r, or alpha / sqrt(r) with `rank_stabilised`")
    rank_stabilised: bool = option(False, "scale by alpha / sqrt(r)")
    dropout: float = option(0.0, "dropout on the input of A, in training")
    bias: bool = option(False, "train an addition to the part's bias as well")
    parts: tuple[str, ...] = option(("query", "value"), f"linear parts: {', '.join(LINEAR_PARTS)}")
    sites: tuple[str, ...] = option(
        (), "single sites in place of `parts`, such as `query.0`", omit_default=True
    )
    ranks: tuple[str, ...] = option((), "other ranks: `query.0=16`", omit_default=True)
    alphas: tuple[str, ...] = option((), "other alphas: `query.0=32`", omit_default=True)
    biases: tuple[str, ...] = option(
        (), "sites whose own bias is trained along and replaced", omit_default=True
    )
    tokens: tuple[int, ...] = option(
        (), "ids of tokens whose vectors are trained along and replaced", omit_default=True
    )
    tokens_tied: bool = option(
        False, "those vectors are replaced in the output embedding too", omit_default=True
    )

    def check(self) -> None:
        """Refuse ranks below one, dropout outside [0, 1) and parts that are not linear."""
        if self.rank < 1:
            raise MethodError(f"`lora` needs a rank of at least 1, found {self.rank}")
        if not 0 <= self.dropout < 1:
            raise MethodError(f"`lora` needs a dropout in [0, 1), found {self.dropout}")
        for part in self.parts:
            if part not in LINEAR_PARTS:
                raise MethodError(
                    f"`lora` cannot change part `{part}`", hint=f"one of {', '.join(LINEAR_PARTS)}"
                )
        places.check_sites(self.sites, "lora", outside=True)
        for rank in places.numbers(self.ranks, "lora").values():
            if not rank.is_integer() or rank > WIDEST:
                raise MethodError(f"`lora` needs whole ranks up to {WIDEST}, found {rank:g}")
        places.numbers(self.alphas, "lora")
        if any(a >= b for a, b in zip(self.tokens, self.tokens[1:], strict=False)):
            raise MethodError("`lora` needs `tokens` in rising order, each once")

    @property
    def scaling(self) -> float:
        """The factor s."""
        return self._factor(self.rank, self.alpha)

    def rank_at(self, key: str) -> int:
        """Return the rank at a site."""
        if not self.ranks:
            return self.rank
        return int(places.numbers(self.ranks, "lora").get(key, self.rank))

    def alpha_at(self, key: str) -> float:
        """Return alpha at a site."""
        if not self.alphas:  # the usual case, which `torch.compile` can trace without a warning
            return self.alpha
        return places.numbers(self.alphas, "lora").get(key, self.alpha)

    def scaling_at(self, key: str) -> float:
        """Return the factor s at a site."""
        return self._factor(self.rank_at(key), self.alpha_at(key))

    def changes(self, site: Site) -> bool:
        """Whether a site has A and B (others only have a bias or vectors of tokens)."""
        return site.key in self.sites if self.sites else site.part in self.parts

    def _factor(self, rank: int, alpha: float) -> float:
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)


class LoRA(Method):
    """The LoRA method; see the module's docstring.  Stacked, the changes add."""

    name = "lora"
    run = "lora"
    averages = "changes"
    Config = LoRAConfig

    def parts(self, config: LoRAConfig) -> tuple[str, ...]:
        """Return the parts that are touched in some layer."""
        if not (config.sites or config.biases):
            return tuple(config.parts)
        return places.parts_of((*(config.sites or config.parts), *config.biases))

    def sites(self, shape: ModelShape, config: LoRAConfig, leave_out: Sequence[int]) -> list[Site]:
        """Return the sites with A and B, then those that only have a bias or vectors of tokens.

        Raises:
            MethodError: the model has no such site.
        """
        if config.sites:
            sites = places.sites_named(shape, config.sites, leave_out, self.name)
        else:
            plain = replace(config, biases=())
            sites = super().sites(shape, plain, leave_out)
        more = list(config.biases)
        if config.tokens:
            more += [WORDS, LOGITS] if config.tokens_tied else [WORDS]
        known = {site.key for site in sites}
        missing = [key for key in more if key not in known]
        return [*sites, *places.sites_named(shape, missing, (), self.name)]

    def init(self, site: Site, config: LoRAConfig) -> dict[str, Tensor]:
        """Return A (r, in), B (out, r), and biases (out) where there are any."""
        import torch

        weights = {}
        if config.changes(site):
            rank = config.rank_at(site.key)
            weights = {
                "A": torch.randn(rank, site.in_width) / math.sqrt(site.in_width),
                "B": torch.zeros(site.width, rank),
            }
            if config.bias:
                weights["bias"] = torch.zeros(site.width)
        if site.key in config.biases:
            if site.bias is None:
                raise MethodError(f"`lora` replaces the bias of `{site.key}`, which has none here")
            weights["own_bias"] = places.copied(site.bias)
        return weights

    def init_shared(self, shape: ModelShape, config: LoRAConfig) -> dict[str, Tensor]:
        """Return the vectors of `tokens` (tokens, hidden size), as the base has them."""
        if not config.tokens:
            return {}
        return {"vectors": places.copied(_rows(places.site_named(shape, WORDS, self.name), config))}

    def step(
        self, site: Site, config: LoRAConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        """Return the state plus s B A x, and what biases and vectors of tokens change."""
        if "A" in weights:
            state = self._changed(site, config, weights, flow, state)
        if "own_bias" in weights:
            assert site.bias is not None
            state = state + (weights["own_bias"] - site.bias)
        if config.tokens and site.part == WORDS:
            state = state + _replaced(site, config, weights["vectors"], flow.x)
        if config.tokens and site.part == LOGITS:
            state = _replaced_logits(site, config, weights["vectors"], flow.x, state)
        return state

    def _changed(
        self, site: Site, config: LoRAConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        from torch.nn.functional import dropout, embedding, linear

        scaling = config.scaling_at(site.key)
        if site.part == WORDS:
            inner = embedding(flow.x, weights["A"].t())
            changed = state + linear(inner, weights["B"]) * scaling
        else:
            x = flow.x
            if config.dropout and flow.training:
                x = dropout(x, config.dropout)
            changed = _add_product(state, linear(x, weights["A"]), weights["B"], scaling)
        return changed + weights["bias"] if "bias" in weights else changed

    def delta(self, site: Site, config: LoRAConfig, weights: Weights) -> Tensor | None:
        """Return s B A; biases, and an embedding that may be tied, cannot be folded in."""
        foldable = config.changes(site) and site.part not in (WORDS, LOGITS)
        if not foldable or config.bias or config.biases or config.tokens:
            return None
        return (weights["B"] @ weights["A"]) * config.scaling_at(site.key)

    def average(
        self,
        config: LoRAConfig,
        members: Sequence[Mapping[str, Tensor]],
        coefficients: Sequence[float],
    ) -> tuple[LoRAConfig, dict[str, Tensor]]:
        """Return the exact mean of the changes: all A side by side, all B times their coefficient.

        The mean of A and the mean of B separately would add cross terms B1 A2.
        """
        import torch

        weights: dict[str, Tensor] = {}
        for key in members[0]:
            tensors = [member[key] for member in members]
            scaled = [c * tensor for c, tensor in zip(coefficients, tensors, strict=True)]
            if key.endswith(".A"):
                weights[key] = torch.cat(tensors, dim=0)
            elif key.endswith(".B"):
                weights[key] = torch.cat(scaled, dim=1)
            else:
                weights[key] = torch.stack(scaled).sum(dim=0)
        return _longer(config, len(members)), weights


def _longer(config: LoRAConfig, times: int) -> LoRAConfig:
    """Return the config with `times` the rank everywhere, and alphas that keep every scaling."""
    ranks = places.numbers(config.ranks, "lora")
    alphas = places.numbers(config.alphas, "lora")
    growth = math.sqrt(times) if config.rank_stabilised else times
    return replace(
        config,
        rank=config.rank * times,
        alpha=config.alpha * growth,
        ranks=places.texts({key: rank * times for key, rank in ranks.items()}),
        alphas=places.texts({key: alpha * growth for key, alpha in alphas.items()}),
    )


def _rows(site: Site, config: LoRAConfig) -> Tensor:
    """Return the base's vectors of the tokens; `site` is an embedding or the one it is tied to."""
    assert site.weight is not None
    matrix = site.weight.t() if site.part == WORDS else site.weight
    if config.tokens[-1] >= matrix.shape[0]:
        raise MethodError(
            f"`lora` has a vector for token {config.tokens[-1]}, this base has {matrix.shape[0]}"
        )
    return matrix[list(config.tokens)].detach()


def _replaced(site: Site, config: LoRAConfig, vectors: Tensor, ids: Tensor) -> Tensor:
    """Return what replaced vectors change at every token: (rows, tokens, hidden size)."""
    import torch

    tokens = torch.tensor(config.tokens, device=ids.device)
    places_of = torch.searchsorted(tokens, ids).clamp(max=len(tokens) - 1)
    hit = tokens[places_of] == ids
    return (vectors - _rows(site, config))[places_of] * hit.unsqueeze(-1)


def _replaced_logits(
    site: Site, config: LoRAConfig, vectors: Tensor, x: Tensor, logits: Tensor
) -> Tensor:
    """Return the logits with those of the replaced vectors changed."""
    import torch

    tokens = torch.tensor(config.tokens, device=x.device)
    return logits.index_add(-1, tokens, x @ (vectors - _rows(site, config)).t())


def _add_product(state: Tensor, inner: Tensor, B: Tensor, scaling: float) -> Tensor:
    """Return state + s inner B^T in one pass over the state, which is most of what LoRA costs."""
    import torch

    flat = torch.addmm(state.flatten(0, -2), inner.flatten(0, -2), B.t(), alpha=scaling)
    return flat.view(state.shape)

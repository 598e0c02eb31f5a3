"""MAD-X against the computation written out: XLM-R without transformers, adapters as in the paper.

The order of residuals and layer norms is that of Pfeiffer et al. 2020 (MAD-X, section 3):
h = LN(r + x), language a = U relu(D h) + r, task b = U' relu(D' a) + r, and at last LN(b + x).
`chained` is the order of the library `adapters`: b = U' relu(D' LN(a + x)) + a.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.testing.adapters import logits

Make = Callable[..., LoadedAdapter]
HEADS = 4


class Plain:
    """XLM-R from its state dict, with places for adapters."""

    def __init__(self, base: Base) -> None:
        self.state: dict[str, Tensor] = base.model.state_dict()
        self.eps = base.model.config.layer_norm_eps
        self.layers = base.model.config.num_hidden_layers
        self.inside: tuple[Tensor, str]

    def linear(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return x @ weight.T + bias

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return layer_norm(x, list(weight.shape), weight, bias, self.eps)

    def attention(self, x: Tensor, mask: Tensor, layer: str) -> Tensor:
        rows, tokens, width = x.shape
        query, key, value = (
            self.linear(x, f"{layer}.attention.self.{part}")
            .view(rows, tokens, HEADS, width // HEADS)
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // HEADS)
        scores = scores.masked_fill(mask[:, None, None] == 0, float("-inf"))
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(rows, tokens, width)
        return self.linear(mixed, f"{layer}.attention.output.dense")

    def again(self, y: Tensor) -> Tensor:
        """Return the result of the block that is being computed, for an output `y` of it."""
        x, name = self.inside
        return self.norm(y + x, name)

    def __call__(
        self,
        ids: Tensor,
        mask: Tensor,
        adapt: Callable[[int, Tensor, Tensor], Tensor],
        embed: Callable[[Tensor], Tensor],
        unembed: Callable[[Tensor], Tensor],
    ) -> Tensor:
        state, trunk = self.state, "roberta"
        positions = torch.cumsum(mask, 1) * mask + 1
        x = state[f"{trunk}.embeddings.word_embeddings.weight"][ids]
        x = x + state[f"{trunk}.embeddings.position_embeddings.weight"][positions]
        x = x + state[f"{trunk}.embeddings.token_type_embeddings.weight"][0]
        x = embed(self.norm(x, f"{trunk}.embeddings.LayerNorm"))
        for number in range(self.layers):
            layer = f"{trunk}.encoder.layer.{number}"
            attended = self.attention(x, mask, layer)
            x = self.norm(attended + x, f"{layer}.attention.output.LayerNorm")
            inner = gelu(self.linear(x, f"{layer}.intermediate.dense"))
            r = self.linear(inner, f"{layer}.output.dense")
            self.inside = (x, f"{layer}.output.LayerNorm")
            normed = self.again(r)
            x = self.norm(adapt(number, normed, r) + x, f"{layer}.output.LayerNorm")
        x = gelu(self.linear(x, "lm_head.dense"))
        x = unembed(self.norm(x, "lm_head.layer_norm"))
        return self.linear(x, "lm_head.decoder")


def bottleneck(weights: Mapping[str, Tensor], layer: int, h: Tensor, r: Tensor) -> Tensor:
    w = {k: weights[f"ffn_block.{layer}.{k}"] for k in ("down", "down_bias", "up", "up_bias")}
    return (h @ w["down"].T + w["down_bias"]).relu() @ w["up"].T + w["up_bias"] + r


def coupling(weights: Mapping[str, Tensor], name: str, half: Tensor) -> Tensor:
    inner = (half @ weights[f"shared.{name}0"].T + weights[f"shared.{name}0_bias"]).relu()
    return inner @ weights[f"shared.{name}2"].T + weights[f"shared.{name}2_bias"]


def written_out(
    base: Base, batch: dict[str, Tensor], language: LoadedAdapter, task: LoadedAdapter
) -> Tensor:
    def adapt(layer: int, normed: Tensor, r: Tensor) -> Tensor:
        if layer in language.leave_out:
            return bottleneck(task.weights, layer, normed, r)
        return bottleneck(task.weights, layer, bottleneck(language.weights, layer, normed, r), r)

    def embed(x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        first = first + coupling(language.weights, "F", second)
        return torch.cat((first, second + coupling(language.weights, "G", first)), -1)

    def unembed(y: Tensor) -> Tensor:
        first, second = y.chunk(2, -1)
        second = second - coupling(language.weights, "G", first)
        return torch.cat((first - coupling(language.weights, "F", second), second), -1)

    return Plain(base)(batch["input_ids"], batch["attention_mask"], adapt, embed, unembed)


def test_the_written_out_base_is_the_base(
    bases: Callable[[str], Base], batch: dict[str, Tensor]
) -> None:
    base = bases("xlm-roberta")
    plain = Plain(base)(
        batch["input_ids"], batch["attention_mask"], lambda _, __, r: r, lambda x: x, lambda x: x
    )
    visible = batch["attention_mask"].bool()
    torch.testing.assert_close(plain[visible], logits(base, batch)[visible], atol=1e-5, rtol=0)


def test_a_stack_of_language_and_task_equals_the_formula(
    bases: Callable[[str], Base], make: Make, batch: dict[str, Tensor]
) -> None:
    base = bases("xlm-roberta")
    language = make(base, "bottleneck", "sw", scale=0.1, invertible=True, reduction=2)
    task = make(base, "bottleneck", "ner", seed=2, scale=0.1, reduction=16)
    with attach(base, "stack(sw, ner)", adapters={"sw": language, "ner": task}):
        stacked = logits(base, batch)
    visible = batch["attention_mask"].bool()
    expected = written_out(base, batch, language, task)[visible]
    torch.testing.assert_close(stacked[visible], expected, atol=1e-5, rtol=0)


def test_a_chained_stack_equals_the_formula_of_the_library_adapters(
    bases: Callable[[str], Base], make: Make, batch: dict[str, Tensor]
) -> None:
    """In mixed batches too, where the layer norm runs on some of the rows."""
    base, plain = bases("xlm-roberta"), Plain(bases("xlm-roberta"))
    shape = {"scale": 0.1, "stacking": "chained"}
    adapters = {
        "sw": make(base, "bottleneck", "sw", reduction=2, **shape),
        "ner": make(base, "bottleneck", "ner", seed=2, **shape),
    }

    def adapt(layer: int, normed: Tensor, r: Tensor) -> Tensor:
        a = bottleneck(adapters["sw"].weights, layer, normed, r)
        return bottleneck(adapters["ner"].weights, layer, plain.again(a), a)

    expected = plain(batch["input_ids"], batch["attention_mask"], adapt, lambda x: x, lambda x: x)
    visible = batch["attention_mask"].bool()
    with attach(base, {"both": "stack(sw, ner)", "ner": "ner", "no": None}, adapters=adapters) as a:
        a.use("both")
        torch.testing.assert_close(
            logits(base, batch)[visible], expected[visible], atol=1e-5, rtol=0
        )
        with a.rows(["both", "ner", "no", "both"]):
            mixed = logits(base, batch)
    for row in (0, 3):
        torch.testing.assert_close(mixed[row], expected[row], atol=5e-5, rtol=0)


def test_a_left_out_layer_keeps_only_the_task_adapter(
    bases: Callable[[str], Base], make: Make, batch: dict[str, Tensor]
) -> None:
    base = bases("xlm-roberta")
    language = make(base, "bottleneck", "sw", scale=0.1, invertible=True, leave_out=[2])
    task = make(base, "bottleneck", "ner", seed=2, scale=0.1)
    with attach(base, "stack(sw, ner)", adapters={"sw": language, "ner": task}):
        stacked = logits(base, batch)
    visible = batch["attention_mask"].bool()
    expected = written_out(base, batch, language, task)[visible]
    torch.testing.assert_close(stacked[visible], expected, atol=1e-5, rtol=0)


def test_order_in_a_stack_matters(
    bases: Callable[[str], Base], make: Make, batch: dict[str, Tensor]
) -> None:
    base = bases("xlm-roberta")
    adapters = {
        "sw": make(base, "bottleneck", "sw"),
        "ner": make(base, "bottleneck", "ner", seed=2),
    }
    with attach(
        base, {"up": "stack(sw, ner)", "down": "stack(ner, sw)"}, adapters=adapters
    ) as both:
        both.use("up")
        up = logits(base, batch)
        both.use("down")
        assert (logits(base, batch) - up).abs().max() > 1e-2

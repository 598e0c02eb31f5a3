"""(IA)^3 in the kit, and against peft's numbers."""

from __future__ import annotations

import peft
import pytest
import torch
from torch import Tensor

from adapterhub_lite.errors import AttachError, MethodError
from adapterhub_lite.methods.lora import LoRA
from adapterhub_lite.model.attach import attach
from adapterhub_lite.testing import MethodSuite
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.kit import Bases, Batch
from ia3 import IA3
from tests.method_plugins.peers import TARGETS, paths, peer_logits

Own = dict[str, Tensor]


class TestIA3(MethodSuite):
    method = IA3()

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: Own) -> Tensor:
        if "l_in" in own:
            return (x * own["l_in"]) @ weight.T + bias
        return (x @ weight.T + bias) * own["l"]


class TestIA3OnWeightsThatMerge(MethodSuite):
    method = IA3()
    config = {"outputs": ["ffn_gate"], "inputs": ["ffn_up", "ffn_down"]}
    families = ("llama", "mistral", "qwen2")

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: Own) -> Tensor:
        return TestIA3.expected(self, x, weight, bias, own)  # type: ignore[arg-type]


def test_equals_peft(bases: Bases, batch: Batch) -> None:
    base = bases("bert")
    adapter = random_adapter(base, IA3(), {})
    config = peft.IA3Config(
        target_modules=paths("key", "value", "ffn_down"), feedforward_modules=paths("ffn_down")
    )
    theirs = {}
    for layer in range(3):
        start = f"base_model.model.bert.encoder.layer.{layer}"
        for part in ("key", "value"):
            own = adapter.weights[f"{part}.{layer}.l"]
            theirs[f"{start}.{TARGETS[part]}.ia3_l.default"] = own[:, None]
        own = adapter.weights[f"ffn_down.{layer}.l_in"]
        theirs[f"{start}.output.dense.ia3_l.default"] = own[None]
    with attach(base, "a", adapters={"a": adapter}):
        found = logits(base, batch)
    torch.testing.assert_close(found, peer_logits(base, config, theirs, batch))


def test_stacked_vectors_multiply(bases: Bases, batch: Batch) -> None:
    base = bases("bert")
    adapters = {
        name: random_adapter(base, IA3(), {}, ref=name, seed=s) for s, name in [(1, "a"), (2, "b")]
    }
    product = random_adapter(base, IA3(), {}, ref="product")
    product.weights = {k: v * adapters["b"].weights[k] for k, v in adapters["a"].weights.items()}
    with attach(base, "product", adapters={"product": product}):
        expected = logits(base, batch)
    with attach(base, "stack(a, b)", adapters=adapters):
        torch.testing.assert_close(logits(base, batch), expected)


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_merges_where_no_bias_is_rescaled(bases: Bases, batch: Batch, family: str) -> None:
    base = bases(family)
    adapters = {
        name: random_adapter(base, IA3(), {}, ref=name, seed=s) for s, name in [(1, "a"), (2, "b")]
    }
    if family == "bert":
        with pytest.raises(AttachError, match="cannot be merged"):
            attach(base, "a", adapters=adapters, merge=True)
        return
    with attach(base, "stack(a, b)", adapters=adapters):
        unmerged = logits(base, batch)
    with attach(base, "stack(a, b)", adapters=adapters, merge=True):
        torch.testing.assert_close(logits(base, batch), unmerged, atol=1e-5, rtol=0)


def test_refused_where_it_would_rescale_half(bases: Bases) -> None:
    base = bases("bert")
    lora = random_adapter(base, LoRA(), {"parts": ["ffn_down"]}, ref="lora")
    outputs = random_adapter(base, IA3(), {"outputs": ["ffn_down"], "inputs": []}, ref="outputs")
    adapters = {"a": random_adapter(base, IA3(), {}), "lora": lora, "outputs": outputs}
    with pytest.raises(AttachError, match="which `lora` already read"):
        attach(base, "stack(lora, a)", adapters=adapters)
    with pytest.raises(AttachError, match="the other its output"):
        attach(base, "stack(outputs, a)", adapters=adapters)
    with attach(base, "stack(a, lora)", adapters=adapters):
        pass


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"outputs": ["ffn_block"]}, "cannot rescale `ffn_block`"),
        ({"outputs": ["key"], "inputs": ["key"]}, "not both"),
    ],
)
def test_configs_that_make_no_sense(config: dict[str, list[str]], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        IA3.Config.from_mapping(config)

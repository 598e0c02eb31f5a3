"""DoRA in the kit, and against peft's numbers."""

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
from dora import DoRA
from tests.method_plugins.peers import TARGETS, paths, peer_logits


class TestDoRA(MethodSuite):
    method = DoRA()
    config = {"rank": 3, "alpha": 5.0, "parts": ["query", "value", "ffn_up"]}

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]) -> Tensor:
        direction = weight + 5 / 3 * own["B"] @ own["A"]
        length = direction.detach().square().sum(dim=1, keepdim=True).sqrt()
        change = own["m"][:, None] * direction / length - weight
        return x @ weight.T + bias + x @ change.T


def test_equals_peft(bases: Bases, batch: Batch) -> None:
    base = bases("bert")
    adapter = random_adapter(base, DoRA(), {"rank": 3, "alpha": 5.0})
    config = peft.LoraConfig(
        r=3, lora_alpha=5, use_dora=True, target_modules=paths("query", "value")
    )
    names = {"A": "lora_A.default.weight", "B": "lora_B.default.weight"}
    names["m"] = "lora_magnitude_vector.default.weight"
    theirs = {
        f"base_model.model.bert.encoder.layer.{layer}.{TARGETS[part]}.{name}": (
            adapter.weights[f"{part}.{layer}.{ours}"]
        )
        for layer in range(3)
        for part in ("query", "value")
        for ours, name in names.items()
    }
    with attach(base, "a", adapters={"a": adapter}):
        found = logits(base, batch)
    torch.testing.assert_close(found, peer_logits(base, config, theirs, batch))


def test_a_stack_splits_the_weight_that_the_lower_one_left(bases: Bases, batch: Batch) -> None:
    """Attached as it is and folded into the base's weights one after the other."""
    base = bases("bert")
    adapters = {
        name: random_adapter(base, DoRA(), {"rank": 3}, ref=name, seed=seed)
        for seed, name in enumerate("ab", 1)
    }
    with attach(base, "stack(a, b)", adapters=adapters):
        found = logits(base, batch)
    with attach(base, "stack(a, b)", adapters=adapters, merge=True):
        torch.testing.assert_close(logits(base, batch), found, atol=1e-5, rtol=0)


def test_only_a_weight_can_be_split(bases: Bases) -> None:
    base = bases("bert")
    adapters = {
        "dora": random_adapter(base, DoRA(), {}),
        "lora": random_adapter(base, LoRA(), {}, ref="lora"),
        "elsewhere": random_adapter(base, LoRA(), {"parts": ["key"]}, ref="elsewhere"),
    }
    with pytest.raises(AttachError, match="splits the base's weight of `query`, which `lora`"):
        attach(base, "stack(lora, elsewhere, dora)", adapters=adapters)
    for stack in ("stack(dora, lora)", "stack(elsewhere, dora)"):
        attach(base, stack, adapters=adapters).detach()


def test_an_average_is_refused(bases: Bases) -> None:
    base = bases("bert")
    adapters = {name: random_adapter(base, DoRA(), {}, ref=name) for name in "ab"}
    with pytest.raises(MethodError, match="`dora` adapters have no average"):
        attach(base, "average(a, b)", adapters=adapters)

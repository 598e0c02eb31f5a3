"""VeRA in the kit, and against peft's numbers."""

from __future__ import annotations

import peft
import pytest
import torch
from torch import Tensor

from adapterhub_lite.errors import MethodError
from adapterhub_lite.model.attach import attach
from adapterhub_lite.testing import MethodSuite
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.kit import Bases, Batch
from tests.method_plugins.peers import TARGETS, paths, peer_logits
from vera import VeRA, draw

CPU = torch.device("cpu")


class TestVeRA(MethodSuite):
    method = VeRA()
    config = {"rank": 6, "seed": 3, "parts": ["query", "value", "ffn_down"]}

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]) -> Tensor:
        A, B = draw(3, 6, 32, 36, dtype=torch.float32, device=CPU)
        change = torch.diag(own["b"]) @ B @ torch.diag(own["d"]) @ A
        return x @ (weight + change).T + bias


def test_equals_peft_which_draws_its_own_matrices(bases: Bases, batch: Batch) -> None:
    base = bases("bert")
    adapter = random_adapter(base, VeRA(), {"rank": 6, "seed": 11})
    config = peft.VeraConfig(r=6, projection_prng_key=11, target_modules=paths("query", "value"))
    theirs = {
        f"base_model.model.bert.encoder.layer.{layer}.{TARGETS[part]}.vera_lambda_{name}.default": (
            adapter.weights[f"{part}.{layer}.{name}"]
        )
        for layer in range(3)
        for part in ("query", "value")
        for name in "db"
    }
    with attach(base, "a", adapters={"a": adapter}):
        found = logits(base, batch)
    torch.testing.assert_close(found, peer_logits(base, config, theirs, batch))


def test_the_drawn_numbers_stay_the_same() -> None:
    """They are not stored, so another generator would silently change every saved adapter."""
    A, B = draw(0, 2, 3, 2, dtype=torch.float32, device=CPU)
    bound = 2**0.5  # Kaiming: sqrt(6 / 3)
    first = torch.rand(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(A.flatten(), (2 * first - 1) * bound)
    torch.testing.assert_close(first[:3], torch.tensor([0.49625659, 0.76822180, 0.08847743]))
    assert B.shape == (2, 2)


def test_an_average_is_refused(bases: Bases) -> None:
    base = bases("bert")
    adapters = {name: random_adapter(base, VeRA(), {"rank": 2}, ref=name) for name in "ab"}
    with pytest.raises(MethodError, match="`vera` adapters have no average"):
        attach(base, "average(a, b)", adapters=adapters)

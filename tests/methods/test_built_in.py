"""The built-in methods in the conformance kit that plugin authors use."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from adapterhub_lite.methods.bottleneck import Bottleneck
from adapterhub_lite.methods.lora import LoRA
from adapterhub_lite.methods.prefix import Prefix
from adapterhub_lite.testing import MethodSuite

Own = dict[str, Tensor]


def _bottleneck(h: Tensor, own: Own) -> Tensor:
    inner = (h @ own["down"].T + own["down_bias"]).relu()
    return inner @ own["up"].T + own["up_bias"]


def _coupling(half: Tensor, own: Own, name: str) -> Tensor:
    inner = (half @ own[f"{name}0"].T + own[f"{name}0_bias"]).relu()
    return inner @ own[f"{name}2"].T + own[f"{name}2_bias"]


class TestPfeiffer(MethodSuite):
    method = Bottleneck()
    config = {"reduction": 2, "invertible": True}

    def expected_block(self, x: Tensor, y: Tensor, normed: Tensor, own: Own) -> Tensor:
        return _bottleneck(normed, own) + y

    def expected_embeddings(self, y: Tensor, own: Own) -> Tensor:
        first, second = y[..., :16], y[..., 16:]
        first = first + _coupling(second, own, "F")
        return torch.cat((first, second + _coupling(first, own, "G")), -1)

    def expected_output(self, y: Tensor, own: Own) -> Tensor:
        first, second = y[..., :16], y[..., 16:]
        second = second - _coupling(first, own, "G")
        return torch.cat((first - _coupling(second, own, "F"), second), -1)


class TestHoulsby(MethodSuite):
    method = Bottleneck()
    config = {"placement": "houlsby", "reduction": 4}

    def expected_block(self, x: Tensor, y: Tensor, normed: Tensor, own: Own) -> Tensor:
        return _bottleneck(y, own) + y


class TestParallel(MethodSuite):
    method = Bottleneck()
    config = {"placement": "parallel", "reduction": 4, "scale": 4.0}

    def expected_block(self, x: Tensor, y: Tensor, normed: Tensor, own: Own) -> Tensor:
        return 4.0 * _bottleneck(x, own) + y


class TestLoRA(MethodSuite):
    method = LoRA()
    config = {"rank": 3, "alpha": 5.0, "parts": ["query", "value", "ffn_up"]}

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: Own) -> Tensor:
        return x @ (weight + 5 / 3 * own["B"] @ own["A"]).T + bias


class TestRankStabilisedLoRAWithBias(MethodSuite):
    method = LoRA()
    config = {"rank": 4, "rank_stabilised": True, "bias": True, "parts": ["ffn_down"]}

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: Own) -> Tensor:
        change = 16 / math.sqrt(4) * own["B"] @ own["A"]
        return x @ (weight + change).T + bias + own["bias"]


class TestLoRAAtSingleSites(MethodSuite):
    method = LoRA()
    config = {
        "rank": 3,
        "alpha": 5.0,
        "sites": ["query.0", "ffn_up.2"],
        "ranks": ["ffn_up.2=2"],
        "alphas": ["ffn_up.2=7"],
    }
    families = ("bert", "gpt2")

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: Own) -> Tensor:
        s = 5 / 3 if own["A"].shape[0] == 3 else 7 / 2
        return x @ (weight + s * own["B"] @ own["A"]).T + bias


class TestPrefix(MethodSuite):
    method = Prefix()
    config = {"length": 3}
    starts_as_identity = False  # a fresh prefix takes part in the softmax, as published

    def expected_memory(self, own: Own) -> tuple[Tensor, Tensor]:
        return own["keys"], own["values"]


class TestPrefixThatShiftsPositions(MethodSuite):
    method = Prefix()
    config = {"length": 3, "shift_positions": True}
    families = ("bert", "xlm-roberta")
    starts_as_identity = False

    def expected_memory(self, own: Own) -> tuple[Tensor, Tensor]:
        return own["keys"], own["values"]


class TestPrefixNetwork(MethodSuite):
    method = Prefix()
    config = {"length": 3, "reparameterise": True, "inner": 5}
    starts_as_identity = False

    def expected_memory(self, own: Own) -> tuple[Tensor, Tensor]:
        inner = torch.tanh(own["table"] @ own["in"].T + own["in_bias"])
        both = inner @ own["out"].T + own["out_bias"]
        return both[:, :32], both[:, 32:]

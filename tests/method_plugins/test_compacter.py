"""Compacter in the kit, with Kronecker products written out by `torch.kron`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from adapterhub_lite.errors import AttachError, MethodError
from adapterhub_lite.methods.bottleneck import Bottleneck
from adapterhub_lite.model.attach import attach
from adapterhub_lite.testing import MethodSuite
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.kit import Bases, Batch
from compacter import Compacter

Own = dict[str, Tensor]
SMALL = {"reduction": 4, "n": 2, "rank": 2}


def _matrix(own: Own, name: str) -> Tensor:
    factors = zip(own["A"], own[f"{name}_s"], own[f"{name}_t"], strict=True)
    return torch.stack([torch.kron(a, s @ t) for a, s, t in factors]).sum(0)


def _compacter(h: Tensor, own: Own) -> Tensor:
    inner = h @ _matrix(own, "down").T + own["down_bias"]
    inner = torch.nn.functional.gelu(inner, approximate="tanh")
    return inner @ _matrix(own, "up").T + own["up_bias"]


class TestCompacter(MethodSuite):
    method = Compacter()
    config = SMALL

    def expected_block(self, x: Tensor, y: Tensor, normed: Tensor, own: Own) -> Tensor:
        return _compacter(y, own) + y


class TestCompacterAfterTheFeedForward(MethodSuite):
    method = Compacter()
    config = {**SMALL, "placement": "pfeiffer"}

    def expected_block(self, x: Tensor, y: Tensor, normed: Tensor, own: Own) -> Tensor:
        return _compacter(normed, own) + y


@pytest.mark.parametrize("family", ["xlm-roberta", "qwen2"])
def test_equals_the_bottleneck_with_the_matrices_written_out(
    bases: Bases, batch: Batch, family: str
) -> None:
    """Over a language bottleneck, so the shared residual and norm (MAD-X) are in it."""
    base = bases(family)
    placement = {"placement": "pfeiffer"}
    small = random_adapter(base, Compacter(), {**SMALL, **placement})
    written = random_adapter(
        base, Bottleneck(), {"reduction": 4, "activation": "gelu_new"}, ref="written"
    )
    shared = {"A": small.weights["shared.A"]}
    for layer in range(3):
        start = f"ffn_block.{layer}."
        own = shared | {
            k.removeprefix(start): v for k, v in small.weights.items() if k.startswith(start)
        }
        for name in ("down", "up"):
            written.weights[f"{start}{name}"] = _matrix(own, name)
            written.weights[f"{start}{name}_bias"] = own[f"{name}_bias"]
    language = random_adapter(base, Bottleneck(), {"invertible": True}, ref="language", seed=2)
    adapters = {"small": small, "written": written, "language": language}
    with attach(base, "stack(language, written)", adapters=adapters):
        expected = logits(base, batch)
    with attach(base, "stack(language, small)", adapters=adapters):
        torch.testing.assert_close(logits(base, batch), expected, atol=1e-5, rtol=0)


def test_refusals(bases: Bases) -> None:
    base = bases("bert")
    adapters = {
        "a": random_adapter(base, Compacter(), SMALL),
        "b": random_adapter(base, Compacter(), SMALL, ref="b"),
        "language": random_adapter(base, Bottleneck(), {}, ref="language"),
    }
    with pytest.raises(AttachError, match="`houlsby` cannot stand on placement `pfeiffer`"):
        attach(base, "stack(language, a)", adapters=adapters)
    with pytest.raises(MethodError, match="`compacter` adapters have no average"):
        attach(base, "average(a, b)", adapters=adapters)
    with pytest.raises(MethodError, match="n = 3 cannot divide the hidden size 32"):
        random_adapter(base, Compacter(), {**SMALL, "n": 3})
    with pytest.raises(MethodError, match="n and rank"):
        Compacter.Config.from_mapping({"rank": 0})
    with pytest.raises(MethodError, match="no activation `swoosh`"):
        Compacter.Config.from_mapping({"activation": "swoosh"})

"""Sites by path and replaced biases: what they change equals the base changed by hand."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.testing.adapters import logits

Bases = Callable[[str], Base]
Make = Callable[..., LoadedAdapter]
Batch = dict[str, Tensor]

NORMS = ("attention.output.LayerNorm", "output.LayerNorm")


def changed(base: Base, biases: dict[str, Tensor]) -> Base:
    """Return a copy of a base with some biases replaced, by path from the trunk on."""
    model = copy.deepcopy(base.model)
    for path, bias in biases.items():
        model.base_model.get_submodule(path).bias.data = bias
    return dataclasses.replace(base, model=model)


@pytest.mark.parametrize("placement", ["pfeiffer", "houlsby", "parallel"])
@pytest.mark.parametrize("order", ["stack(lora, b)", "stack(b, lora)"])
def test_layer_norms_under_a_bottleneck(
    bases: Bases, make: Make, batch: Batch, placement: str, order: str
) -> None:
    """A bottleneck computes the block's norm again; a replaced bias of it must count there too."""
    base = bases("bert")
    keys = [f"@{norm}.{layer}" for layer in range(3) for norm in NORMS]
    lora = make(base, "lora", "lora", scale=0.3, biases=tuple(keys))
    lora.weights = {k: t if "own_bias" in k else t * 0 for k, t in lora.weights.items()}
    b = make(base, "bottleneck", "b", seed=2, placement=placement)
    own = {
        f"encoder.layer.{layer}.{norm}": lora.weights[f"@{norm}.{layer}.own_bias"]
        for layer in range(3)
        for norm in NORMS
    }
    other = changed(base, own)
    adapters = {"lora": lora, "b": b}
    with attach(other, "b", adapters={"b": b}):
        expected = logits(other, batch)
    with attach(base, order, adapters=adapters):
        torch.testing.assert_close(logits(base, batch), expected, atol=1e-5, rtol=0)
    rows = ["both", None, "b", "both"]
    with attach(base, {"both": order, "b": "b"}, adapters=adapters) as attached:
        attached.use("b")
        alone = logits(base, batch)
        with attached.rows(rows):
            mixed = logits(base, batch)
    for at, want in enumerate((expected, logits(base, batch), alone, expected)):
        visible = batch["attention_mask"][at].bool()
        torch.testing.assert_close(mixed[at][visible], want[at][visible], atol=5e-5, rtol=0)


def test_merging_into_fused_and_transposed_weights_is_undone_bit_for_bit(
    bases: Bases, make: Make, batch: Batch
) -> None:
    base = bases("gpt2")
    kept = {key: tensor.clone() for key, tensor in base.model.state_dict().items()}
    parts = ("query", "value", "ffn_down")
    a = make(base, "lora", "a", scale=0.1, parts=parts)
    with attach(base, "a", adapters={"a": a}):
        unmerged = logits(base, batch)
    with attach(base, "a", adapters={"a": a}, merge=True):
        torch.testing.assert_close(logits(base, batch), unmerged, atol=1e-5, rtol=0)
        weight = base.model.get_parameter("transformer.h.0.attn.c_attn.weight")
        before = kept["transformer.h.0.attn.c_attn.weight"]
        assert torch.equal(weight[:, 32:64], before[:, 32:64])  # the key's slice
        s = a.config.scaling
        expected = before[:, :32] + s * (a.weights["query.0.B"] @ a.weights["query.0.A"]).T
        torch.testing.assert_close(weight[:, :32], expected)
    after = base.model.state_dict()
    assert all(torch.equal(kept[key], tensor) for key, tensor in after.items())


def test_positions_run_out(bases: Bases, make: Make) -> None:
    base = bases("gpt2")
    ids = torch.randint(5, 90, (1, 62))
    with (
        attach(base, "a", adapters={"a": make(base, "prefix", "a", length=4)}),
        pytest.raises(AttachError, match="62 tokens after 4 vectors need more positions"),
    ):
        base.model(input_ids=ids)

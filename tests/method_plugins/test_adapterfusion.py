"""AdapterFusion in the kit, against the formula in a model, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adapterfusion import AdapterFusion, FusionConfig
from adapterhub_lite.adapter import Kind, LanguageUse, Manifest, Provider, Role
from adapterhub_lite.errors import AttachError, CompositionError, MethodError
from adapterhub_lite.methods.bottleneck import Bottleneck
from adapterhub_lite.methods.lora import LoRA
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter, read_weights
from adapterhub_lite.testing import MethodSuite
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.kit import Bases, Batch

FUSED = "stack(fuse(a, b), f)"


class TestAdapterFusion(MethodSuite):
    method = AdapterFusion()

    def expected_fusion(
        self, state: Tensor, outputs: tuple[Tensor, ...], own: dict[str, Tensor]
    ) -> Tensor:
        """Token by token in double precision, the softmax written as exponentials."""
        state, own = state.double(), {key: value.double() for key, value in own.items()}
        outputs = tuple(z.double() for z in outputs)
        fused = torch.zeros_like(state)
        for row, token in product(range(state.shape[0]), range(state.shape[1])):
            query = state[row, token] @ own["Q"]
            shares = [query.dot(z[row, token] @ own["K"]).exp() for z in outputs]
            for share, z in zip(shares, outputs, strict=True):
                where = torch.zeros_like(state)
                where[row, token] = 1
                fused = fused + where * (share / sum(shares)) * (z[row, token] @ own["V"])
        return fused.float()


def _adapters(base: Base, *, scale: float = 0.3) -> dict[str, LoadedAdapter]:
    """Return members a and b, a language adapter, and a fusion of the members."""
    made = {
        name: replace(
            random_adapter(base, Bottleneck(), {"reduction": 4}, ref=name, seed=seed),
            digest=name * 64,
        )
        for seed, name in enumerate("abl", 1)
    }
    config = {"members": ["a" * 64, "b" * 64]}
    made["f"] = random_adapter(base, AdapterFusion(), config, ref="f", seed=9, scale=scale)
    return made


def _bottleneck(h: Tensor, y: Tensor, own: dict[str, Tensor]) -> Tensor:
    inner = (h @ own["down"].T + own["down_bias"]).relu()
    return inner @ own["up"].T + own["up_bias"] + y


def _at(adapter: LoadedAdapter, layer: int) -> dict[str, Tensor]:
    start = f"ffn_block.{layer}."
    return {k.removeprefix(start): v for k, v in adapter.weights.items() if k.startswith(start)}


@pytest.mark.parametrize("over_language", [False, True])
def test_equals_the_formula(bases: Bases, *, over_language: bool) -> None:
    """One BERT layer's output block, token by token and member by member."""
    base = bases("bert")
    adapters = _adapters(base)
    block: Any = base.trunk.get_submodule("encoder.layer.1.output")
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 3, 48, generator=generator)
    x = torch.randn(2, 3, 32, generator=generator)
    y = block.dense(hidden)
    h = block.LayerNorm(y + x)
    if over_language:
        h = _bottleneck(h, y, _at(adapters["l"], 1))
    own = _at(adapters["f"], 1)
    expected = torch.empty_like(x)
    for row in range(2):
        for token in range(3):
            z = [_bottleneck(h[row, token], y[row, token], _at(adapters[name], 1)) for name in "ab"]
            s = torch.stack([(h[row, token] @ own["Q"]).dot(each @ own["K"]) for each in z])
            s = s.exp() / s.exp().sum()
            expected[row, token] = s[0] * (z[0] @ own["V"]) + s[1] * (z[1] @ own["V"])
    expected = block.LayerNorm(expected + x)
    composition = "stack(l, fuse(a, b), f)" if over_language else FUSED
    with attach(base, composition, adapters=adapters):
        torch.testing.assert_close(block(hidden, x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["xlm-roberta", "qwen2"])
def test_rows_detaching_and_the_second_stage(bases: Bases, batch: Batch, family: str) -> None:
    base = bases(family)
    adapters = _adapters(base, scale=0)
    plain = logits(base, batch)
    named = {"fused": FUSED, "a": "a", "stack": "stack(l, fuse(a, b), f)"}
    with attach(base, named, adapters=adapters) as attached:
        alone = []
        for name in named:
            attached.use(name)
            alone.append(logits(base, batch))
        with attached.rows(list(named)):
            mixed = logits(base, batch)
    for number, expected in enumerate(alone):
        visible = batch["attention_mask"][number].bool()
        torch.testing.assert_close(
            mixed[number][visible], expected[number][visible], atol=5e-5, rtol=0
        )
    assert torch.equal(logits(base, batch), plain)
    losses = []
    with attach(base, FUSED, adapters=adapters, trainable={"f"}) as attached:
        assert not attached.parameters_of("a")
        optimizer = torch.optim.Adam(attached.parameters_of("f").values(), lr=0.005)
        for _ in range(8):
            scores = base.model(**batch).logits
            loss = torch.nn.functional.cross_entropy(scores.mT, batch["input_ids"])
            losses.append(loss.item())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            assert all(p.grad is not None for p in attached.parameters_of("f").values())
            optimizer.step()
    assert losses[-1] < losses[0]


def test_a_member_twice_with_identity_values_is_that_member(bases: Bases, batch: Batch) -> None:
    base = bases("bert")
    adapters = _adapters(base, scale=0)
    adapters["f"].config = FusionConfig(members=("a" * 64, "a" * 64))
    with attach(base, "a", adapters=adapters):
        expected = logits(base, batch)
    with attach(base, "stack(fuse(a, a), f)", adapters=adapters):
        torch.testing.assert_close(logits(base, batch), expected, atol=1e-5, rtol=0)


def test_save_and_load(bases: Bases, tmp_path: Path) -> None:
    base = bases("bert")
    adapter = _adapters(base)["f"]
    manifest = Manifest(
        kind=Kind.TASK,
        languages=(LanguageUse("sw", Role.SOURCE),),
        base=base.identity,
        method="adapterfusion",
        config=adapter.config.to_mapping(),
        provider=Provider("test", "1"),
        task="pos",
    )
    manifest = adapter.save(tmp_path, manifest)
    again = read_weights(tmp_path, manifest)
    assert all(torch.equal(again[key], value) for key, value in adapter.weights.items())
    assert FusionConfig.from_mapping(manifest.config) == adapter.config


@pytest.mark.parametrize(
    "composition",
    ["f", "stack(a, f)", "stack(fuse(b, a), f)", "stack(fuse(a, b, l), f)", "stack(fuse(a, l), f)"],
)
def test_other_members_or_another_order_are_refused(bases: Bases, composition: str) -> None:
    base = bases("bert")
    with pytest.raises(CompositionError, match=r"`f` was trained to fuse \(a{12}, b{12}\), in"):
        attach(base, composition, adapters=_adapters(base))


@pytest.mark.parametrize(
    "composition", ["fuse(a, b)", "stack(fuse(a, b), l)", "stack(l, fuse(a, b))"]
)
def test_members_without_a_fusion_are_refused(bases: Bases, composition: str) -> None:
    base = bases("bert")
    with pytest.raises(CompositionError, match="no method in this process provides `fuse`"):
        attach(base, composition, adapters=_adapters(base))


def test_members_elsewhere_in_the_model_are_refused(bases: Bases) -> None:
    base = bases("bert")
    adapters = _adapters(base)
    adapters["a"] = replace(
        random_adapter(base, Bottleneck(), {"placement": "houlsby"}), digest="a" * 64
    )
    with pytest.raises(AttachError, match=r"`a` touch different parts: `attention_block\.0`"):
        attach(base, FUSED, adapters=adapters)
    adapters["a"] = replace(random_adapter(base, LoRA(), {}), digest="a" * 64)
    with pytest.raises(AttachError, match="members of different runs"):
        attach(base, FUSED, adapters=adapters)
    with pytest.raises(MethodError, match="cannot fuse at part `query`"):
        FusionConfig(parts=("query",))

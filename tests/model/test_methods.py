"""Numbers of LoRA, prefix tuning and averages against formulas and plain transformers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from adapterhub_lite.errors import AttachError, CompositionError, MethodError
from adapterhub_lite.methods.bottleneck import BottleneckConfig, couple, uncouple
from adapterhub_lite.methods.lora import LoRAConfig
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.testing.adapters import logits

Bases = Callable[[str], Base]
Make = Callable[..., LoadedAdapter]
Batch = dict[str, Tensor]


@pytest.mark.parametrize("family", ["xlm-roberta", "distilbert", "qwen2"])
@pytest.mark.parametrize("stabilised", [False, True])
def test_merged_lora_equals_unmerged(
    bases: Bases, make: Make, batch: Batch, family: str, *, stabilised: bool
) -> None:
    base = bases(family)
    adapters = {
        name: make(
            base,
            "lora",
            name,
            seed=seed,
            scale=0.1,
            rank=seed + 1,
            rank_stabilised=stabilised,
            parts=["query", "key", "value", "attention_out", "ffn_up", "ffn_down"],
        )
        for seed, name in enumerate("ab", 1)
    }
    plain = logits(base, batch)
    before = {key: value.clone() for key, value in base.model.state_dict().items()}
    with attach(base, "stack(a, b)", adapters=adapters):
        unmerged = logits(base, batch)
    with attach(base, "stack(a, b)", adapters=adapters, merge=True):
        torch.testing.assert_close(logits(base, batch), unmerged, atol=1e-5, rtol=0)
        assert (unmerged - plain).abs().max() > 1e-3
    assert torch.equal(logits(base, batch), plain)
    assert all(torch.equal(before[k], v) for k, v in base.model.state_dict().items())


@pytest.mark.parametrize(
    ("config", "scaling"),
    [
        ({}, 16 / 8),
        ({"rank": 4, "alpha": 2.0}, 0.5),
        ({"rank_stabilised": True}, 16 / math.sqrt(8)),
    ],
)
def test_lora_adds_s_b_a_x(
    bases: Bases, make: Make, config: dict[str, Any], scaling: float
) -> None:
    base = bases("bert")
    adapter = make(base, "lora", parts=["ffn_up"], bias=True, **config)
    module = base.trunk.get_submodule("encoder.layer.1.intermediate.dense")
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    own = {k: adapter.weights[f"ffn_up.1.{k}"] for k in ("A", "B", "bias")}
    expected = module(x) + scaling * (x @ own["A"].T @ own["B"].T) + own["bias"]
    with attach(base, "a", adapters={"a": adapter}):
        torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=0)


def test_what_cannot_be_merged_is_refused_and_nothing_stays_merged(
    bases: Bases, make: Make, batch: Batch
) -> None:
    base = bases("bert")
    plain = logits(base, batch)
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "bottleneck", "b")}
    with pytest.raises(AttachError, match=r"`b` \(bottleneck\) cannot be merged"):
        attach(base, "stack(a, b)", adapters=adapters, merge=True)
    assert torch.equal(logits(base, batch), plain)
    with (
        attach(base, "a", adapters=adapters, merge=True),
        pytest.raises(AttachError, match="merged composition must be alone"),
    ):
        attach(base, "b", adapters=adapters)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_prefix_equals_cached_keys_and_values(
    bases: Bases, make: Make, batch: Batch, family: str, attention: str
) -> None:
    """Plain transformers, given the prefix as a cache (Li & Liang's own formulation)."""
    base = bases(family)
    base.model.set_attn_implementation(attention)
    adapter = make(base, "prefix", length=4)
    rows = batch["input_ids"].shape[0]
    cache = DynamicCache()
    for layer in range(3):
        keys, values = (
            adapter.weights[f"attention.{layer}.{name}"]
            .view(4, 2, 8)
            .transpose(0, 1)
            .expand(rows, -1, -1, -1)
            for name in ("keys", "values")
        )
        cache.update(keys, values, layer)
    mask = torch.cat((torch.ones(rows, 4, dtype=torch.long), batch["attention_mask"]), dim=1)
    with torch.no_grad():
        expected = base.model(batch["input_ids"], attention_mask=mask, past_key_values=cache).logits
    visible = batch["attention_mask"].bool()
    with attach(base, "a", adapters={"a": adapter}):
        found = logits(base, batch)[visible]
        torch.testing.assert_close(found, expected[visible], atol=1e-5, rtol=0)
        unpadded = base.model(batch["input_ids"][:1]).logits
        torch.testing.assert_close(unpadded, expected[:1], atol=1e-5, rtol=0)
    base.model.set_attn_implementation("sdpa")


@pytest.mark.parametrize("gate", [False, True])
def test_generating_with_a_cache_equals_recomputing(
    bases: Bases, make: Make, *, gate: bool
) -> None:
    base = bases("qwen2")
    prompt = torch.tensor([[5, 6, 7, 8]])

    def generate(*, use_cache: bool) -> Tensor:
        model: Any = base.model
        made = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=6,
            do_sample=False,
            pad_token_id=1,
            eos_token_id=None,
            use_cache=use_cache,
            return_dict_in_generate=True,
            output_logits=True,
        )
        return torch.stack(made.logits)

    adapter = make(base, "prefix", length=3, gate=gate)
    with attach(base, "a", adapters={"a": adapter}):
        cached = generate(use_cache=True)
        torch.testing.assert_close(cached, generate(use_cache=False), atol=1e-5, rtol=0)
    assert (generate(use_cache=True) - cached).abs().max() > 1e-2


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("gate", [False, True])
def test_a_prefix_in_an_encoder_equals_the_formula(
    bases: Bases, make: Make, attention: str, *, gate: bool
) -> None:
    """softmax over [prefix; text] as published; or text plus tanh(g) times the prefix alone."""
    base = bases("xlm-roberta")
    base.model.set_attn_implementation(attention)
    adapter = make(base, "prefix", length=3, gate=gate)
    module: Any = base.trunk.get_submodule("encoder.layer.1.attention.self")
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    own = {k.rpartition(".")[2]: v for k, v in adapter.weights.items() if ".1." in k}

    def heads(vectors: Tensor) -> Tensor:
        return vectors.view(*vectors.shape[:-1], 4, 8).transpose(-2, -3)

    query, key, value = (heads(getattr(module, p)(x)) for p in ("query", "key", "value"))
    keys, values = (heads(own[p]).expand(2, -1, -1, -1) for p in ("keys", "values"))
    if gate:
        text = (query @ key.mT / math.sqrt(8)).softmax(-1) @ value
        extra = (query @ keys.mT / math.sqrt(8)).softmax(-1) @ values
        mixed = text + own["gate"].tanh()[:, None, None] * extra
    else:
        scores = query @ torch.cat((keys, key), 2).mT / math.sqrt(8)
        mixed = scores.softmax(-1) @ torch.cat((values, value), 2)
    with attach(base, "a", adapters={"a": adapter}), torch.no_grad():
        found = module(x)[0]
    expected = mixed.transpose(1, 2).reshape(2, 5, 32)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    base.model.set_attn_implementation("sdpa")


def test_the_prefix_network_gives_the_vectors(bases: Bases, make: Make, batch: Batch) -> None:
    """table -> tanh layer -> one slice a layer, as Li & Liang's section 4.3, then stored free."""
    base = bases("bert")
    network = make(base, "prefix", length=3, reparameterise=True, inner=5)
    free = make(base, "prefix", "free", length=3)
    w = network.weights
    inner = torch.tanh(w["shared.table"] @ w["shared.in"].T + w["shared.in_bias"])
    for layer in range(3):
        both = inner @ w[f"attention.{layer}.out"].T + w[f"attention.{layer}.out_bias"]
        free.weights[f"attention.{layer}.keys"] = both[:, :32]
        free.weights[f"attention.{layer}.values"] = both[:, 32:]
    with attach(base, {"a": "a", "b": "b"}, adapters={"a": network, "b": free}) as attached:
        attached.use("a")
        found = logits(base, batch)
        attached.use("b")
        torch.testing.assert_close(found, logits(base, batch), atol=1e-5, rtol=0)


def test_the_invertible_part_is_undone_exactly(bases: Bases, make: Make) -> None:
    base = bases("bert")
    adapter = make(base, "bottleneck", invertible=True)
    own = {k.removeprefix("shared."): v for k, v in adapter.weights.items() if "shared" in k}
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    config = BottleneckConfig(invertible=True)
    coupled = couple(config, own, x)
    assert (coupled - x).abs().max() > 0.1
    torch.testing.assert_close(uncouple(config, own, coupled), x, atol=1e-6, rtol=0)


def test_an_average_is_the_mean_of_the_weights(bases: Bases, make: Make, batch: Batch) -> None:
    base = bases("xlm-roberta")
    a = make(base, "bottleneck", "a", invertible=True)
    b = make(base, "bottleneck", "b", seed=2, invertible=True)
    mean = make(base, "bottleneck", "mean", invertible=True)
    mean.weights = {key: 0.25 * a.weights[key] + 0.75 * b.weights[key] for key in a.weights}
    named = {"average": "average(0.25*a, 0.75*b)", "mean": "mean"}
    with attach(base, named, adapters={"a": a, "b": b, "mean": mean}) as attached:
        attached.use("mean")
        expected = logits(base, batch)
        attached.use("average")
        torch.testing.assert_close(logits(base, batch), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("stabilised", [False, True])
def test_an_average_of_loras_is_the_mean_of_their_changes(
    bases: Bases, make: Make, *, stabilised: bool
) -> None:
    base = bases("bert")
    config: dict[str, Any] = {"parts": ["query"], "rank": 4, "rank_stabilised": stabilised}
    adapters = {n: make(base, "lora", n, seed=s, **config) for s, n in enumerate("ab", 1)}
    module = base.trunk.get_submodule("encoder.layer.0.attention.self.query")
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    scaling = LoRAConfig.from_mapping(config).scaling
    expected = module(x)
    for weight, adapter in zip((0.3, 0.7), adapters.values(), strict=True):
        w = adapter.weights
        change = x @ w["query.0.A"].T @ w["query.0.B"].T
        expected = expected + weight * scaling * change
    with attach(base, "average(0.3*a, 0.7*b)", adapters=adapters):
        torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=0)


def test_an_average_needs_equal_configs(bases: Bases, make: Make) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "bottleneck", "a"), "b": make(base, "bottleneck", "b", reduction=4)}
    with pytest.raises(CompositionError, match="`a` and `b` cannot be averaged"):
        attach(base, "average(a, b)", adapters=adapters)


def test_members_side_by_side_need_a_method_that_fuses(bases: Bases, make: Make) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "lora", "b")}
    with pytest.raises(CompositionError, match="no method in this process provides"):
        attach(base, "fuse(a, b)", adapters=adapters)


@pytest.mark.parametrize("form", ["parallel(a, b)", "stack(a, parallel(a, b))"])
def test_parallel_is_refused_and_rows_give_what_it_would(
    bases: Bases, batch: dict[str, Tensor], make: Make, form: str
) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "lora", "b", seed=2)}
    with pytest.raises(CompositionError, match="one output a member") as refused:
        attach(base, form, adapters=adapters)
    assert "rows([...])" in str(refused.value.hint)
    twice = {key: torch.cat([value, value]) for key, value in batch.items()}
    count = len(batch["input_ids"])
    with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
        with attached.rows(["a"] * count + ["b"] * count):
            found = logits(base, twice).chunk(2)
        for name, rows in zip("ab", found, strict=True):
            attached.use(name)
            visible = batch["attention_mask"].bool()
            torch.testing.assert_close(
                rows[visible], logits(base, batch)[visible], atol=5e-5, rtol=0
            )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reductoin": 2}, "no field `reductoin`"),
        ({"reduction": "two"}, "must be float"),
        ({"reduction": 0}, "above 0"),
        ({"placement": "after"}, "placement"),
        ({"activation": "swoosh"}, "no activation `swoosh`"),
        ({"invertible": 1}, "must be bool"),
    ],
)
def test_configs_refuse_what_they_do_not_know(values: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        BottleneckConfig.from_mapping(values)


def test_configs_survive_json_and_settings() -> None:
    config = LoRAConfig.from_settings(["rank=4", "parts=query,key", "rank_stabilised=true"])
    assert config == LoRAConfig(rank=4, parts=("query", "key"), rank_stabilised=True)
    assert LoRAConfig.from_mapping(config.to_mapping()) == config
    assert LoRAConfig.from_settings(["parts=value"]).parts == ("value",)
    assert {info.name for info in LoRAConfig.describe()} >= set(config.to_mapping())

"""LT-SFT in the kit, and its training: find the mask, rewind, train masked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Kind
from adapterhub_lite.errors import MethodError, WeightsError
from adapterhub_lite.methods.bottleneck import Bottleneck
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter, read_weights
from adapterhub_lite.model.sparse import packed, unpacked
from adapterhub_lite.testing import MethodSuite
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.kit import Bases, Batch
from adapterhub_lite.training.rounds import in_rounds
from adapterhub_lite.training.watching import Fitted
from sft import SFT, SFTConfig


class TestSFT(MethodSuite):
    """The kit's weights are dense, so all entries may change."""

    method = SFT()
    config: ClassVar[Mapping[str, Any]] = {"density": 1.0}

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]) -> Tensor:
        return x @ (weight + own["phi"]).T + (bias + own["phi_bias"])

    def expected_lookup(self, ids: Tensor, weight: Tensor, own: dict[str, Tensor]) -> Tensor:
        return (weight.T + own["phi"])[ids]


class TestEverything(TestSFT):
    """Layer norms too."""

    config: ClassVar[Mapping[str, Any]] = {"density": 1.0, "norms": True}

    def expected_norm(
        self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]
    ) -> Tensor:
        return x * (weight + own["phi"]) + (bias + own["phi_bias"])


class TestLinearWeightsOnly(TestSFT):
    config: ClassVar[Mapping[str, Any]] = {"density": 1.0, "biases": False, "embeddings": False}

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]) -> Tensor:
        return x @ (weight + own["phi"]).T + bias


BERT_PLACES = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "embedding_norm": "embeddings.LayerNorm",
    "query": "encoder.layer.{}.attention.self.query",
    "key": "encoder.layer.{}.attention.self.key",
    "value": "encoder.layer.{}.attention.self.value",
    "attention_out": "encoder.layer.{}.attention.output.dense",
    "attention_norm": "encoder.layer.{}.attention.output.LayerNorm",
    "ffn_up": "encoder.layer.{}.intermediate.dense",
    "ffn_down": "encoder.layer.{}.output.dense",
    "ffn_norm": "encoder.layer.{}.output.LayerNorm",
}
PLACES = {
    "xlm-roberta": BERT_PLACES,
    "distilbert": {
        "words": "embeddings.word_embeddings",
        "positions": "embeddings.position_embeddings",
        "embedding_norm": "embeddings.LayerNorm",
        "query": "transformer.layer.{}.attention.q_lin",
        "key": "transformer.layer.{}.attention.k_lin",
        "value": "transformer.layer.{}.attention.v_lin",
        "attention_out": "transformer.layer.{}.attention.out_lin",
        "attention_norm": "transformer.layer.{}.sa_layer_norm",
        "ffn_up": "transformer.layer.{}.ffn.lin1",
        "ffn_down": "transformer.layer.{}.ffn.lin2",
        "ffn_norm": "transformer.layer.{}.output_layer_norm",
    },
    "qwen2": {
        "words": "embed_tokens",
        "final_norm": "norm",
        "query": "layers.{}.self_attn.q_proj",
        "key": "layers.{}.self_attn.k_proj",
        "value": "layers.{}.self_attn.v_proj",
        "attention_out": "layers.{}.self_attn.o_proj",
        "attention_norm": "layers.{}.input_layernorm",
        "ffn_up": "layers.{}.mlp.up_proj",
        "ffn_down": "layers.{}.mlp.down_proj",
        "ffn_norm": "layers.{}.post_attention_layernorm",
    },
}
"""Where parts are, read off transformers' modules."""

EVERYTHING = {"density": 1.0, "norms": True}


def with_added(base: Base, family: str, *adapters: LoadedAdapter) -> Base:
    """Return the base with all differences added to its parameters; the output embedding is not."""
    model = copy.deepcopy(base.model)
    output: Any = model.get_output_embeddings()
    output.weight = torch.nn.Parameter(output.weight.clone(), requires_grad=False)
    for adapter in adapters:
        for key, phi in adapter.weights.items():
            part, *layer, kind = key.split(".")
            module = model.base_model.get_submodule(PLACES[family][part].format(*layer))
            module.get_parameter("bias" if kind == "phi_bias" else "weight").data += phi
    return replace(base, model=model)


@pytest.mark.parametrize("family", PLACES)
def test_equals_the_base_with_parameters_added(bases: Bases, batch: Batch, family: str) -> None:
    """By itself, two of them, and with a bottleneck on and under them; row by row as well."""
    base = bases(family)
    bottleneck = Bottleneck()
    adapters = {
        "a": random_adapter(base, SFT(), EVERYTHING, ref="a", seed=1, scale=0.05),
        "b": random_adapter(base, SFT(), EVERYTHING, ref="b", seed=2, scale=0.05),
        "l": random_adapter(base, bottleneck, {}, ref="l", seed=3),
        "h": random_adapter(base, bottleneck, {"placement": "houlsby"}, ref="h", seed=4),
    }
    a, b = adapters["a"], adapters["b"]
    expected = {
        "a": logits(with_added(base, family, a), batch),
        "stack(a, b)": logits(with_added(base, family, a, b), batch),
    }
    for other in "lh":
        with attach(with_added(base, family, a), other, adapters=adapters) as attached:
            expected[f"stack(a, {other})"] = logits(attached.base, batch)
    expected["stack(l, a)"] = expected["stack(a, l)"]
    plain = logits(base, batch)
    with attach(base, {name: name for name in expected}, adapters=adapters) as attached:
        for name, there in expected.items():
            attached.use(name)
            torch.testing.assert_close(logits(base, batch), there, atol=2e-5, rtol=2e-5)
        for rows in (("stack(a, l)", None, "stack(a, b)"), ("a", "stack(l, a)", "stack(a, h)")):
            with attached.rows(rows):
                found = logits(base, batch)
            for number, row in enumerate(rows):
                visible = batch["attention_mask"][number].bool()
                alone = (expected[row] if row else plain)[number]
                torch.testing.assert_close(
                    found[number][visible], alone[visible], atol=5e-5, rtol=5e-5
                )
    assert torch.equal(logits(base, batch), plain)


@pytest.mark.parametrize("family", PLACES)
def test_merging_leaves_a_tied_output_embedding_alone(
    bases: Bases, batch: Batch, family: str
) -> None:
    base = bases(family)
    adapter = random_adapter(base, SFT(), EVERYTHING, ref="a", scale=0.05)
    expected = logits(with_added(base, family, adapter), batch)
    words: Any = base.model.get_input_embeddings()
    output: Any = base.model.get_output_embeddings()
    kept = words.weight
    before = {key: value.clone() for key, value in base.model.state_dict().items()}
    assert kept is output.weight, "the tiny base's embeddings are tied"
    with attach(base, "a", adapters={"a": adapter}, merge=True):
        torch.testing.assert_close(logits(base, batch), expected, atol=1e-5, rtol=1e-5)
        assert list(base.model.state_dict()) == list(before)
    assert words.weight is kept
    assert output.weight is kept
    assert all(torch.equal(before[k], v) for k, v in base.model.state_dict().items())


def test_more_entries_than_the_config_allows_are_refused(bases: Bases) -> None:
    base = bases("bert")
    adapter = random_adapter(base, SFT(), {"density": 0.02}, scale=0)
    entries = sum(phi.numel() for phi in adapter.weights.values())
    allowed = round(0.02 * entries)
    flat = torch.zeros(entries)
    flat[:allowed] = 1.0
    shapes = [phi.shape for phi in adapter.weights.values()]

    def shared_out() -> dict[str, Tensor]:
        pieces = torch.split(flat, [shape.numel() for shape in shapes])
        named = zip(adapter.weights, pieces, shapes, strict=True)
        return {key: piece.view(shape) for key, piece, shape in named}

    method = SFT()
    method.check_weights("a", adapter.config, {**shared_out(), "head.weight": torch.ones(9)})
    flat[-1] = 1.0
    with pytest.raises(WeightsError, match=f"`a` changes {allowed + 1} entries of {entries}"):
        method.check_weights("a", adapter.config, shared_out())


def test_an_average_says_how_dense_it_is() -> None:
    config = SFTConfig(density=0.25)
    first, second = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[0, 2.0, 0, 0]])
    mean, weights = SFT().average(
        config, [{"query.0.phi": first}, {"query.0.phi": second}], [0.5, 0.5]
    )
    assert weights["query.0.phi"].tolist() == [[0.5, 1.0, 0, 0]]
    assert mean == SFTConfig(density=0.5)
    SFT().check_weights("mean", mean, weights)


def test_differences_are_added_into_the_weights_and_undone_bit_for_bit(
    bases: Bases, batch: Batch
) -> None:
    base = bases("bert")
    adapters = {
        name: random_adapter(base, SFT(), {}, ref=name, seed=seed, scale=0.01)
        for seed, name in enumerate("ab", 1)
    }
    layer: Any = base.trunk.get_submodule("encoder.layer.1.output.dense")
    before = {key: value.clone() for key, value in base.model.state_dict().items()}
    with attach(base, "stack(a, b)", adapters=adapters):
        unmerged = logits(base, batch)
    with attach(base, "stack(a, b)", adapters=adapters, merge=True):
        weight = before["bert.encoder.layer.1.output.dense.weight"]
        for adapter in adapters.values():
            weight = weight + adapter.weights["ffn_down.1.phi"]
        assert torch.equal(layer.weight, weight)
        torch.testing.assert_close(logits(base, batch), unmerged, atol=1e-5, rtol=0)
    assert all(torch.equal(before[k], v) for k, v in base.model.state_dict().items())


def test_the_mask_is_where_the_first_round_moved_most() -> None:
    start = {"query.0.phi": torch.zeros(2, 3), "key.0.phi": torch.zeros(4), "head.x": torch.ones(2)}
    end = {
        "query.0.phi": torch.tensor([[0.1, -0.9, 0.0], [0.3, 0.0, 0.2]]),
        "key.0.phi": torch.tensor([0.0, 0.5, -0.4, 0.1]),
        "head.x": torch.zeros(2),
    }
    masks = SFT().masks(SFTConfig(density=0.3), start, end)
    assert masks["query.0.phi"].tolist() == [[False, True, False], [False, False, False]]
    assert masks["key.0.phi"].tolist() == [False, True, True, False]
    assert "head.x" not in masks


def test_training_rewinds_and_changes_what_the_mask_allows(tmp_path: Path) -> None:
    """One plain gradient step a round, towards `goal`: the second lands on the masked goal."""
    goal = torch.tensor([[3.0, -1.0, 0.5, -4.0, 0.1, 2.0, 0.0, 1.0, 0.2, 0.3]])
    phi, head = torch.nn.Parameter(torch.zeros(1, 10)), torch.nn.Parameter(torch.ones(1))
    adapter = LoadedAdapter(
        "a", Kind.TASK, SFT(), SFTConfig(density=0.2), {"query.0.phi": phi, "head.w": head}
    )
    seen: list[tuple[str, list[float]]] = []

    def step(folder: Path, number: int | None) -> Fitted:
        seen.append((folder.name, phi.flatten().tolist() + head.tolist()))
        phi.grad = head.grad = None
        torch.autograd.backward(((phi - goal) ** 2 / 2).sum() + head.sum())
        with torch.no_grad():
            phi.sub_(phi.grad if phi.grad is not None else 0)
            head.sub_(head.grad if head.grad is not None else 0)
        return Fitted(tokens=7, steps=number or 0)

    assert in_rounds(adapter, tmp_path, step) == Fitted(tokens=14, steps=2)
    assert seen == [("round-1", [0.0] * 10 + [1.0]), ("round-2", [0.0] * 10 + [1.0])]
    assert phi.tolist() == [[3.0, 0, 0, -4.0, 0, 0, 0, 0, 0, 0]]
    assert head.tolist() == [0.0]


def test_files_hold_only_what_changed(bases: Bases, tmp_path: Path) -> None:
    base = bases("bert")
    adapter = random_adapter(base, SFT(), {})
    for tensor in adapter.weights.values():
        tensor[torch.rand(tensor.shape) > 0.05] = 0
    suite = TestSFT()
    manifest = adapter.save(tmp_path, suite._manifest(base, adapter))
    again = read_weights(tmp_path, manifest)
    assert again.keys() == adapter.weights.keys()
    assert all(torch.equal(again[key], value) for key, value in adapter.weights.items())
    whole = sum(tensor.numel() * 4 for tensor in adapter.weights.values())
    assert (tmp_path / manifests.WEIGHTS).stat().st_size < 0.4 * whole


@pytest.mark.parametrize(
    ("mark", "value"),
    [
        ("#places", torch.tensor([1, 7])),
        ("#places", torch.tensor([2, 1])),
        ("#places", torch.tensor([-1, 1])),
        ("#values", torch.ones(3)),
        ("#shape", None),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path: Path, mark: str, value: Tensor | None) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = packed(
        {"query.0.phi": torch.tensor([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]])}, keep="head."
    )
    save_file(tensors, path)
    assert unpacked(load_file(path), path)["query.0.phi"].tolist() == [[0, 1, 0], [2, 0, 0]]
    del tensors["query.0.phi" + mark]
    if value is not None:
        tensors["query.0.phi" + mark] = value
    with pytest.raises(WeightsError, match=r"query\.0\.phi#"):
        unpacked(tensors, path)


def test_configs_that_make_no_sense() -> None:
    with pytest.raises(MethodError, match="density"):
        SFTConfig(density=0.0)
    with pytest.raises(MethodError, match="cannot change part `ffn_block`"):
        SFTConfig(parts=("ffn_block",))

"""LT-SFT in the kit, and its training: find the mask, rewind, train masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Kind
from adapterhub_lite.errors import MethodError, WeightsError
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.loaded import LoadedAdapter, read_weights
from adapterhub_lite.model.sparse import packed, unpacked
from adapterhub_lite.testing import MethodSuite
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.kit import Bases, Batch
from adapterhub_lite.training.rounds import in_rounds
from sft import SFT, SFTConfig


class TestSFT(MethodSuite):
    method = SFT()

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]) -> Tensor:
        return x @ (weight + own["phi"]).T + bias


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

    def step(folder: Path) -> int:
        seen.append((folder.name, phi.flatten().tolist() + head.tolist()))
        phi.grad = head.grad = None
        torch.autograd.backward(((phi - goal) ** 2 / 2).sum() + head.sum())
        with torch.no_grad():
            phi.sub_(phi.grad if phi.grad is not None else 0)
            head.sub_(head.grad if head.grad is not None else 0)
        return 7

    assert in_rounds(adapter, tmp_path, step) == 14
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

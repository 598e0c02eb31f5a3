"""What peers load without a word: each of these ends in one error that names what is wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite import digests
from adapterhub_lite.adapter import (
    Adapter,
    HeadSpec,
    Kind,
    LanguageUse,
    Manifest,
    Provider,
    Role,
    WeightsFile,
)
from adapterhub_lite.errors import (
    AttachError,
    BaseMismatchError,
    HomeError,
    MethodError,
    RefError,
    TaskTypeError,
    WeightsError,
)
from adapterhub_lite.home import Home
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.testing.models import save_tiny_base

Bases = Callable[[str], Base]
Make = Callable[..., LoadedAdapter]
Weights = dict[str, torch.Tensor]
Change = Callable[[Weights], object]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.init(tmp_path / "home")


def add(
    home: Home,
    base: Base,
    adapter: LoadedAdapter,
    folder: Path,
    change: Change | None = None,
    **facts: Any,
) -> Adapter:
    """Add an adapter to a home, its weights changed on the way and its manifest made to match."""
    manifest = Manifest(
        kind=Kind.LANGUAGE,
        languages=(LanguageUse("sw", Role.LANGUAGE),),
        base=base.identity,
        method=adapter.method.name,
        config=adapter.config.to_mapping(),
        provider=Provider("test", "1"),
        leave_out=adapter.leave_out,
    )
    complete = adapter.save(folder, dataclasses.replace(manifest, **facts))
    path = folder / "weights.safetensors"
    if change is not None:
        weights = load_file(path)
        change(weights)
        save_file(weights, path, metadata={"format": "pt"})
        file = WeightsFile(digests.of_file(path), path.stat().st_size)
        complete = dataclasses.replace(complete, weights=file)
        values = json.loads((folder / "adapter.json").read_text())
        values["weights"] = {"sha256": file.sha256, "size": file.size}
        (folder / "adapter.json").write_text(json.dumps(values))
    return home.add(folder, name="sw")


def test_what_was_added_attaches(
    home: Home, bases: Bases, make: Make, tmp_path: Path, batch: Weights
) -> None:
    base = bases("bert")
    adapter = make(base, "bottleneck", invertible=True)
    added = add(home, base, adapter, tmp_path / "a")
    with attach(base, "a", adapters={"a": adapter}):
        expected = base.model(**batch).logits
    for ref in ("sw", added.ref, added.digest):
        with attach(base, ref, home=home):
            assert torch.equal(base.model(**batch).logits, expected)


def _lose(weights: Weights) -> object:
    return weights.pop("ffn_block.1.up")


def _gain(weights: Weights) -> object:
    return weights.update({"ffn_block.7.up": torch.zeros(1)})


def _reshape(weights: Weights) -> object:
    return weights.update({"ffn_block.1.up_bias": torch.zeros(31)})


def _poison(weights: Weights) -> object:
    return weights["ffn_block.2.down"].view(-1)[3].fill_(float("nan"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_lose, r"`sw` does not fit this model: it lacks `ffn_block\.1\.up`"),
        (_gain, r"it has `ffn_block\.7\.up`, which its config does not name"),
        (_reshape, r"`ffn_block\.1\.up_bias` has shape \(31,\), expected \(32,\)"),
        (_poison, r"`ffn_block\.2\.down` holds NaN or infinite values"),
    ],
)
def test_tensors_that_do_not_fit(
    home: Home, bases: Bases, make: Make, tmp_path: Path, change: Change, message: str
) -> None:
    base = bases("bert")
    add(home, base, make(base, "bottleneck"), tmp_path / "a", change)
    with pytest.raises(WeightsError, match=message):
        attach(base, "sw", home=home)


def test_another_base_of_the_same_shape(
    home: Home, bases: Bases, make: Make, tmp_path: Path
) -> None:
    base = bases("bert")
    add(home, base, make(base, "bottleneck"), tmp_path / "a")
    other = load_base(save_tiny_base(tmp_path / "other", "bert", seed=1))
    with pytest.raises(BaseMismatchError, match=r"`sw` was trained on base `bert`.*other weights"):
        attach(other, "sw", home=home)


def test_another_shape_is_named(home: Home, bases: Bases, make: Make, tmp_path: Path) -> None:
    base = bases("bert")
    add(home, base, make(base, "bottleneck"), tmp_path / "a")
    deeper = load_base(save_tiny_base(tmp_path / "other", "bert", num_hidden_layers=4))
    with pytest.raises(BaseMismatchError, match="layers 3 there, 4 here"):
        attach(deeper, "sw", home=home)


def test_a_fingerprint_sees_one_small_fine_tuning_step(tmp_path: Path) -> None:
    folder = save_tiny_base(tmp_path, "bert")
    base, tuned = load_base(folder), load_base(folder)
    generator = torch.Generator().manual_seed(0)
    for parameter in tuned.model.parameters():
        parameter.data += 1e-5 * torch.randn(parameter.shape, generator=generator).sign()
    from adapterhub_lite.model.fingerprint import fingerprint

    assert fingerprint(tuned.model) != base.identity.fingerprint
    assert fingerprint(tuned.trunk) == fingerprint(tuned.model)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file(home: Home, bases: Bases, make: Make, tmp_path: Path, keep: int) -> None:
    base = bases("bert")
    added = add(home, base, make(base, "bottleneck"), tmp_path / "a")
    path = home.folder_of(added) / "weights.safetensors"
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:keep])
    with pytest.raises(WeightsError, match=r"(truncated|bytes)"):
        attach(base, "sw", home=home)


def test_an_unknown_method_names_what_is_missing(
    home: Home, bases: Bases, make: Make, tmp_path: Path
) -> None:
    base = bases("bert")
    provider = Provider("ahl-soup", "2.1")
    add(home, base, make(base, "lora"), tmp_path / "a", method="soup", provider=provider)
    with pytest.raises(MethodError, match="method `soup`") as caught:
        attach(base, "sw", home=home)
    assert "ahl-soup" in str(caught.value)


def test_a_config_of_another_version(home: Home, bases: Bases, make: Make, tmp_path: Path) -> None:
    base = bases("bert")
    add(home, base, make(base, "lora"), tmp_path / "a", config={"rank": 8, "sparkle": True})
    with pytest.raises(MethodError, match="no field `sparkle`"):
        attach(base, "sw", home=home)


def test_a_head_of_an_unknown_task_type(
    home: Home, bases: Bases, make: Make, tmp_path: Path
) -> None:
    base = bases("bert")
    head = HeadSpec("mind-reading", ("yes", "no"))
    add(home, base, make(base, "lora"), tmp_path / "a", head=head, task="minds")
    with pytest.raises(TaskTypeError, match="no plugin provides task type `mind-reading`"):
        attach(base, "sw", home=home)


def test_a_head_must_have_its_weights(home: Home, bases: Bases, make: Make, tmp_path: Path) -> None:
    base = bases("bert")
    head = HeadSpec("token-classification", ("NOUN", "VERB"))
    add(home, base, make(base, "lora"), tmp_path / "a", head=head, task="pos")
    with pytest.raises(WeightsError, match=r"lacks `head\."):
        attach(base, "sw", home=home)


def test_an_unknown_name_shows_near_ones(
    home: Home, bases: Bases, make: Make, tmp_path: Path
) -> None:
    base = bases("bert")
    add(home, base, make(base, "lora"), tmp_path / "a")
    with pytest.raises(RefError, match=r"`swe`(.|\n)*`sw`"):
        attach(base, "swe", home=home)


def test_a_family_without_a_row(tmp_path: Path, bases: Bases, make: Make) -> None:
    import transformers

    base = bases("bert")
    config = transformers.OPTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, ffn_dim=8, vocab_size=96
    )
    other = dataclasses.replace(base, model=transformers.OPTForCausalLM(config))
    with pytest.raises(AttachError, match="no row in the anatomy table for model type `opt`"):
        attach(other, "a", adapters={"a": make(base, "lora")})


def test_a_base_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HomeError, match="cannot load a base model from"):
        load_base(tmp_path / "nothing")


def test_a_registered_base_whose_weights_changed(home: Home, tmp_path: Path) -> None:
    folder = save_tiny_base(home.path / "bases" / "tiny", "bert")
    base = load_base(folder)
    home.registry.add_base(base.identity, "bases/tiny")
    assert load_base("tiny", home=home).identity == base.identity
    assert load_base(base.identity, home=home).identity == base.identity
    save_tiny_base(folder, "bert", seed=3)
    with pytest.raises(BaseMismatchError, match="does not hold the base `tiny`"):
        load_base("tiny", home=home)

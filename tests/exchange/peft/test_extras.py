"""What peft trains besides A and B, and combinations that it made of several adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapterhub_lite.exchange import import_folder
from adapterhub_lite.home import Home
from adapterhub_lite.testing.kit import Batch
from tests.exchange.peft import peer
from tests.exchange.peft.conftest import (
    FAMILIES,
    HEADED,
    LANGUAGE,
    TASK,
    assert_same,
    register,
    run,
)

Folder = Callable[..., Path]
Computed = Callable[..., Tensor]
QUERY = {"gpt2": "c_attn", "llama": "q_proj", "qwen2": "q_proj"}


@pytest.mark.parametrize("family", FAMILIES)
def test_all_biases_of_the_base(
    tmp_path: Path, base_folder: Folder, computed: Computed, batch: Batch, family: str
) -> None:
    """Layer norms' too; Llama has none but those that the config asks for."""
    changes = {"attention_bias": True} if family == "llama" else {}
    base = base_folder(family, **changes)
    kind = "AutoModelForTokenClassification"
    config = peft.LoraConfig(
        task_type="TOKEN_CLS",
        r=2,
        bias="all",
        target_modules=[QUERY.get(family, "query")],
        layers_to_transform=[0],
    )
    folder = peer.save(tmp_path / "a", base, kind, config)
    expected = peer.outputs(folder, base, kind, batch)
    assert_same(computed(folder, base, TASK), expected, batch)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_embedding_as_a_site(
    tmp_path: Path, base_folder: Folder, computed: Computed, batch: Batch, family: str, tied: bool
) -> None:
    """Of token ids and of the output; a tied one changes where it was named only, as in peft."""
    base = base_folder(family, tie_word_embeddings=tied)
    words = {"llama": "embed_tokens", "gpt2": "wte"}[family]
    for name, targets in {"in": [words], "out": ["lm_head", QUERY[family]]}.items():
        config = peft.LoraConfig(r=3, target_modules=targets)
        folder = peer.save(tmp_path / name, base, HEADED[family], config)
        expected = peer.outputs(folder, base, HEADED[family], batch)
        assert_same(computed(folder, base, name=name), expected, batch)


def test_words_of_an_encoder(
    tmp_path: Path, base_folder: Folder, computed: Computed, batch: Batch
) -> None:
    base = base_folder("xlm-roberta")
    config = peft.LoraConfig(r=3, target_modules=["word_embeddings", "query"])
    folder = peer.save(tmp_path / "a", base, HEADED["xlm-roberta"], config)
    expected = peer.outputs(folder, base, HEADED["xlm-roberta"], batch)
    assert_same(computed(folder, base), expected, batch)


@pytest.mark.parametrize("how", ["cat", "linear", "svd"])
def test_a_combination_that_peft_saved_is_what_it_is(
    tmp_path: Path, base_folder: Folder, computed: Computed, batch: Batch, how: str
) -> None:
    base = base_folder("bert")
    with peer.quiet():
        config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["query", "output.dense"])
        model: Any = peft.get_peft_model(peer.model_of(base, HEADED["bert"]), config, "one")
        peer.randomise(model)
        model.add_adapter("two", peft.LoraConfig(r=3, target_modules=["query", "output.dense"]))
        model.set_adapter("two")
        peer.randomise(model, scale=0.4)
        model.add_weighted_adapter(["one", "two"], [0.3, 0.7], "both", combination_type=how)
        model.save_pretrained(tmp_path, selected_adapters=["both"])
    folder = tmp_path / "both"
    expected = peer.outputs(folder, base, HEADED["bert"], batch)
    assert_same(computed(folder, base), expected, batch)


def test_our_average_of_two_is_the_formula(
    tmp_path: Path, base_folder: Folder, home: Home, loaded: Any, batch: Batch
) -> None:
    """Other ranks at some sites; the check is the base with sum c s B A added by hand."""
    base = base_folder("bert")
    name = register(home, loaded(base), base)
    pattern = {"intermediate.dense": 2}
    weights = {}
    for seed, one in enumerate(("one", "two")):
        config = peft.LoraConfig(
            r=3,
            lora_alpha=5,
            use_rslora=True,
            rank_pattern=pattern,
            target_modules=["query", "intermediate.dense"],
        )
        torch.manual_seed(seed)
        folder = peer.save(tmp_path / one, base, HEADED["bert"], config)
        tensors = load_file(folder / "adapter_model.safetensors")
        if seed:
            tensors = {key: tensor.flip(0) for key, tensor in tensors.items()}
            save_file(
                {k: t.contiguous() for k, t in tensors.items()},
                folder / "adapter_model.safetensors",
            )
        weights[one] = tensors
        import_folder(folder, home=home, name=one, details=LANGUAGE, base=name)
    found = run(home, loaded(base), "average(0.25*one, 0.75*two)", batch)
    model = peer.model_of(base, HEADED["bert"])
    with torch.no_grad():
        for one, c in {"one": 0.25, "two": 0.75}.items():
            for key, A in weights[one].items():
                if not key.endswith("lora_A.weight"):
                    continue
                path = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                B = weights[one][key.replace("lora_A", "lora_B")]
                model.get_submodule(path).weight += c * 5 / A.shape[0] ** 0.5 * B @ A
        expected = model(**batch).logits
    assert_same(found, expected, batch)

"""What peft loads without a word, or what has no form here: an error that names it.

The first group are peft's silent failures, each reproduced with peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapterhub_lite.errors import ExchangeError, HomeError, WeightsError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from tests.exchange.peft import peer
from tests.exchange.peft.conftest import HEADED, TASK, WEIGHTS, set_config

Folder = Callable[..., Path]
Loaded = Callable[[Path], Base]
START = "base_model.model.bert.encoder.layer."
KIND = HEADED["bert"]


def set_tensors(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def nan(tensors: dict[str, Tensor]) -> None:
    tensors[f"{START}1.attention.self.query.lora_A.weight"][0, 0] = torch.nan


def lacking(tensors: dict[str, Tensor]) -> None:
    del tensors[f"{START}2.attention.self.value.lora_A.weight"]
    del tensors[f"{START}2.attention.self.value.lora_B.weight"]


def half(tensors: dict[str, Tensor]) -> None:
    del tensors[f"{START}2.attention.self.value.lora_B.weight"]


def surplus(tensors: dict[str, Tensor]) -> None:
    tensors[f"{START}0.attention.self.query.extra"] = torch.zeros(1)


def unknown(tensors: dict[str, Tensor]) -> None:
    tensors["base_model.model.electra.encoder.layer.0.x"] = torch.zeros(1)


def strange(tensors: dict[str, Tensor]) -> None:
    tensors["transformer.h.0.x"] = torch.zeros(1)


def misshapen(tensors: dict[str, Tensor]) -> None:
    key = f"{START}0.attention.self.query.lora_B.weight"
    tensors[key] = tensors[key][:-1].contiguous()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lacking, r"lacks tensors for `encoder\.layer\.2\.attention\.self\.value`"),
        (half, r"lacks tensor `encoder\.layer\.2\.attention\.self\.value\.lora_B\.weight`"),
        (surplus, r"has `encoder\.layer\.0\.attention\.self\.query\.extra`"),
        (unknown, r"`electra\.encoder\.layer\.0\.x` belongs to no module of base `bert`"),
        (strange, r"`transformer\.h\.0\.x` does not start with `base_model\.`"),
        (misshapen, r"query\.lora_B\.weight` has shape \(31, 3\), expected \(32, 3\)"),
    ],
)
def test_tensors_that_do_not_fit(
    folder: Path, take_in: Callable[..., None], home: Home, change: Any, message: str
) -> None:
    set_tensors(folder, change)
    with pytest.raises(ExchangeError, match=message):
        take_in(folder)
    assert not home.registry.names()


def test_nan(folder: Path, take_in: Callable[..., None]) -> None:
    set_tensors(folder, nan)
    with pytest.raises(WeightsError, match=r"query\.1\.A` holds NaN"):
        take_in(folder)


def test_fewer_targets_than_tensors(folder: Path, take_in: Callable[..., None]) -> None:
    set_config(folder, target_modules=["query"])
    with pytest.raises(ExchangeError, match=r"has tensors for .*value.*does not target"):
        take_in(folder)


def test_another_rank(folder: Path, take_in: Callable[..., None]) -> None:
    set_config(folder, r=4)
    with pytest.raises(ExchangeError, match=r"shape \(3, 32\), expected \(4, 32\)"):
        take_in(folder)


def test_a_deeper_model(tmp_path: Path, base_folder: Folder, take_in: Callable[..., None]) -> None:
    deep = base_folder("bert", num_hidden_layers=4)
    config = peft.LoraConfig(target_modules=["query"])
    folder = peer.save(tmp_path / "deep", deep, KIND, config)
    with pytest.raises(ExchangeError, match=r"`encoder\.layer\.3\.attention\.self\.query`, which"):
        take_in(folder)


def test_a_wider_model(tmp_path: Path, base_folder: Folder, take_in: Callable[..., None]) -> None:
    wide = base_folder("bert", hidden_size=48)
    folder = peer.save(tmp_path / "wide", wide, KIND, peft.LoraConfig(target_modules=["query"]))
    with pytest.raises(ExchangeError, match=r"has shape \(8, 48\), expected \(8, 32\)"):
        take_in(folder)


def test_another_family(folder: Path, take_in: Callable[..., None]) -> None:
    """peft keeps the base's output as it is, with one warning."""
    with pytest.raises(ExchangeError, match="belongs to no module of base `xlm-roberta`"):
        take_in(folder, on="xlm-roberta")


def test_a_base_that_is_not_here(folder: Path, take_in: Callable[..., None]) -> None:
    with pytest.raises(HomeError, match="no-such-base"):
        take_in(folder, base="no-such-base")


def test_an_unknown_type(folder: Path, take_in: Callable[..., None]) -> None:
    set_config(folder, peft_type="MADX")
    with pytest.raises(ExchangeError, match="nothing here reads method `MADX`") as caught:
        take_in(folder)
    assert caught.value.hint is not None
    for method in ("lora", "dora", "ia3", "vera", "prefix"):
        assert method in caught.value.hint


def test_damaged_weights(folder: Path, take_in: Callable[..., None]) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ExchangeError, match="cannot read"):
        take_in(folder)


def test_pickles_only_when_asked(folder: Path, take_in: Callable[..., None], home: Home) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "adapter_model.bin")
    (folder / WEIGHTS).unlink()
    with pytest.raises(ExchangeError, match="pickle") as caught:
        take_in(folder)
    assert "--allow-pickle" in str(caught.value.hint)
    take_in(folder, allow_pickle=True)
    adapter = home.registry.get("a")
    names = [path.name for path in home.folder_of(adapter).iterdir()]
    assert not any(name.endswith(".bin") for name in names)


def test_a_resized_vocabulary(
    tmp_path: Path, base_folder: Folder, take_in: Callable[..., None]
) -> None:
    """Whole embeddings that were saved along are passed over only where they are the base's own."""
    base = base_folder("llama")
    config = peft.LoraConfig(r=3, target_modules=["embed_tokens"])
    folder = peer.save(tmp_path / "a", base, HEADED["llama"], config)
    key = "base_model.model.model.embed_tokens.base_layer.weight"
    set_tensors(folder, lambda tensors: tensors.update({key: tensors[key] + 0.01}))
    with pytest.raises(ExchangeError, match="is not the base's own"):
        take_in(folder, on="llama")


@pytest.mark.parametrize("module", ["lm_head", "embed_tokens"])
def test_modules_retrained_as_a_whole(
    tmp_path: Path, base_folder: Folder, take_in: Callable[..., None], module: str
) -> None:
    base = base_folder("llama", tie_word_embeddings=False)
    config = peft.LoraConfig(target_modules=["q_proj"], modules_to_save=[module])
    folder = peer.save(tmp_path / "a", base, HEADED["llama"], config)
    with pytest.raises(ExchangeError, match=f"retrained `{module}` as a whole"):
        take_in(folder, on="llama")


def test_a_task_without_its_head(
    tmp_path: Path, base_folder: Folder, take_in: Callable[..., None]
) -> None:
    """peft: a `KeyError`, or a head at random."""
    config = peft.LoraConfig(task_type="TOKEN_CLS", target_modules=["query"])
    kind = "AutoModelForTokenClassification"
    folder = peer.save(tmp_path / "a", base_folder("bert"), kind, config)
    set_tensors(folder, lambda t: [t.pop(k) for k in list(t) if "classifier" in k])  # type: ignore[arg-type]
    with pytest.raises(ExchangeError, match="is for token-classification and has no head"):
        take_in(folder, details=TASK)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_layers": 5}, "`num_layers` 5"),
        ({"num_virtual_tokens": 7}, r"shape \(4, 192\), expected \(7, 192\)"),
        ({"num_transformer_submodules": 2}, "`num_transformer_submodules` 2"),
    ],
)
def test_prefixes_of_other_shapes(
    tmp_path: Path,
    base_folder: Folder,
    take_in: Callable[..., None],
    values: dict[str, Any],
    message: str,
) -> None:
    config = peft.PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=4)
    folder = peer.save(tmp_path / "a", base_folder("bert"), "AutoModel", config)
    set_config(folder, **values)
    with pytest.raises(ExchangeError, match=message):
        take_in(folder)

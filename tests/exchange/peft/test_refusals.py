"""What peft loads without a word, or what has no form here: an error that names it.

The first group are peft's silent failures, each reproduced with peft 0.21.2.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapterhub_lite.errors import ExchangeError, HomeError, WeightsError
from adapterhub_lite.exchange import import_folder
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from tests.exchange.peft import peer
from tests.exchange.peft.conftest import HEADED, LANGUAGE, TASK, register

Folder = Callable[..., Path]
Loaded = Callable[[Path], Base]
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
START = "base_model.model.bert.encoder.layer."
KIND = HEADED["bert"]


@pytest.fixture
def folder(tmp_path: Path, base_folder: Folder) -> Path:
    """Return a sound adapter of the tiny BERT, to be spoilt."""
    config = peft.LoraConfig(r=3, target_modules=["query", "value"])
    return peer.save(tmp_path / "theirs", base_folder("bert"), KIND, config)


@pytest.fixture
def take_in(home: Home, base_folder: Folder, loaded: Loaded) -> Callable[..., None]:
    """Return a function that imports a folder; nothing may be left behind when it fails."""

    def take(folder: Path, *, on: str = "bert", **settings: Any) -> None:
        name = register(home, loaded(base_folder(on)), base_folder(on))
        given: dict[str, Any] = {"details": LANGUAGE, "base": name, **settings}
        import_folder(folder, home=home, name="a", **given)

    return take


def set_config(folder: Path, **values: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


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


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "P_TUNING", "ADALORA", "LOHA", "XLORA", "OFT"])
def test_other_methods_of_peft(folder: Path, take_in: Callable[..., None], kind: str) -> None:
    set_config(folder, peft_type=kind)
    with pytest.raises(ExchangeError, match=f"`{kind}`"):
        take_in(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alora_invocation_tokens": [3, 4]}, "`alora_invocation_tokens`.*aLoRA"),
        ({"use_qalora": True}, "`use_qalora`.*QALoRA"),
        ({"arrow_config": {"top_k": 2}}, "`arrow_config`.*Arrow"),
        ({"layer_replication": [[0, 2], [1, 3]]}, "`layer_replication`"),
        ({"target_parameters": ["x.weight"]}, "`target_parameters`"),
        ({"megatron_config": {"a": 1}}, "`megatron_config`"),
        ({"use_bdlora": {"a": 1}}, "`use_bdlora`"),
        ({"kasa_config": {"a": 1}}, "`kasa_config`"),
        ({"monteclora_config": {"a": 1}}, "`monteclora_config`"),
        ({"init_lora_weights": "pissa"}, "`pissa`, which changes the base's weights"),
        ({"init_lora_weights": "pissa_niter_16"}, "changes the base's weights"),
        ({"init_lora_weights": "olora"}, "`olora`, which changes the base's weights"),
        ({"init_lora_weights": "loftq"}, "`loftq`, which changes the base's weights"),
        ({"invented_later": True}, "`invented_later`, which is not known here"),
        ({"r": "8"}, "`r` in peft's LoRA config must be int, found '8'"),
        ({"r": True}, "`r` in peft's LoRA config must be int"),
        ({"r": 0}, "`r` in peft's config must be a number above 0"),
        ({"lora_alpha": None}, "`lora_alpha`"),
        ({"rank_pattern": {"query": -1}}, "`query` in peft's config must be a number above 0"),
        ({"rank_pattern": []}, "`rank_pattern`.*must be dict"),
        ({"target_modules": [1, 2]}, "`target_modules`.*must hold names"),
        ({"target_modules": None}, "no `target_modules`"),
        ({"target_modules": "("}, "is no regular expression"),
        ({"target_modules": "\\"}, "is no regular expression"),
        ({"bias": "some"}, "`bias` 'some'"),
        (
            {"layers_to_transform": [0], "layers_pattern": "(x+)+"},
            "`layers_pattern` must be a name",
        ),
        ({"trainable_token_indices": [1, 1]}, "must be different ids"),
        ({"trainable_token_indices": {"lm_head": [1]}}, "`trainable_token_indices` of `lm_head`"),
        ({"trainable_token_indices": [3]}, "lacks tensor .*trainable_tokens_delta"),
    ],
)
def test_config_values(
    folder: Path, take_in: Callable[..., None], values: dict[str, Any], message: str
) -> None:
    set_config(folder, **values)
    with pytest.raises(ExchangeError, match=message):
        take_in(folder)


@pytest.mark.parametrize("value", [True, "gaussian", "eva", "orthogonal", False])
def test_other_ways_to_start_say_nothing_about_the_result(
    folder: Path, take_in: Callable[..., None], value: Any
) -> None:
    set_config(folder, init_lora_weights=value, later_and_off=None, runtime=False)
    take_in(folder)


@pytest.mark.parametrize("key", ["target_modules", "exclude_modules", "rank_pattern"])
def test_a_pattern_that_does_not_come_to_an_end(
    folder: Path, take_in: Callable[..., None], key: str
) -> None:
    bomb = "([a-z_0-9.]+)+X"
    set_config(folder, **{key: {bomb: 4} if key == "rank_pattern" else bomb})
    start = time.monotonic()
    with pytest.raises(ExchangeError, match="does not come to an end"):
        take_in(folder)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read"),
        ("[]", "holds no JSON object"),
        ('{"r": 8}', "names no `peft_type`"),
    ],
)
def test_a_damaged_config(
    folder: Path, take_in: Callable[..., None], text: str, message: str
) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(ExchangeError, match=message):
        take_in(folder)


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

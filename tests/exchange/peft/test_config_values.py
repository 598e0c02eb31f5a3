"""Values of peft configs that have no form here, or no sense: an error that names the key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest

from adapterhub_lite.errors import AhlError, ExchangeError
from adapterhub_lite.home import Home
from tests.exchange.peft.conftest import CONFIG, set_config


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
        ("[]", "expected a JSON object"),
        ('{"r": 8}', "names no `peft_type`"),
    ],
)
def test_a_damaged_config(
    folder: Path, take_in: Callable[..., None], text: str, message: str
) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(ExchangeError, match=message):
        take_in(folder)


@pytest.mark.parametrize("key", ["lora_alpha", "r"])
def test_a_key_that_is_left_out_means_what_it_means_to_peft(
    folder: Path, home: Home, take_in: Callable[..., None], key: str
) -> None:
    set_config(folder, lora_alpha=16)
    config = json.loads((folder / CONFIG).read_text())
    del config[key]
    (folder / CONFIG).write_text(json.dumps(config))
    if key == "r":  # peft's default is 8, and these tensors have rank 3
        with pytest.raises(ExchangeError, match=r"lora_A.*shape"):
            take_in(folder)
        return
    take_in(folder)
    assert home.registry.get("a").manifest.config["alpha"] == peft.LoraConfig().lora_alpha


@pytest.mark.parametrize(
    "values",
    [
        {"r": 10**18},
        {"lora_dropout": 5.0},
        {"rank_pattern": {"query": 10**18}},
        {"layers_to_transform": [10**18]},
        {"trainable_token_indices": [10**12]},
    ],
)
def test_numbers_that_cannot_be_end_in_one_line(
    folder: Path, take_in: Callable[..., None], values: dict[str, Any]
) -> None:
    set_config(folder, **values)
    with pytest.raises(AhlError) as caught:
        take_in(folder)
    assert "\n" not in caught.value.message

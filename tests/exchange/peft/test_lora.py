"""LoRA from folders that peft wrote: what comes in computes what peft computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
from torch import Tensor

from adapterhub_lite.testing.kit import Batch
from tests.exchange.peft import peer
from tests.exchange.peft.conftest import FAMILIES, HEADED, assert_same

Folder = Callable[..., Path]
Computed = Callable[..., Tensor]

FIRST = {
    "xlm-roberta": ["query", "value"],
    "bert": ["query", "value"],
    "llama": ["q_proj", "v_proj"],
    "qwen2": ["q_proj", "v_proj"],
    "gpt2": ["c_attn"],
}
SECOND = {
    "xlm-roberta": "output.dense",
    "bert": "intermediate.dense",
    "llama": "mlp.down_proj",
    "qwen2": "mlp.gate_proj",
    "gpt2": "mlp.c_fc",
}
CASES: dict[str, Callable[[str], dict[str, Any]]] = {
    "plain": lambda _: {},
    "all linear, rank-stabilised": lambda _: {"target_modules": "all-linear", "use_rslora": True},
    "ranks and alphas by pattern": lambda family: {
        "target_modules": [*FIRST[family], SECOND[family]],
        "rank_pattern": {SECOND[family]: 2, rf".*\.1\..*{FIRST[family][0]}": 5},
        "alpha_pattern": {SECOND[family]: 3},
    },
    "a regular expression": lambda family: {
        "target_modules": rf".*\.[02]\..*({'|'.join(FIRST[family])})"
    },
    "layers": lambda family: {"layers_to_transform": [0, 2]},
    "layers by pattern": lambda family: {
        "layers_to_transform": 1,
        "layers_pattern": {"gpt2": "h", "llama": "layers", "qwen2": "layers"}.get(family, "layer"),
    },
    "excluded": lambda family: {
        "target_modules": "all-linear",
        "exclude_modules": rf".*\.1\..*|.*{SECOND[family]}|.*lm_head.*|.*cls.*",
    },
    "a bias of B": lambda _: {"lora_bias": True},
    "biases of its modules": lambda _: {"bias": "lora_only"},
    "tokens": lambda _: {"trainable_token_indices": [70, 7, 22]},
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", CASES)
def test_equals_peft(
    tmp_path: Path, base_folder: Folder, computed: Computed, batch: Batch, family: str, case: str
) -> None:
    base = base_folder(family)
    settings = {"r": 3, "lora_alpha": 7, "target_modules": FIRST[family], **CASES[case](family)}
    folder = peer.save(tmp_path / "a", base, HEADED[family], peft.LoraConfig(**settings))
    found = computed(folder, base)
    expected = peer.outputs(folder, base, HEADED[family], batch)
    if case == "tokens" and family in ("xlm-roberta", "bert"):  # peft drops the output's bias
        expected = expected + peer.model_of(base, HEADED[family]).get_output_embeddings().bias
    assert_same(found, expected, batch)

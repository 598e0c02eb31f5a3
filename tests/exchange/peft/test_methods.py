"""DoRA, (IA)^3, VeRA and prefix tuning from folders that peft wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
from torch import Tensor

from adapterhub_lite.testing.kit import Batch
from tests.exchange.peft import peer
from tests.exchange.peft.conftest import FAMILIES, HEADED, TASK, assert_same

Folder = Callable[..., Path]
Computed = Callable[..., Tensor]

QUERIES = {"xlm-roberta": ["query"], "bert": ["query"], "gpt2": ["c_attn"]}
UP = {"xlm-roberta": "intermediate.dense", "bert": "intermediate.dense", "gpt2": "mlp.c_fc"}
DOWN = {"xlm-roberta": "output.dense", "bert": "output.dense", "gpt2": "mlp.c_proj"}
Make = Callable[[list[str], str, str], peft.PeftConfig]
CASES: dict[str, Make] = {
    "dora": lambda q, up, _: peft.LoraConfig(r=3, use_dora=True, target_modules=[*q, up]),
    "dora, stable, patterns": lambda q, up, _: peft.LoraConfig(
        r=3,
        use_dora=True,
        use_rslora=True,
        target_modules=[*q, up],
        rank_pattern={up: 2},
        alpha_pattern={q[0]: 5},
        layers_to_transform=[0, 2],
    ),
    "ia3": lambda q, _, down: peft.IA3Config(target_modules=[*q, down], feedforward_modules=[down]),
    "ia3, outputs": lambda q, up, _: peft.IA3Config(
        target_modules=rf".*\.[01]\..*({q[0]}|{up})", feedforward_modules=[]
    ),
    "vera": lambda q, up, down: peft.VeraConfig(
        r=6, projection_prng_key=4, target_modules=[*q, up, down]
    ),
    "vera, not saved": lambda q, _, __: peft.VeraConfig(
        r=6, projection_prng_key=4, target_modules=q, save_projection=False
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", CASES)
def test_equals_peft(
    tmp_path: Path, base_folder: Folder, computed: Computed, batch: Batch, family: str, case: str
) -> None:
    base = base_folder(family)
    names = (
        QUERIES.get(family, ["q_proj"]),
        UP.get(family, "up_proj"),
        DOWN.get(family, "down_proj"),
    )
    with peer.quiet():
        config = CASES[case](*names)
    folder = peer.save(tmp_path / "a", base, HEADED[family], config)
    expected = peer.outputs(folder, base, HEADED[family], batch)
    assert_same(computed(folder, base), expected, batch)


@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_prefixes(
    tmp_path: Path,
    base_folder: Folder,
    computed: Computed,
    batch: Batch,
    family: str,
    projection: bool,
) -> None:
    base = base_folder(family)
    encoder = family in ("xlm-roberta", "bert")
    kind = "AutoModelForTokenClassification" if encoder else "AutoModelForCausalLM"
    config = peft.PrefixTuningConfig(
        task_type="TOKEN_CLS" if encoder else "CAUSAL_LM",
        num_virtual_tokens=4,
        prefix_projection=projection,
        encoder_hidden_size=12,
    )
    settings: dict[str, Any] = {"num_labels": 3} if encoder else {}
    folder = peer.save(tmp_path / "a", base, kind, config, **settings)
    expected = peer.outputs(folder, base, kind, batch, **settings)
    assert_same(computed(folder, base, TASK), expected, batch)

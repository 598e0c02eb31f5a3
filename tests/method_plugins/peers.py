"""Numbers of peft for the same base, method and weights."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import peft
import torch
from torch import Tensor

from adapterhub_lite.model.base import Base

TARGETS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "ffn_up": "intermediate.dense",
    "ffn_down": r"layer\.\d+\.output.dense",
}
"""Where BERT has a part, as peft's regular expressions name it."""


def paths(*parts: str) -> str:
    """Return peft's `target_modules` for parts of BERT."""
    return f".*({'|'.join(TARGETS[part] for part in parts)})"


def peer_logits(
    base: Base, config: peft.PeftConfig, weights: Mapping[str, Tensor], batch: Mapping[str, Any]
) -> Tensor:
    """Return the vocabulary scores that peft computes; `weights` must be all that it trains."""
    with warnings.catch_warnings():  # peft asks transformers for a property that was renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        model: Any = peft.get_peft_model(copy.deepcopy(base.model), config)
    model.eval()
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained == weights.keys()
    model.load_state_dict({k: v.detach() for k, v in weights.items()}, strict=False)
    with torch.no_grad():
        result: Tensor = model(**batch).logits
    return result

"""The model that is measured, the adapters on it and the batches: random, from fixed seeds.

Random weights cost what trained ones do.  XLM-R's width and depth with a vocabulary of 30,000 (109
M parameters); the small size has the same width and fewer layers, so that ratios stay near.

Models that are compared in one process have the very same weights in memory, not copies of them:
where the pages of a copy lie is worth a hundredth of a forward pass.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from adapterhub_lite.adapter import HeadSpec, Kind
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.fingerprint import identify
from adapterhub_lite.model.loaded import LoadedAdapter, fresh
from adapterhub_lite.plugins import load
from adapterhub_lite.testing.models import tiny_tokenizer
from benchmarks.timing import device, half

LANGUAGE = {"reduction": 2.0, "invertible": True}
TASK = {"reduction": 16.0}
LORA = {"rank": 8, "alpha": 16.0}
TOLERANCE = 5e-4
"""Largest difference between hidden states of two libraries, which sum in other orders."""


@dataclass(frozen=True, slots=True)
class Size:
    """How big and how often."""

    name: str
    layers: int
    vocabulary: int
    rounds: int
    steps: int
    training_vocabulary: int


SMALL = Size("small", layers=4, vocabulary=8000, rounds=5, steps=3, training_vocabulary=32_000)
FULL = Size("full", layers=12, vocabulary=30_000, rounds=15, steps=4, training_vocabulary=250_002)


def config_of(size: Size, vocabulary: int | None = None) -> transformers.XLMRobertaConfig:
    """Return XLM-R base's config with this many layers and tokens."""
    return transformers.XLMRobertaConfig(
        vocab_size=vocabulary or size.vocabulary,
        hidden_size=768,
        num_hidden_layers=size.layers,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )


def make_base(size: Size, vocabulary: int | None = None) -> Base:
    """Return a random base on the device to measure on."""
    torch.manual_seed(0)
    return _ready(transformers.XLMRobertaForMaskedLM(config_of(size, vocabulary)))


def read_base(folder: Path) -> Base:
    """Return the base in a folder, on the device to measure on."""
    model = transformers.XLMRobertaForMaskedLM.from_pretrained(folder, trust_remote_code=False)
    return _ready(model)


def _ready(model: Any) -> Base:
    model.requires_grad_(False)
    model.eval().to(device())
    return Base(model, tiny_tokenizer(), identify(model, "random-xlm-r"))


def twin(model: Any) -> Any:
    """Return a copy of a model, layer by layer, with the very same weights."""
    weights = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in weights})


def make_adapter(
    base: Base,
    method: str,
    config: Mapping[str, Any],
    ref: str,
    *,
    seed: int = 1,
    leave_out: tuple[int, ...] = (),
    labels: int = 0,
) -> LoadedAdapter:
    """Return an adapter with every weight from N(0, 0.02), with a head if there are labels."""
    plugins = load()
    found = plugins.method(method)
    adapter = fresh(
        Anatomy(base.model, plugins.families),
        found,
        found.Config.from_mapping(config),
        ref=ref,
        kind=Kind.TASK if labels else Kind.LANGUAGE,
        leave_out=leave_out,
        seed=seed,
    )
    generator = torch.Generator().manual_seed(seed)
    adapter.weights = {
        key: torch.randn(tensor.shape, generator=generator) * 0.02
        for key, tensor in adapter.weights.items()
    }
    if labels:
        names = tuple(f"l{number}" for number in range(labels))
        adapter.head = HeadSpec("token-classification", names)
        adapter.weights["head.weight"] = torch.randn(labels, 768, generator=generator) * 0.02
        adapter.weights["head.bias"] = torch.zeros(labels)
    return adapter


def make_batch(vocabulary: int, rows: int, tokens: int, *, seed: int = 3) -> dict[str, Tensor]:
    """Return a batch without padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, vocabulary, (rows, tokens), generator=generator).to(device())
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def forward(model: Any, batch: Mapping[str, Tensor], **more: Any) -> Callable[[], None]:
    """Return what runs one forward pass."""
    numbers = half()

    def run() -> None:
        with torch.inference_mode(), numbers:
            model(**batch, **more)

    return run


def in_peft(trunk: Any, *adapters: LoadedAdapter) -> Any:
    """Return the model in `peft`, on the same weights, with our LoRA adapters."""
    import peft

    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"])
    model: Any = peft.get_peft_model(twin(trunk), config, adapter_name=adapters[0].ref)
    for adapter in adapters[1:]:
        model.add_adapter(adapter.ref, config)
    layers = model.base_model.model.encoder.layer
    with torch.no_grad():
        for adapter in adapters:
            for number, layer in enumerate(layers):
                for part in ("query", "value"):
                    module = getattr(layer.attention.self, part)
                    for letter in "AB":
                        weight = getattr(module, f"lora_{letter}")[adapter.ref].weight
                        weight.copy_(adapter.weights[f"{part}.{number}.{letter}"])
    return model.eval()


def scratch() -> Path:
    """Return a new folder for files of a benchmark; the system clears it."""
    return Path(tempfile.mkdtemp(prefix="ahl-bench-"))

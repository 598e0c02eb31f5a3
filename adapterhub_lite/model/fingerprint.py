"""Fingerprint of a base model: a digest over a fixed sample of its weights.

Two bases with the same shape and other weights must differ (an adapter on the wrong one gives
noise without any error), and the same weights must agree whether loaded with a head or without, in
float32 or in bfloat16.  So: the trunk's parameters in order of name, up to 64 values of each at
even steps, rounded to bfloat16.  Even a fine-tuning step of 1e-5 flips some of those roundings.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

from adapterhub_lite.adapter import BaseIdentity

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SAMPLE = 64


def fingerprint(model: PreTrainedModel) -> str:
    """Return the fingerprint of `model`'s trunk: 64 hexadecimal letters."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.base_model.named_parameters()):
        if "pooler" in name:
            continue
        flat = tensor.detach().reshape(-1)
        last = flat.numel() - 1
        # In float32, the last place of a large table (XLM-R: 192 M entries) is past its end.
        chosen = torch.linspace(0, last, min(SAMPLE, flat.numel())).long().clamp(max=last)
        values = flat[chosen.to(flat.device)].to("cpu", torch.bfloat16).view(torch.int16)
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def identify(model: PreTrainedModel, name: str, revision: str | None = None) -> BaseIdentity:
    """Return the identity of a loaded model under `name`."""
    config = model.config
    return BaseIdentity(
        name=name,
        architecture=config.model_type,
        hidden_size=config.hidden_size,
        layers=config.num_hidden_layers,
        vocab_size=config.vocab_size,
        fingerprint=fingerprint(model),
        revision=revision,
    )

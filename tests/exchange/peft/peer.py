"""The real peft in this process: adapters with random weights, saved, loaded and run by it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from torch import Tensor

Batch = Mapping[str, Tensor]


@contextmanager
def quiet() -> Iterator[None]:
    """peft and transformers warn about much that is meant here."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    transformers.logging.set_verbosity(verbosity)


def model_of(base: Path, kind: str, **settings: Any) -> Any:
    """Return a base in one of transformers' Auto classes, its head drawn from a seed."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return getattr(transformers, kind).from_pretrained(base, **settings).eval()


def randomise(model: Any, *, scale: float = 0.2) -> None:
    """Draw all that is trained."""
    generator = torch.Generator().manual_seed(7)
    for parameter in model.parameters():
        if parameter.requires_grad:
            drawn = torch.randn(parameter.shape, generator=generator) * scale
            parameter.data = parameter.data * 0.5 + drawn if parameter.dim() < 2 else drawn


def save(folder: Path, base: Path, kind: str, config: peft.PeftConfig, **settings: Any) -> Path:
    """Write an adapter with random weights, as peft saves it."""
    with quiet():
        model: Any = peft.get_peft_model(model_of(base, kind, **settings), config)
        randomise(model)
        model.save_pretrained(folder)
    return folder


def outputs(folder: Path, base: Path, kind: str, batch: Batch, **settings: Any) -> Tensor:
    """Return logits (or last hidden states) that peft computes with the adapter in a folder.

    Missing and surplus tensors, of which peft only warns, are errors.
    """
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("error", "Found missing adapter keys")
        model: Any = peft.PeftModel.from_pretrained(model_of(base, kind, **settings), str(folder))
        model.eval()
        with torch.no_grad():
            result = model(**batch)
    found: Tensor = result.logits if "logits" in result else result.last_hidden_state
    return found

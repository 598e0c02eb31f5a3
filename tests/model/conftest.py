"""Tiny random bases, one a family, and adapters with random weights on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.plugins import Plugins, load
from adapterhub_lite.testing.adapters import random_adapter
from adapterhub_lite.testing.models import save_tiny_base

Make = Callable[..., LoadedAdapter]


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return load()


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Base]:
    """Return a function from model type to its tiny base; each is made once."""
    folder: Path = tmp_path_factory.mktemp("bases")
    made: dict[str, Base] = {}

    def base(model_type: str) -> Base:
        if model_type not in made:
            made[model_type] = load_base(save_tiny_base(folder / model_type, model_type))
        return made[model_type]

    return base


@pytest.fixture(scope="session")
def make(plugins: Plugins) -> Make:
    """Return a function that makes an adapter: random weights, or a fresh one with `scale=0`."""

    def make(
        base: Base,
        method: str,
        ref: str = "a",
        *,
        seed: int = 1,
        scale: float = 0.3,
        leave_out: Sequence[int] = (),
        **config: Any,
    ) -> LoadedAdapter:
        return random_adapter(
            base,
            plugins.method(method),
            config,
            ref=ref,
            seed=seed,
            scale=scale,
            leave_out=leave_out,
        )

    return make


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Four rows of seven tokens, of which the second has two of padding."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(5, 90, (4, 7), generator=generator)
    mask = torch.ones_like(ids)
    ids[1, 5:], mask[1, 5:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}

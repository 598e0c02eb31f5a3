"""Homes with a tiny X-MOD base of three languages: with and without a default, and normed first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite import Home
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.base_modules import add_modules
from adapterhub_lite.testing.models import save_tiny_base

NAMES = ("en_XX", "gv_IM", "sw_KE")
MODULES = ("tiny-en", "tiny-gv", "tiny-sw")
FORMS: dict[str, dict[str, Any]] = {
    "default": {},
    "no default": {"default_language": None},
    "norm first": {
        "pre_norm": True,
        "adapter_layer_norm": True,
        "adapter_reuse_layer_norm": False,
        "ln_before_adapter": False,
    },
    "no norm before": {"adapter_reuse_layer_norm": False},
}
"""Settings of `XmodConfig` that change the end of a layer."""

Batch = dict[str, torch.Tensor]
Made = Callable[[str], tuple[Home, Base]]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return a function from a form to a home and the base in it, its modules registered."""
    done: dict[str, tuple[Home, Base]] = {}

    def make(form: str = "default") -> tuple[Home, Base]:
        if form not in done:
            home = Home.init(tmp_path_factory.mktemp("xmod") / "home")
            folder: Path = save_tiny_base(home.path / "bases" / "tiny", "xmod", **FORMS[form])
            base = load_base(folder)
            base = replace(base, identity=replace(base.identity, name="tiny"))
            add_modules(home, base)
            done[form] = (home, base)
        return done[form]

    return make


@pytest.fixture
def batch() -> Batch:
    """Three rows of six tokens, of which the second has two of padding."""
    ids = torch.randint(5, 90, (3, 6), generator=torch.Generator().manual_seed(5))
    mask = torch.ones_like(ids)
    ids[1, 4:], mask[1, 4:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


def own(base: Base, batch: Batch, *languages: int) -> torch.Tensor:
    """Return what transformers computes, the rows' languages given by `lang_ids`."""
    with torch.no_grad():
        result: torch.Tensor = base.model(**batch, lang_ids=torch.tensor(languages)).logits
    return result

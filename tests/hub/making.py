"""Small adapters as a repository has them: real manifests, real safetensors, no model needed.

Their method is one that no other library has a form for: what goes to and comes from other
libraries is in `test_peers.py`.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from adapterhub_lite import Home, digests
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import (
    Adapter,
    BaseIdentity,
    HeadSpec,
    Kind,
    LanguageUse,
    Manifest,
    Provider,
    Role,
    WeightsFile,
)

BASE = BaseIdentity("org/tiny", "xlm-roberta", 32, 3, 96, fingerprint="f" * 64)
FOREIGN = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 2}


PLUGIN = '''
"""A method that no other library has a form for."""
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import SiteMethod
from adapterhub_lite.methods.config import MethodConfig


class MadeUp(SiteMethod):
    name = "made-up"
    Config = MethodConfig

    def transform(self, site, config, weights, x, y):
        return y


@hookimpl
def ahl_methods():
    return [MadeUp()]
'''


def new_home(path: Path) -> Home:
    """Return an empty home that knows the method of these adapters."""
    home = Home.init(path)
    (path / "plugins").mkdir()
    (path / "plugins" / "made_up.py").write_text(PLUGIN)
    return Home.find(home.path)


def tensors(seed: int, size: int = 600) -> bytes:
    """Return a safetensors file with one tensor."""
    values = np.random.default_rng(seed).normal(size=size).astype("float32")
    return save({"0.ffn_block.down": values})


def manifest(weights: bytes, **changes: Any) -> Manifest:
    """Return a language adapter's manifest for these weights."""
    values: dict[str, Any] = {
        "kind": Kind.LANGUAGE,
        "languages": (LanguageUse("sw", Role.LANGUAGE),),
        "base": BASE,
        "method": "made-up",
        "config": {},
        "provider": Provider("adapterhub_lite", "0.1.0"),
        "weights": WeightsFile(digests.of_bytes(weights), len(weights)),
        "licence": "CC0-1.0",
    }
    return Manifest(**(values | changes))


def files(seed: int = 1, *, size: int = 600, **changes: Any) -> dict[str, bytes]:
    """Return the two files of an adapter in this package's own layout."""
    weights = tensors(seed, size)
    text = manifests.dumps(manifest(weights, **changes))
    return {manifests.FILE: text.encode(), manifests.WEIGHTS: weights}


def foreign(config: Any = None, weights: bytes | None = None) -> dict[str, bytes]:
    """Return the files of another library's adapter."""
    text = json.dumps(FOREIGN if config is None else config)
    named = weights if weights is not None else tensors(1)
    return {"adapter_config.json": text.encode(), "adapter_model.safetensors": named}


def header(values: Any, data: bytes = b"") -> bytes:
    """Return a safetensors file with exactly this header; text is taken as it stands."""
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return struct.pack("<Q", len(text)) + text + data


def add(home: Home, folder: Path, name: str, seed: int, **changes: Any) -> Adapter:
    """Add an adapter to a home."""
    folder.mkdir(parents=True)
    for path, data in files(seed, **changes).items():
        (folder / path).write_bytes(data)
    return home.add(folder, name=name)


def task(seed: int, *over: Adapter, **changes: Any) -> dict[str, Any]:
    """Return what makes a task adapter of a manifest."""
    return {
        "seed": seed,
        "kind": Kind.TASK,
        "languages": (LanguageUse("en", Role.SOURCE),),
        "task": "ner",
        "dataset": "names",
        "head": HeadSpec("token-classification", ("O", "B-PER")),
        "trained_over": tuple(adapter.underneath() for adapter in over),
        **changes,
    }

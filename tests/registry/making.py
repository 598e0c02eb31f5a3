"""Manifests and adapter folders for the tests of this room: real files, small."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import (
    BaseIdentity,
    HeadSpec,
    Kind,
    LanguageUse,
    Manifest,
    Provider,
    Role,
    Score,
    WeightsFile,
)
from adapterhub_lite.registry import Registry

BASE = BaseIdentity("mini-base", "bert", 32, 2, 500, fingerprint="f" * 64)
WHEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def weights(seed: str, size: int = 3000) -> bytes:
    """Return bytes that differ from seed to seed."""
    return (hashlib.sha256(seed.encode()).digest() * (size // 32 + 1))[:size]


def manifest(seed: str = "a", tag: str = "sw", **changes: Any) -> Manifest:
    """Return a language adapter's manifest with the weights of `seed`."""
    data = weights(seed)
    values: dict[str, Any] = {
        "kind": Kind.LANGUAGE,
        "languages": (LanguageUse(tag, Role.LANGUAGE),),
        "base": BASE,
        "method": "bottleneck",
        "config": {"reduction_factor": 2},
        "provider": Provider("adapterhub_lite.methods", "0.1.0"),
        "weights": WeightsFile(hashlib.sha256(data).hexdigest(), len(data)),
    }
    return Manifest(**(values | changes))


def task(seed: str = "t", source: str = "en", name: str = "ner", **changes: Any) -> Manifest:
    """Return a task adapter's manifest."""
    given: dict[str, Any] = {
        "kind": Kind.TASK,
        "languages": (LanguageUse(source, Role.SOURCE),),
        "task": name,
        "dataset": "names",
        "head": HeadSpec("token-classification", ("O", "B-PER")),
    }
    return manifest(seed, **(given | changes))


def pair(source: str, target: str, seed: str = "p") -> Manifest:
    """Return a bilingual adapter's manifest."""
    uses = (LanguageUse(source, Role.SOURCE), LanguageUse(target, Role.TARGET))
    return manifest(seed, kind=Kind.BILINGUAL, languages=uses)


def folder(path: Path, seed: str = "a", size: int = 3000, **changes: Any) -> Path:
    """Write an adapter's folder and return it."""
    data = weights(seed, size)
    recorded = WeightsFile(hashlib.sha256(data).hexdigest(), len(data))
    path.mkdir(parents=True, exist_ok=True)
    (path / manifests.WEIGHTS).write_bytes(data)
    text = manifests.dumps(manifest(seed, **({"weights": recorded} | changes)))
    (path / manifests.FILE).write_text(text, encoding="utf-8")
    return path


def score(**changes: Any) -> Score:
    """Return a score."""
    values: dict[str, Any] = {
        "composition": f"stack({'a' * 64}, {'b' * 64})",
        "task": "ner",
        "dataset": "names",
        "split": "test",
        "language": "sw",
        "metric": "f1",
        "value": 0.5,
        "n": 100,
        "seed": 0,
        "when": WHEN,
    }
    return Score(**(values | changes))


def fill(registry: Registry) -> None:
    """Add a small set of adapters under names."""
    registry.add(manifest("sw"), name="sw-wiki", aliases=("sw",), added=WHEN)
    registry.add(manifest("swh", "swh"), name="swh-wiki", added=WHEN)
    registry.add(manifest("en", "en"), name="en-wiki", added=WHEN)
    registry.add(pair("en", "sw"), name="en-sw", added=WHEN)
    registry.add(task("ner"), name="ner-en", added=WHEN)
    registry.add(task("pos", name="pos", dataset="ud"), name="pos-en", remote=True, added=WHEN)

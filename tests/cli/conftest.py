"""A home with made-up adapters for every strategy, and a way to call `ahl` on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from adapterhub_lite import Home, digests
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import (
    Adapter,
    BaseIdentity,
    HeadSpec,
    Kind,
    LanguageUse,
    Manifest,
    Parent,
    Provider,
    Role,
    WeightsFile,
)
from adapterhub_lite.cli import main
from adapterhub_lite.methods.bottleneck import BottleneckConfig

BASE = BaseIdentity("tiny", "xlm-roberta", 32, 3, 96, fingerprint="f" * 64)
CONFIG = BottleneckConfig(reduction=4.0).to_mapping()


def write_adapter(
    folder: Path,
    kind: Kind,
    *tags: str,
    over: Sequence[Adapter] = (),
    task: str | None = None,
    parents: Sequence[Adapter] = (),
) -> Path:
    """Write a folder with an adapter whose weights say what it is, so that no two are equal."""
    folder.mkdir(parents=True)
    weights = folder / manifests.WEIGHTS
    save_file({"name": np.frombuffer(folder.name.encode(), dtype=np.uint8).copy()}, weights)
    roles = (Role.SOURCE, Role.TARGET) if kind is Kind.BILINGUAL else (Role.LANGUAGE,)
    if kind is Kind.TASK:
        roles = (Role.SOURCE,)
    manifest = Manifest(
        kind=kind,
        languages=tuple(LanguageUse(t, r) for t, r in zip(tags, roles, strict=True)),
        base=BASE,
        method="bottleneck",
        config=CONFIG,
        provider=Provider("adapterhub_lite", "0.1.0"),
        weights=WeightsFile(digests.of_file(weights), weights.stat().st_size),
        task=task,
        head=HeadSpec("token-classification", ("NOUN", "VERB")) if task else None,
        trained_over=tuple(adapter.underneath() for adapter in over),
        licence="CC0-1.0",
        parents=tuple(Parent(parent.digest, 1 / len(parents)) for parent in parents),
    )
    (folder / manifests.FILE).write_text(manifests.dumps(manifest), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with en, gv and fo, a pos adapter over en, and the pair en-gv with its own."""
    path = tmp_path_factory.mktemp("filled")
    home, made = Home.init(path / "home"), path / "made"

    def add(name: str, kind: Kind, *tags: str, **more: Any) -> Adapter:
        return home.add(write_adapter(made / name, kind, *tags, **more), name=name)

    english = add("en-wiki", Kind.LANGUAGE, "en")
    add("gv-wiki", Kind.LANGUAGE, "gv")
    add("fo-wiki", Kind.LANGUAGE, "fo")
    add("pos-en", Kind.TASK, "en", over=[english], task="pos")
    pair = add("en-gv", Kind.BILINGUAL, "en", "gv")
    add("pos-en-gv", Kind.TASK, "en", over=[pair], task="pos")
    return home.path


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> Path:
    """A copy of the filled home that a test may change."""
    from adapterhub_lite.testing.homes import copy_home

    return copy_home(filled, tmp_path / "home").path


Ahl = Callable[..., Result]


@pytest.fixture
def ahl(home: Path) -> Ahl:
    """Call `ahl` in this process on the home: `ahl("list", "--json")`."""

    def call(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(home), *arguments])
        assert result.exit_code == code, result.output
        return result

    return call


@pytest.fixture
def ahl_json(ahl: Ahl) -> Callable[..., Any]:
    """Call `ahl ... --json` and return what it printed, which must be one JSON document."""

    def call(*arguments: str, code: int = 0) -> Any:
        return json.loads(ahl(*arguments, "--json", code=code).stdout)

    return call

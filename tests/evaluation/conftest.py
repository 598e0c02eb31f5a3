"""A home with language and bilingual adapters and task adapters of two seeds, trained briefly."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.testing.homes import copy_home
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import (
    LanguageSettings,
    TaskSettings,
    train_bilingual,
    train_language,
    train_task,
)
from tests.training.writing import write_tagged, write_text


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(save_tiny_base(tmp_path_factory.mktemp("bases") / "tiny", "xlm-roberta"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, base: Base) -> Home:
    """Adapters for en and fo and their pair, and taggers over nothing, en, the pair, and both."""
    folder = tmp_path_factory.mktemp("trained")
    home = Home.init(folder / "home")
    home.registry.add_base(base.identity)
    common: dict[str, Any] = {"base": base, "home": home, "quiet": True}
    texts = {
        "en": write_text(folder / "en.txt", random.Random(1), low=5, high=50),
        "fo": write_text(folder / "fo.txt", random.Random(2), low=40, high=95),
    }
    settings = LanguageSettings(steps=4, batch_size=4, block=20, lr=0.02)
    for tag, path in texts.items():
        train_language(tag, path, settings=settings, **common)
    train_bilingual("en", "fo", text=texts, settings=settings, **common)
    tagged = write_tagged(folder / "train.tsv", random.Random(3), sentences=80)
    for over in (None, "en", "en-fo", ("en", "fo")):
        for seed in (0, 1):
            train_task(
                "pos",
                train=tagged,
                source="en",
                over=over,
                settings=TaskSettings(steps=12, batch_size=8, lr=0.02, seed=seed),
                **common,
            )
    return home


@pytest.fixture
def home(trained: Home, tmp_path: Path) -> Home:
    return copy_home(trained.path, tmp_path / "home")


@pytest.fixture
def test_file(tmp_path: Path) -> Path:
    return write_tagged(tmp_path / "test.tsv", random.Random(5), sentences=30)

"""A home with a tiny random base, text with something to learn in it, and labelled data."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.testing.models import save_tiny_base
from tests.training.writing import write_tagged, write_text


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(save_tiny_base(tmp_path_factory.mktemp("bases") / "tiny", "xlm-roberta"))


@pytest.fixture
def home(tmp_path: Path, base: Base) -> Home:
    made = Home.init(tmp_path / "home")
    made.registry.add_base(base.identity)
    return made


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path / "text.txt", random.Random(1), low=5, high=50)


@pytest.fixture
def other_text(tmp_path: Path) -> Path:
    return write_text(tmp_path / "other.txt", random.Random(2), low=40, high=95)


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    return write_tagged(tmp_path / "train.tsv", random.Random(3), sentences=80)

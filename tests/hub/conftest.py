"""The loopback Hub and a client for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from adapterhub_lite import Home
from adapterhub_lite.adapter import Adapter
from tests.hub.making import add, new_home
from tests.hub.server import Hub

TOKEN = "hf_anna"


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub with the account `anna`, who may write for `lab` as well."""
    with Hub() as server:
        server.account(TOKEN, "anna", orgs=("lab",))
        yield server


@pytest.fixture
def api(hub: Hub) -> HfApi:
    """The real client, as anna."""
    return HfApi(endpoint=hub.endpoint, token=TOKEN)


@pytest.fixture(autouse=True)
def nothing_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tokens, caches and settings of the user out of the tests."""
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HUGGING_FACE_HUB_TOKEN", "AHL_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return new_home(tmp_path / "home")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect how long anybody would have waited, instead of waiting."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.fixture
def swahili(home: Home, tmp_path: Path) -> Adapter:
    """An adapter in the home, named `sw-wiki`."""
    return add(home, tmp_path / "made" / "sw", "sw-wiki", 1)

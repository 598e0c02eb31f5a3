"""What tests of attacks share: a refusal, a forged listing, and that nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import Home
from adapterhub_lite.errors import AhlError, HomeError, HubError
from adapterhub_lite.hub import pull
from tests.hub.server import Hub
from tests.hub.wire import Alter, Request, Response, as_json


@pytest.fixture(autouse=True)
def nothing_written(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After every attack: no adapter, no object, no file in the making, nothing beside them."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    yield
    assert home.registry.count() == 0
    assert not list((home.path / "objects").glob("[0-9a-f]*/*"))
    assert not list(scratch.iterdir())
    assert {p.name for p in tmp_path.iterdir()} <= {"home", "cache", "scratch", "client"}
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def refused(hub: Hub, home: Home, match: str, repo: str = "lab/x", **more: Any) -> None:
    with pytest.raises(AhlError, match=match) as error:
        pull(repo, home=home, endpoint=hub.endpoint, **more)
    assert isinstance(error.value, HubError | HomeError)


def listed(change: Callable[[list[dict[str, Any]]], Any]) -> Alter:
    """Return a fault that changes the entries of a tree."""

    def alter(_request: Request, answer: Response) -> Response:
        entries = json.loads(answer.body)
        change(entries)
        return as_json(entries)

    return alter

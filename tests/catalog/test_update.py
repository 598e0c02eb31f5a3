"""`ahl catalog update` with the real Hub client, against a Hub on the loopback interface."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import Home, plugins
from adapterhub_lite.catalog import entries, load
from adapterhub_lite.catalog.entries import Entry
from adapterhub_lite.catalog.update import update
from adapterhub_lite.errors import HubError, NoResolutionError
from adapterhub_lite.resolver import resolve
from tests.catalog.conftest import ROOT, Ahl
from tests.hub.server import Hub

BASE = "google-bert/bert-base-multilingual-cased"
SW = "AdapterHub/bert-base-multilingual-cased-sw-wiki_pfeiffer"
SW_SFT = "cambridgeltl/mbert-lang-sft-swa-small"
NER = "AdapterHub/bert-base-multilingual-cased_wikiann_ner_en_pfeiffer"
CARD = """---
library_name: adapter-transformers
base_model: {}
base_model_relation: adapter
---
"""
WEIGHTS = b"weights of one adapter"


@pytest.fixture
def own(tmp_path: Path) -> Home:
    """A home with what the catalogue has for English and Swahili on two bases."""
    home = Home.init(tmp_path / "home")
    methods = plugins.load(ROOT / "plugins", entry_points=False)
    load(home.registry, methods, some())
    return home


def some() -> list[Entry]:
    """Return the entries that the tests are about."""
    tags = [{"language": ["en"]}, {"language": ["sw"]}, {"source": ["en"]}]
    bases = (BASE, "FacebookAI/xlm-roberta-large")
    return [e for e in entries.read() if e.base in bases and e.languages in tags]


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub with every adapter of the base but Swahili's, and one that the catalogue lacks."""
    with Hub(page_size=5) as server:
        for entry in some():
            if entry.base == BASE and entry.hub_id != SW:
                publish(server, entry.hub_id)
        publish(server, "someone/sw-bert-adapter")
        yield server


def publish(hub: Hub, hub_id: str, weights: bytes = WEIGHTS) -> str:
    """Publish an adapter in the layout of the adapters library, and return its commit."""
    files = {"README.md": CARD.format(BASE), "adapter_config.json": "{}"}
    commit = hub.publish(hub_id, {**files, "adapter.safetensors": weights})
    return str(commit.oid)


def test_update_fills_in_what_the_hub_says(own: Home, hub: Hub) -> None:
    before = own.registry.get(SW_SFT)
    assert before.manifest.source is not None
    assert (before.manifest.source.status, before.manifest.source.revision) == ("derived", None)
    report = update(own.registry, base=BASE, endpoint=hub.endpoint)
    assert SW_SFT in report.verified
    assert report.vanished == (SW,)
    assert report.new == ("someone/sw-bert-adapter",)
    source = own.registry.get(SW_SFT).manifest.source
    assert source is not None
    assert source.status == "verified"
    assert source.revision == hub.repos[SW_SFT].head.oid
    assert source.weights is not None
    assert source.weights.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert source.weights.size == len(WEIGHTS)


def test_a_vanished_adapter_no_longer_resolves(own: Home, hub: Hub) -> None:
    asked: dict[str, Any] = {"task": "ner", "base": BASE, "method": "bottleneck", "home": own}
    assert SW in resolve("en", "sw", **asked).pulls
    update(own.registry, base=BASE, endpoint=hub.endpoint)
    answer = resolve("en", "sw", **asked)
    assert SW not in answer.pulls
    (rejection,) = [r for r in answer.rejections if r.ref.startswith(SW + "@")]
    assert rejection.rule == "still_there"


def test_a_second_update_asks_only_about_what_the_listing_does_not_settle(
    own: Home, hub: Hub
) -> None:
    update(own.registry, base=BASE, endpoint=hub.endpoint)
    dump, asked = own.registry.dump(), len(hub.requests)
    moved = publish(hub, NER, b"better weights")
    report = update(own.registry, base=BASE, endpoint=hub.endpoint)
    assert report.moved == (NER,)
    assert report.written == 1
    source = own.registry.get(NER).manifest.source
    assert source is not None
    assert source.revision == moved
    assert len(hub.requests) - asked < 20
    assert own.registry.dump() != dump


def test_other_adapters_and_names_stay(own: Home, hub: Hub) -> None:
    own.registry.alias("my-swahili", SW_SFT)
    others = own.registry.find(base_name="xlm-roberta-large")
    count = own.registry.count()
    update(own.registry, base=BASE, endpoint=hub.endpoint)
    assert own.registry.count() == count
    assert own.registry.find(base_name="xlm-roberta-large") == others
    assert own.registry.get("my-swahili").name == SW_SFT


@pytest.mark.parametrize("dry", [True, False])
def test_the_command_reports(own: Home, hub: Hub, ahl: Ahl, dry: bool) -> None:
    before = own.registry.dump()
    arguments = ("catalog", "update", "--base", BASE, "--endpoint", hub.endpoint)
    result = ahl(own, *arguments, *(("--dry-run",) if dry else ()))
    assert "1 are not there, or not to be seen\n  " + SW in result.stdout
    assert "1 are listed for these bases and not known here\n  someone/" in result.stdout
    assert ("records would change" if dry else "records changed") in result.stderr
    assert (own.registry.dump() == before) is dry


def test_the_command_reports_in_json(own: Home, hub: Hub, ahl: Ahl) -> None:
    arguments = ("catalog", "update", "--base", BASE, "--endpoint", hub.endpoint, "--json")
    report = json.loads(ahl(own, *arguments).stdout)
    assert report["vanished"] == [SW]
    assert report["unchanged"] == 0
    assert report["written"] == len(own.registry.find(remote=True, base_name=BASE))


def test_a_failure_in_the_middle_changes_nothing(own: Home, hub: Hub) -> None:
    hub.fails("GET", f"/api/models/{NER}", 403, times=9)
    before = own.registry.dump()
    with pytest.raises(HubError, match="403"):
        update(own.registry, base=BASE, endpoint=hub.endpoint)
    assert own.registry.dump() == before


def test_a_passing_failure_is_waited_for(
    own: Home, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapterhub_lite.hub.connection.WAITS", (0.01, 0.01))
    hub.fails("GET", f"/api/models/{NER}", 503, times=1)
    report = update(own.registry, base=BASE, endpoint=hub.endpoint)
    assert NER not in report.vanished


def test_offline_is_said(own: Home, ahl: Ahl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = ahl(own, "catalog", "update", code=1).stderr
    assert "this run is offline" in said
    assert "HF_HUB_OFFLINE" in said


def test_nobody_there_is_said(own: Home, ahl: Ahl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # between the client's own tries
    before = own.registry.dump()
    said = ahl(own, "catalog", "update", "--endpoint", "http://127.0.0.1:9", code=1).stderr
    assert "cannot reach http://127.0.0.1:9" in said
    assert own.registry.dump() == before


def test_a_refused_request_says_what_is_gone(own: Home, hub: Hub) -> None:
    """Where everything that could serve is gone, the refusal names it."""
    for hub_id in list(hub.repos):
        if hub_id.startswith("cambridgeltl/mbert-task"):
            del hub.repos[hub_id]
    update(own.registry, base=BASE, endpoint=hub.endpoint)
    with pytest.raises(NoResolutionError, match="was not on the Hub any more"):
        resolve("en", "sw", task="dp", base=BASE, home=own)

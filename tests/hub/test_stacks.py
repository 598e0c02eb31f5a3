"""Whole stacks: everything that a composition was trained over travels in one repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterhub_lite import Home
from adapterhub_lite import lock as locks
from adapterhub_lite.adapter import Adapter, LanguageUse, Role
from adapterhub_lite.errors import AhlError, HubError, LockError
from adapterhub_lite.hub import pull, pull_stack, push_stack
from tests.hub.conftest import TOKEN
from tests.hub.making import add, files, manifest, new_home, task, tensors
from tests.hub.server import Hub
from tests.hub.store import Blob

SWAHILI = (LanguageUse("sw", Role.LANGUAGE),)
ENGLISH = (LanguageUse("en", Role.LANGUAGE),)


@pytest.fixture
def stack(home: Home, tmp_path: Path) -> dict[str, Adapter]:
    """Swahili under a task adapter that was trained over English."""
    made = tmp_path / "made"
    english = add(home, made / "en", "en-wiki", 1, languages=ENGLISH)
    swahili = add(home, made / "sw", "org/sw-wiki", 2, languages=SWAHILI)
    ner = add(home, made / "ner", "ner", **task(3, english))
    return {"en": english, "sw": swahili, "ner": ner}


@pytest.fixture
def other_home(tmp_path: Path) -> Home:
    return new_home(tmp_path / "other")


def push(hub: Hub, home: Home, text: str = "stack(org/sw-wiki, ner)") -> None:
    push_stack(text, "lab/ner-sw", home=home, endpoint=hub.endpoint, token=TOKEN)


def test_all_of_it_arrives_under_the_same_digests(
    hub: Hub, home: Home, other_home: Home, stack: dict[str, Adapter]
) -> None:
    push(hub, home)
    assert {path.rpartition("/")[0] for path in hub.files("lab/ner-sw")} == {
        "",
        "adapters/sw-wiki",
        "adapters/en-wiki",
        "adapters/ner",
    }
    pulled = pull_stack("lab/ner-sw", home=other_home, endpoint=hub.endpoint)
    digests = {adapter.digest for adapter in pulled.adapters}
    assert digests == {adapter.digest for adapter in stack.values()}
    sw, ner = stack["sw"].digest[:12], stack["ner"].digest[:12]
    assert pulled.composition == f"stack(lab/ner-sw/sw-wiki@{sw}, lab/ner-sw/ner@{ner})"
    assert pulled.lock is not None
    assert str(locks.check(pulled.lock, other_home)) == pulled.lock.composition
    assert other_home.verify() == []


def test_the_same_again_and_offline(
    hub: Hub, home: Home, other_home: Home, stack: dict[str, Adapter]
) -> None:
    push(hub, home)
    head = hub.repos["lab/ner-sw"].head.oid
    push(hub, home)
    assert hub.repos["lab/ner-sw"].head.oid == head
    online = pull_stack("lab/ner-sw", home=other_home, endpoint=hub.endpoint)
    asked = len(hub.requests)
    offline = pull_stack("lab/ner-sw", home=other_home, endpoint=hub.endpoint, offline=True)
    assert (offline.composition, offline.commit) == (online.composition, online.commit)
    assert len(hub.requests) == asked
    with pytest.raises(HubError, match="the stack `lab/ner-sw@v1` was never pulled"):
        pull_stack("lab/ner-sw@v1", home=other_home, endpoint=hub.endpoint, offline=True)


def test_averages_and_single_refs(
    hub: Hub, home: Home, other_home: Home, stack: dict[str, Adapter]
) -> None:
    push(hub, home, "stack(average(0.7*org/sw-wiki, 0.3*en-wiki), ner)")
    pulled = pull_stack("lab/ner-sw", home=other_home, endpoint=hub.endpoint)
    assert pulled.composition.startswith("stack(average(0.7*lab/ner-sw/sw-wiki@")
    push_stack("ner", "lab/ner", home=home, endpoint=hub.endpoint, token=TOKEN)
    alone = pull_stack("lab/ner", home=other_home, endpoint=hub.endpoint)
    assert {a.digest for a in alone.adapters} == {stack["en"].digest, stack["ner"].digest}


def test_what_is_not_here_is_said_or_refused(
    hub: Hub, home: Home, stack: dict[str, Adapter]
) -> None:
    home.registry.remove("en-wiki", force=True)
    pushed = push_stack("ner", "lab/ner", home=home, endpoint=hub.endpoint, token=TOKEN)
    under = stack["en"].digest[:12]
    assert f"`{stack['ner'].ref}` was trained over `{under}`, which is not here" in pushed.notes
    home.registry.add(manifest(tensors(9)), name="far", remote=True)
    with pytest.raises(LockError, match="is remote"):
        push_stack("stack(far, ner)", "lab/ner", home=home, endpoint=hub.endpoint, token=TOKEN)


def test_single_and_stack_are_told_apart(
    hub: Hub, home: Home, other_home: Home, stack: dict[str, Adapter]
) -> None:
    push(hub, home)
    with pytest.raises(HubError, match="holds a whole stack") as refused:
        pull("lab/ner-sw", home=other_home, endpoint=hub.endpoint)
    assert refused.value.hint == "`ahl pull --stack lab/ner-sw` takes all of it"
    hub.publish("lab/sw", files(1))
    with pytest.raises(HubError, match="holds no stack"):
        pull_stack("lab/sw", home=other_home, endpoint=hub.endpoint)


@pytest.mark.parametrize(
    "fault", ["missing", "other", "names", "lock", "header", "size", "base", "hash"]
)
def test_nothing_of_a_bad_stack_is_added(
    hub: Hub, home: Home, other_home: Home, stack: dict[str, Adapter], fault: str
) -> None:
    push(hub, home)
    repo, largest = hub.repos["lab/ner-sw"], 10**9
    there = dict(repo.head.files)
    if fault == "missing":
        there = {p: b for p, b in there.items() if not p.startswith("adapters/ner/")}
    elif fault == "other":
        there |= {f"adapters/ner/{p}": b for p, b in _blobs(hub, files(9)).items()}
    elif fault == "names":
        there |= {f"adapters/-x/{p}": b for p, b in _blobs(hub, files(9)).items()}
    elif fault == "lock":
        there |= _blobs(hub, {"stack.json": b'{"lock": 1, "composition": 5}'})
    elif fault in {"base", "hash"}:
        there |= _blobs(hub, {"stack.json": _forged(hub, fault)})
    elif fault == "header":
        there |= _blobs(hub, {"adapters/ner/weights.safetensors": b"\xff" * 40})
    else:
        largest = 100
    repo.commit(there, "bad")
    with pytest.raises(AhlError):
        pull_stack("lab/ner-sw", home=other_home, endpoint=hub.endpoint, largest=largest)
    assert other_home.registry.count() == 0


def _forged(hub: Hub, fault: str) -> bytes:
    """Return a lock of the first format, in which only the manifests beside it show the change."""
    lock = json.loads(hub.files("lab/ner-sw")["stack.json"])
    del lock["fields"]
    if fault == "base":
        lock["base"]["fingerprint"] = "0" * 64
    else:
        lock["adapters"][0]["weights"]["sha256"] = "0" * 64
    return json.dumps({**lock, "lock": 1}).encode()


def _blobs(hub: Hub, given: dict[str, bytes]) -> dict[str, Blob]:
    hub.publish("scratch/x", given)
    return {path: hub.repos["scratch/x"].head.files[path] for path in given}


def test_the_card_of_a_stack(hub: Hub, home: Home, stack: dict[str, Adapter]) -> None:
    push(hub, home)
    card = hub.files("lab/ner-sw")["README.md"].decode()
    assert "# ner adapter for org/tiny, trained on English: the whole stack" in card
    assert "`stack(sw-wiki, ner)`" in card
    assert "ahl pull --stack lab/ner-sw" in card
    lock = json.loads(hub.files("lab/ner-sw")["stack.json"])
    assert lock["composition"] == f"stack({stack['sw'].digest}, {stack['ner'].digest})"
    assert lock["base"]["fingerprint"] == "f" * 64

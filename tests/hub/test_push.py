"""Push: exactly the files that may leave, in one commit, over nobody's change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from adapterhub_lite import Home
from adapterhub_lite.adapter import Adapter
from adapterhub_lite.errors import HubError, UsageError, WeightsError
from adapterhub_lite.hub import pull, push, staging
from tests.hub.conftest import TOKEN
from tests.hub.making import files, manifest, new_home, tensors
from tests.hub.server import Hub
from tests.hub.wire import Request, Response

SENT = ["README.md", "adapter.json", "weights.safetensors"]


@pytest.fixture
def other_home(tmp_path: Path) -> Home:
    return new_home(tmp_path / "other")


def test_what_is_pushed_comes_back_the_same(
    hub: Hub, home: Home, other_home: Home, swahili: Adapter
) -> None:
    pushed = push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert sorted(pushed.changed) == SENT
    assert pushed.commit == hub.repos["lab/sw"].head.oid
    assert sorted(hub.files("lab/sw")) == [".gitattributes", *SENT]
    pulled = pull("lab/sw", home=other_home, endpoint=hub.endpoint)
    assert pulled.adapter.digest == swahili.digest
    assert pulled.commit == pushed.commit


def test_the_same_again_changes_nothing(hub: Hub, home: Home, swahili: Adapter) -> None:
    first = push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    again = push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert (again.changed, again.removed, again.commit) == ((), (), first.commit)
    assert len(hub.asked("POST", "/commit/")) == 1
    assert len(hub.asked("PUT", "/upload/")) == 1


def test_a_dry_run_lists_what_is_sent_and_asks_nobody(
    hub: Hub, home: Home, swahili: Adapter
) -> None:
    dry = push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, dry_run=True)
    assert dry.dry_run
    assert hub.requests == []
    push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    there = hub.files("lab/sw")
    assert {file.path: (file.size, file.sha256) for file in dry.files} == {
        path: (len(there[path]), hashlib.sha256(there[path]).hexdigest()) for path in SENT
    }


def test_links_hidden_and_stray_files_never_leave(
    hub: Hub, home: Home, swahili: Adapter, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET=1")
    folder = home.folder_of(swahili)
    (folder / ".env").symlink_to(secret)
    (folder / "notes.txt").write_text("private")
    (folder / "README.md").symlink_to(secret)
    push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert sorted(hub.files("lab/sw")) == [".gitattributes", *SENT]
    assert not any(b"SECRET" in data for data in hub.files("lab/sw").values())
    staged = tmp_path / "staged"
    staged.mkdir()
    for name in (".env", "train.py"):
        (staged / name).write_text("x")
        with pytest.raises(HubError, match="is not among the files that are ever sent"):
            staging.collect(staged)
        (staged / name).unlink()
    (staged / "adapter.json").symlink_to(secret)
    with pytest.raises(HubError, match="is not among the files that are ever sent"):
        staging.collect(staged)


def test_damaged_and_remote_weights_are_not_sent(hub: Hub, home: Home, swahili: Adapter) -> None:
    home.registry.add(manifest(tensors(7)), name="far", remote=True)
    with pytest.raises(WeightsError, match="is remote"):
        push("far", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    weights = home.folder_of(swahili) / "weights.safetensors"
    weights.write_bytes(bytes(reversed(weights.read_bytes())))
    with pytest.raises(WeightsError, match="not the file that the manifest records"):
        push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert hub.requests == []


def test_private_is_private_from_the_start(hub: Hub, home: Home, swahili: Adapter) -> None:
    push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN, private=True)
    assert hub.repos["lab/sw"].private
    hub.publish("lab/open", {"x.txt": b""})
    with pytest.raises(HubError, match="`lab/open` is there already, and public"):
        push("sw-wiki", "lab/open", home=home, endpoint=hub.endpoint, token=TOKEN, private=True)
    assert sorted(hub.files("lab/open")) == ["x.txt"]


def test_tags_and_message(hub: Hub, home: Home, swahili: Adapter) -> None:
    push(
        "sw-wiki",
        "lab/sw",
        home=home,
        endpoint=hub.endpoint,
        token=TOKEN,
        tags=("v1", "best"),
        message="Swahili, first try",
    )
    repo = hub.repos["lab/sw"]
    assert repo.head.title == "Swahili, first try"
    assert repo.tags == {"v1": repo.head.oid, "best": repo.head.oid}
    with pytest.raises(HubError, match="`lab/sw` has the tag `v1` already"):
        push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN, tags=("v1",))


def test_a_pull_request_leaves_main_as_it_was(hub: Hub, home: Home, swahili: Adapter) -> None:
    before = hub.publish("others/sw", files(2)).oid
    pushed = push(
        "sw-wiki", "others/sw", home=home, endpoint=hub.endpoint, token=TOKEN, create_pr=True
    )
    assert hub.repos["others/sw"].head.oid == before
    assert pushed.pull_request == f"{hub.endpoint}/others/sw/discussions/1"
    assert set(SENT) <= set(hub.files("others/sw", "refs/pr/1"))
    with pytest.raises(UsageError, match="proposed"):
        push("sw-wiki", "lab/x", home=home, create_pr=True, tags=("v1",))


def test_without_a_card_the_one_there_stays(hub: Hub, home: Home, swahili: Adapter) -> None:
    hub.publish("lab/sw", {"README.md": b"# by hand"})
    push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN, with_card=False)
    assert hub.files("lab/sw")["README.md"] == b"# by hand"


# ------------------------------------------------------------------- what others did meanwhile


def test_what_this_home_never_saw_is_not_overwritten(
    hub: Hub, home: Home, swahili: Adapter
) -> None:
    theirs = hub.publish("lab/sw", files(2)).oid
    with pytest.raises(HubError, match="which this home has never seen") as refused:
        push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert "`ahl pull lab/sw`" in (refused.value.hint or "")
    assert hub.repos["lab/sw"].head.oid == theirs
    assert not hub.asked("PUT", "/upload/")
    pull("lab/sw", home=home, endpoint=hub.endpoint)
    push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert hub.files("lab/sw")["weights.safetensors"] == tensors(1)
    assert [c.oid for c in hub.repos["lab/sw"].history(hub.repos["lab/sw"].head.oid)][1] == theirs


def test_a_change_during_the_push_is_not_overwritten(
    hub: Hub, home: Home, swahili: Adapter
) -> None:
    hub.publish("lab/sw", {"x.txt": b""})

    def overtaken(_request: Request, answer: Response) -> Response:
        hub.publish("lab/sw", files(2))
        return answer

    hub.alters("POST", "/preupload/", overtaken, times=1)
    with pytest.raises(HubError, match="somebody changed `lab/sw` while this was being pushed"):
        push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert hub.files("lab/sw")["weights.safetensors"] == tensors(2)


def test_files_of_an_earlier_push_do_not_stay_behind(
    hub: Hub, home: Home, swahili: Adapter
) -> None:
    hub.publish(
        "lab/sw",
        {
            **files(2),
            "adapter_model.safetensors": tensors(2),
            "adapter_config.json": b"{}",
            "notes.txt": b"theirs",
        },
    )
    pull("lab/sw", home=home, endpoint=hub.endpoint)
    pushed = push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert pushed.removed == ("adapter_config.json", "adapter_model.safetensors")
    assert sorted(hub.files("lab/sw")) == [*SENT[:1], "adapter.json", "notes.txt", SENT[2]]

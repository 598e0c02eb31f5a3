"""Push, while the Hub is busy, refuses or leads away: done once, done whole, or an error."""

from __future__ import annotations

import pytest
from huggingface_hub import HfApi

from adapterhub_lite import Home
from adapterhub_lite.adapter import Adapter
from adapterhub_lite.errors import AhlError, HubError, UsageError
from adapterhub_lite.hub import pull, push
from tests.hub.conftest import TOKEN
from tests.hub.making import files, tensors
from tests.hub.server import Hub
from tests.hub.wire import Request, Response

SENT = ["README.md", "adapter.json", "weights.safetensors"]


@pytest.mark.parametrize(
    "path",
    ["/api/repos/create", "/revision/main", "/tree/", "/preupload/", "/batch", "/verify", "/tag/"],
)
def test_failures_that_pass_are_waited_for(
    hub: Hub, home: Home, swahili: Adapter, waits: list[float], path: str
) -> None:
    hub.fails("*", path, 503, times=2)
    push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN, tags=("v1",))
    assert waits == [1.0, 2.0]
    assert set(SENT) <= set(hub.files("lab/sw"))


@pytest.mark.parametrize("there", [{}, {**files(2), "adapter_config.json": b"{}"}])
@pytest.mark.parametrize("done", [False, True])
def test_a_commit_is_made_once_whatever_the_hub_says(
    hub: Hub,
    home: Home,
    swahili: Adapter,
    waits: list[float],
    done: bool,
    there: dict[str, bytes],
) -> None:
    """With files to remove the client asks again, on a state that its own commit has moved."""
    hub.publish("lab/sw", {"x.txt": b"", **there})
    if there:
        pull("lab/sw", home=home, endpoint=hub.endpoint)
    hub.fails("POST", "/commit/", 503, done=done)
    pushed = push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert pushed.commit == hub.repos["lab/sw"].head.oid
    assert len(hub.repos["lab/sw"].commits) == 2
    assert sorted(hub.files("lab/sw")) == [*SENT, "x.txt"]


def test_a_pull_request_is_not_proposed_twice(
    hub: Hub, home: Home, swahili: Adapter, waits: list[float]
) -> None:
    hub.publish("others/sw", {"x.txt": b""})
    hub.fails("POST", "/commit/", 503, done=True)
    with pytest.raises(HubError, match="answered 503"):
        push("sw-wiki", "others/sw", home=home, endpoint=hub.endpoint, token=TOKEN, create_pr=True)
    assert len(hub.repos["others/sw"].pulls) == 1
    hub.fails("POST", "/commit/", 429)
    push("sw-wiki", "others/sw", home=home, endpoint=hub.endpoint, token=TOKEN, create_pr=True)
    assert len(hub.repos["others/sw"].pulls) == 2


def test_the_token_is_not_sent_to_the_address_for_verification(
    hub: Hub, home: Home, swahili: Adapter
) -> None:
    with Hub() as thief:
        thief.alters("POST", "/verify", lambda _r, _a: Response(200, b"{}"))

        def lead_away(_request: Request, answer: Response) -> Response:
            answer.body = answer.body.replace(
                f"{hub.endpoint}/lab/sw.git".encode(), f"{thief.endpoint}/lab/sw.git".encode()
            )
            answer.headers.pop("Content-Length", None)
            return answer

        hub.alters("POST", "/batch", lead_away)
        push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
        assert [r.token for r in thief.requests] == [None]


def test_a_repository_that_ignores_our_files_is_an_error(
    hub: Hub, home: Home, swahili: Adapter
) -> None:
    """The client leaves out what the repository's `.gitignore` names, and reports success."""

    def ignored(_request: Request, answer: Response) -> Response:
        answer.body = answer.body.replace(
            b'"lfs", "shouldIgnore": false', b'"lfs", "shouldIgnore": true'
        )
        return answer

    hub.alters("POST", "/preupload/", ignored)
    with pytest.raises(HubError, match=r"lacks `weights\.safetensors`, which was sent"):
        push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)


@pytest.mark.parametrize(
    ("repo", "token", "message"),
    [
        ("strangers/sw", TOKEN, "answered 403 for `strangers/sw`"),
        ("lab/sw", "hf_reader", "answered 403 for `lab/sw`"),
        ("lab/sw", None, "answered 401 for `lab/sw`"),
        ("lab/sw", "hf_nobody", "answered 401 for `lab/sw`: Invalid credentials"),
    ],
)
def test_rights(
    hub: Hub, home: Home, swahili: Adapter, repo: str, token: str | None, message: str
) -> None:
    hub.account("hf_reader", "anna", orgs=("lab",), write=False)
    with pytest.raises(HubError, match=message) as refused:
        push("sw-wiki", repo, home=home, endpoint=hub.endpoint, token=token)
    assert "token" in (refused.value.hint or "") or "HF_TOKEN" in (refused.value.hint or "")
    assert not hub.asked("POST", "/commit/")


def test_progress_of_an_upload(hub: Hub, home: Home, swahili: Adapter) -> None:
    told: list[tuple[str, int, int]] = []
    push(
        "sw-wiki",
        "lab/sw",
        home=home,
        endpoint=hub.endpoint,
        token=TOKEN,
        progress=lambda *step: told.append(step),
    )
    size = len(tensors(1))
    assert ("weights.safetensors", size, size) in told


def test_offline_is_refused_and_unknown_refs_are_named(
    hub: Hub, home: Home, swahili: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AhlError, match="no adapter `sw-wikki`"):
        push("sw-wikki", "lab/sw", home=home)
    with pytest.raises(UsageError, match="is no Hub id"):
        push("sw-wiki", "lab/../sw", home=home)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="this run is offline"):
        push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert hub.requests == []


def test_the_real_client_finds_it_by_its_base(hub: Hub, home: Home, swahili: Adapter) -> None:
    push("sw-wiki", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    api = HfApi(endpoint=hub.endpoint, token=False)
    assert [m.id for m in api.list_models(filter="base_model:adapter:org/tiny")] == ["lab/sw"]
    assert [m.id for m in api.list_models(filter=["sw", "license:cc0-1.0"])] == ["lab/sw"]

"""A token goes to its own Hub and nowhere else, whatever an answer says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, get_session

from adapterhub_lite import Home
from adapterhub_lite.errors import HubError
from adapterhub_lite.hub import pull, tokens
from tests.hub.conftest import TOKEN
from tests.hub.making import files
from tests.hub.server import Hub
from tests.hub.wire import Request, Response


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A token in the user's file, as `hf auth login` leaves it."""
    path = tmp_path / "token"
    path.write_text("hf_stored")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(path))
    return "hf_stored"


def test_the_stored_token_is_for_its_own_hub_alone(
    hub: Hub, home: Home, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("lab/sw", files(1))
    hub.account(stored, "owner")
    HfApi(endpoint=hub.endpoint).model_info("lab/sw")
    assert {r.token for r in hub.requests} == {stored}  # the client sends it to any endpoint
    hub.requests.clear()
    pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert {r.token for r in hub.requests} == {None}
    assert tokens.choose("https://huggingface.co", None) == stored
    assert tokens.choose("https://huggingface.co/", None) == stored
    assert tokens.choose("http://huggingface.co", None) is None
    assert tokens.choose("https://huggingface.co.example.org", None) is None
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    assert tokens.choose("https://huggingface.co", None) is None


def test_a_token_that_is_given_goes_to_the_hub_it_is_given_for(
    hub: Hub, home: Home, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("lab/sw", files(1), private=True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert {r.token for r in hub.requests if r.host == "hub"} == {TOKEN}
    assert {r.token for r in hub.requests if r.host == "storage"} == {None}
    assert tokens.choose(hub.endpoint, "hf_given") == "hf_given"


def test_a_next_page_on_another_host_gets_no_token(hub: Hub, home: Home) -> None:
    hub.publish("lab/sw", files(1))
    with Hub() as thief:
        thief.publish("lab/sw", files(1))
        thief.account(TOKEN, "anna")

        def lead_away(request: Request, answer: Response) -> Response:
            next_page = f"{thief.endpoint}{request.path}?recursive=true"
            answer.headers["Link"] = f'<{next_page}>; rel="next"'
            answer.body = json.dumps(json.loads(answer.body)[:1]).encode()
            return answer

        hub.alters("GET", "/tree/", lead_away)
        list(HfApi(endpoint=hub.endpoint, token=TOKEN).list_repo_tree("lab/sw"))
        assert [r.token for r in thief.requests] == [TOKEN]  # what the client does by itself
        thief.requests.clear()
        with pytest.raises(HubError, match="twice"):  # the stolen page repeats an entry
            pull("lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
        assert [r.token for r in thief.requests] == [None]


def test_a_redirect_to_another_host_gets_no_token(hub: Hub, home: Home) -> None:
    hub.publish("lab/sw", files(1))
    with Hub() as other:
        other.publish("lab/sw", files(1))

        def away(request: Request, _answer: Response) -> Response:
            return Response(302, headers={"Location": other.endpoint + request.path})

        hub.alters("GET", "/resolve/", away)
        pull("lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
        assert other.requests
        assert {r.token for r in other.requests} == {None}


def test_the_guard_outlives_a_new_client_and_ends_with_the_call(hub: Hub) -> None:
    from huggingface_hub import close_session

    with tokens.confined(TOKEN, hub.endpoint):
        close_session()
        headers = {"authorization": f"Bearer {TOKEN}"}
        get_session().get(f"{hub.storage}/x", headers=headers)
        get_session().get(f"{hub.endpoint}/x", headers=headers)
    get_session().get(f"{hub.storage}/x", headers=headers)
    assert [r.token for r in hub.requests] == [None, TOKEN, TOKEN]


def test_the_guard_keeps_the_client_that_a_program_has_set(hub: Hub) -> None:
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http, httpx

    before = _http._GLOBAL_CLIENT_FACTORY
    try:
        set_client_factory(lambda: httpx.Client(headers={"x-program": "mine"}))
        with tokens.confined(TOKEN, hub.endpoint):
            get_session().get(f"{hub.storage}/x", headers={"authorization": f"Bearer {TOKEN}"})
    finally:
        set_client_factory(before)
    (request,) = hub.requests
    assert request.headers["x-program"] == "mine"
    assert request.token is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://hub.example.org", "http://hub.example.org"),
        ("https://hub.example.org", "https://hub.example.org:8443"),
        ("https://hub.example.org", "https://example.org"),
        ("https://hub.example.org", "https://hub.example.org.evil.net"),
        ("https://hub.example.org", "https://hub.example.org@evil.net"),
    ],
)
def test_what_is_another_origin(one: str, other: str) -> None:
    assert tokens.origin(one) != tokens.origin(other)
    assert tokens.origin(one) == tokens.origin(f"{one.upper()}:443/a/b?c")

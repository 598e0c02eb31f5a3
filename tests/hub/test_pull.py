"""Pull: what a repository holds comes into the home, from one commit, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapterhub_lite import Home, resolve
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Kind, LanguageUse, Role, Source, Underneath
from adapterhub_lite.errors import ExchangeError, HubError, RefError, UsageError
from adapterhub_lite.hub import pull
from tests.hub.conftest import TOKEN
from tests.hub.making import add, files, manifest, task, tensors
from tests.hub.server import Hub
from tests.hub.wire import Alter, Request, Response, failure


def test_an_adapter_keeps_its_digest(hub: Hub, home: Home) -> None:
    published = files(1)
    commit = hub.publish("lab/sw", published)
    pulled = pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert pulled.adapter.digest == manifests.digest(manifest(published["weights.safetensors"]))
    assert (pulled.adapter.name, pulled.commit, pulled.fetched) == ("lab/sw", commit.oid, True)
    folder = home.folder_of(pulled.adapter)
    assert (folder / "weights.safetensors").read_bytes() == published["weights.safetensors"]
    assert home.verify() == []


def test_revisions_are_commits_and_names_move(hub: Hub, home: Home) -> None:
    first = hub.publish("lab/sw", files(1))
    hub.repos["lab/sw"].tags["v1"] = first.oid
    old = pull("lab/sw", home=home, endpoint=hub.endpoint, name="sw")
    hub.publish("lab/sw", files(2))
    new = pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert old.adapter.digest != new.adapter.digest
    assert home.registry.get("lab/sw").digest == new.adapter.digest
    assert home.registry.get("sw").digest == old.adapter.digest
    tagged = pull("lab/sw@v1", home=home, endpoint=hub.endpoint)
    assert (tagged.adapter.digest, tagged.commit) == (old.adapter.digest, first.oid)
    assert not tagged.fetched


def test_what_the_home_has_is_not_fetched_again(hub: Hub, home: Home) -> None:
    hub.publish("lab/sw", files(1))
    pull("lab/sw", home=home, endpoint=hub.endpoint)
    before = len(hub.asked("GET", "/resolve/"))
    again = pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert not again.fetched
    assert not again.offline
    assert len(hub.asked("GET", "/resolve/")) == before


def test_only_known_names_are_asked_for(hub: Hub, home: Home) -> None:
    others = {".env": b"x", "train.py": b"x", "pytorch_adapter.bin": b"x", "sub/adapter.json": b"x"}
    hub.publish("lab/sw", {**files(1), **others, "README.md": b"# x"})
    pull("lab/sw", home=home, endpoint=hub.endpoint)
    asked = {request.path.rpartition("/")[2] for request in hub.asked("GET", "/resolve/")}
    assert asked == {"adapter.json", "weights.safetensors"}


def test_every_file_is_of_the_one_commit(hub: Hub, home: Home) -> None:
    first = hub.publish("lab/sw", files(1))

    def overtaken(_request: Request, answer: Response) -> Response:
        hub.publish("lab/sw", files(2))
        return answer

    hub.alters("GET", "/tree/", overtaken, times=1)
    pulled = pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert pulled.commit == first.oid
    assert pulled.adapter.manifest.weights == manifest(tensors(1)).weights


def test_a_remote_adapter_is_replaced_under_its_name(hub: Hub, home: Home, tmp_path: Path) -> None:
    known = replace(manifest(tensors(9)), weights=None, source=Source("lab/sw"))
    remote = home.registry.add(known, name="sw-known", aliases=("swahili",), remote=True)
    task_adapter = add(home, tmp_path / "ner", "ner", **task(5, remote))
    hub.publish("lab/sw", files(1))
    pulled = pull("lab/sw", home=home, endpoint=hub.endpoint)
    for name in ("sw-known", "swahili", "lab/sw"):
        assert home.registry.get(name).digest == pulled.adapter.digest
    assert not home.registry.get("sw-known").remote
    with pytest.raises(RefError):
        home.registry.get(remote.digest)
    assert home.registry.get("ner").digest == task_adapter.digest


def test_an_adapter_with_its_own_manifest_is_still_the_one_underneath(hub: Hub, home: Home) -> None:
    """A catalogue knows a Hub id; the manifest that is pulled has another digest and no source."""
    known = replace(manifest(tensors(9)), weights=None, source=Source("lab/sw"))
    home.registry.add(known, name="lab/sw", remote=True)
    under = Underneath("", Kind.LANGUAGE, known.languages, "made-up", known.config_digest)
    ner = replace(
        known,
        kind=Kind.TASK,
        task="ner",
        languages=(LanguageUse("sw", Role.SOURCE),),
        trained_over=(replace(under, source="lab/sw"),),
        source=Source("lab/ner"),
    )
    home.registry.add(ner, name="lab/ner", remote=True)
    assert resolve("sw", "sw", task="ner", base="org/tiny", home=home).pulls == (
        "lab/sw",
        "lab/ner",
    )
    hub.publish("lab/sw", files(1))
    pulled = pull("lab/sw", home=home, endpoint=hub.endpoint, name="mine")
    assert pulled.adapter.manifest.source is None
    after = resolve("sw", "sw", task="ner", base="org/tiny", home=home)
    assert after.pulls == ("lab/ner",)
    assert after.choices[0].digest == pulled.adapter.digest
    assert "the one that the task adapter was trained over" in after.choices[0].reason


def test_a_remote_entry_of_the_very_adapter_arrives(hub: Hub, home: Home) -> None:
    known = home.registry.add(manifest(tensors(1)), name="lab/sw", remote=True)
    hub.publish("lab/sw", files(1))
    pulled = pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert pulled.adapter.digest == known.digest
    assert not home.registry.get("lab/sw").remote
    assert home.registry.count() == 1


def test_private_repositories_need_the_token(hub: Hub, home: Home) -> None:
    hub.publish("lab/sw", files(1), private=True)
    with pytest.raises(HubError, match="no repository `lab/sw` at") as refused:
        pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert "HF_TOKEN" in (refused.value.hint or "")
    assert pull("lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN).fetched
    with pytest.raises(HubError, match="answered 401"):
        pull("lab/sw@main", home=home, endpoint=hub.endpoint, token="hf_nobody")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("lab/none", "no repository `lab/none`"),
        ("lab/sw@v9", "`lab/sw` has no revision `v9`"),
        ("others/gated", "`others/gated` is gated"),
        ("lab/empty", "holds no adapter"),
        ("lab/half", "has `adapter.json`, but no `weights.safetensors`"),
    ],
)
def test_what_cannot_be_had_is_said(hub: Hub, home: Home, wanted: str, message: str) -> None:
    hub.publish("lab/sw", files(1))
    hub.publish("others/gated", files(1), gated="auto")
    hub.publish("lab/empty", {"README.md": b"# nothing"})
    hub.publish("lab/half", {"adapter.json": files(1)["adapter.json"]})
    with pytest.raises(HubError, match=message):
        pull(wanted, home=home, endpoint=hub.endpoint)
    assert home.registry.count() == 0


def test_a_layout_that_nothing_reads_is_named(hub: Hub, home: Home) -> None:
    known = replace(manifest(tensors(9)), weights=None, source=Source("lab/sw", format="odd"))
    home.registry.add(known, name="lab/sw", remote=True)
    hub.publish("lab/sw", {"pytorch_diff.bin": b"x", "config.json": b"{}"})
    with pytest.raises(ExchangeError, match="`lab/sw` is in the layout `odd`"):
        pull("lab/sw", home=home, endpoint=hub.endpoint, allow_pickle=True)
    assert not hub.asked("GET", "/resolve/")
    hub.publish("lab/sw", files(1))
    assert pull("lab/sw", home=home, endpoint=hub.endpoint).fetched


@pytest.mark.parametrize("wanted", ["", "a b", "../x", "lab/a/b", "-x/y", "lab/sw@", "lab/sw@-x"])
def test_names_that_no_repository_has(hub: Hub, home: Home, wanted: str) -> None:
    with pytest.raises(UsageError):
        pull(wanted, home=home, endpoint=hub.endpoint)
    assert hub.requests == []


# ------------------------------------------------------------------------ offline, and patience


def test_offline_answers_from_what_was_pulled(hub: Hub, home: Home) -> None:
    commit = hub.publish("lab/sw", files(1))
    pulled = pull("lab/sw", home=home, endpoint=hub.endpoint)
    asked = len(hub.requests)
    for wanted in ("lab/sw", f"lab/sw@{commit.oid}"):
        found = pull(wanted, home=home, endpoint=hub.endpoint, offline=True)
        assert (found.adapter.digest, found.offline) == (pulled.adapter.digest, True)
    assert len(hub.requests) == asked
    for wanted in ("lab/other", "lab/sw@v1"):
        with pytest.raises(HubError, match="was never pulled into this home"):
            pull(wanted, home=home, endpoint=hub.endpoint, offline=True)


def test_two_hubs_never_answer_for_one_another(hub: Hub, home: Home) -> None:
    hub.publish("lab/sw", files(1))
    first = pull("lab/sw", home=home, endpoint=hub.endpoint)
    with Hub() as other:
        with pytest.raises(HubError, match="was never pulled"):
            pull("lab/sw", home=home, endpoint=other.endpoint, offline=True)
        other.publish("lab/sw", files(1))
        second = pull("lab/sw", home=home, endpoint=other.endpoint)
        assert second.fetched
        assert other.asked("GET", "/files/")
    assert second.adapter.digest == first.adapter.digest


def test_a_hub_that_is_away_is_an_error_not_an_old_answer(home: Home, waits: list[float]) -> None:
    with Hub() as hub:
        hub.publish("lab/sw", files(1))
        pull("lab/sw", home=home, endpoint=hub.endpoint)
        hub.fails("GET", "/api/", 503, times=-1)
        with pytest.raises(HubError, match="answered 503 for `lab/sw`"):
            pull("lab/sw", home=home, endpoint=hub.endpoint)
    with pytest.raises(HubError, match="cannot reach") as refused:
        pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert "--offline" in (refused.value.hint or "")
    assert waits[:5] == [1.0, 2.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("path", ["/revision/main", "/tree/", "/resolve/", "/files/"])
def test_failures_that_pass_are_waited_for(
    hub: Hub, home: Home, waits: list[float], path: str, status: int
) -> None:
    hub.publish("lab/sw", files(1))
    hub.fails("GET", path, status, times=2)
    assert pull("lab/sw", home=home, endpoint=hub.endpoint).fetched
    assert waits == [1.0, 2.0]


def test_the_hub_says_how_long_to_wait(hub: Hub, home: Home, waits: list[float]) -> None:
    hub.publish("lab/sw", files(1))
    hub.fails("GET", "/revision/main", 429, Retry_After="5")
    hub.fails("GET", "/resolve/", 429, RateLimit='"api";r=0;t=20')
    pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert waits == [6.0, 21.0]
    hub.fails("GET", "/revision/main", 429, times=-1, Retry_After="4000")
    with pytest.raises(HubError, match="answered 429") as refused:
        pull("lab/sw", home=home, endpoint=hub.endpoint)
    assert refused.value.hint == "the Hub limits how often you may ask: wait some minutes"
    assert len(waits) == 2


def test_a_cut_download_goes_on_where_it_ended(hub: Hub, home: Home, waits: list[float]) -> None:
    published = files(1, size=100_000)
    hub.publish("lab/sw", published)
    hub.cuts("GET", "/files/", 150_000, times=2)
    seen: list[int] = []
    pulled = pull(
        "lab/sw",
        home=home,
        endpoint=hub.endpoint,
        progress=lambda path, done, size: seen.append(done) if "weights" in path else None,
    )
    assert pulled.fetched
    ranges = [request.headers.get("range") for request in hub.asked("GET", "/files/")]
    assert ranges == [None, "bytes=150000-", "bytes=300000-"]
    assert seen == sorted(seen)
    assert seen[-1] == len(published["weights.safetensors"])


def _gone_after_the_first(hub: Hub) -> Alter:
    def alter(_request: Request, answer: Response) -> Response:
        return answer if len(hub.asked("GET", "/files/")) == 1 else failure(503, "gone")

    return alter


def test_a_later_call_goes_on_too(hub: Hub, home: Home, waits: list[float]) -> None:
    hub.publish("lab/sw", files(1, size=100_000))
    hub.cuts("GET", "/files/", 150_000, times=1)
    hub.alters("GET", "/files/", _gone_after_the_first(hub))
    with pytest.raises(HubError, match="answered 503"):
        pull("lab/sw", home=home, endpoint=hub.endpoint)
    hub.faults.clear()
    hub.requests.clear()
    pull("lab/sw", home=home, endpoint=hub.endpoint)
    (request,) = hub.asked("GET", "/files/")
    assert request.headers["range"] == "bytes=150000-"


def test_a_hub_without_ranges_is_asked_from_the_start(
    hub: Hub, home: Home, waits: list[float]
) -> None:
    hub.publish("lab/sw", files(1, size=100_000))
    hub.cuts("GET", "/files/", 150_000, times=1)

    def whole(request: Request, answer: Response) -> Response:
        if answer.status == 206:
            answer.status, answer.body = 200, hub.objects[request.path.rpartition("/")[2]]
            del answer.headers["Content-Range"]
        return answer

    hub.alters("GET", "/files/", whole)
    assert pull("lab/sw", home=home, endpoint=hub.endpoint).fetched


def test_roles_survive(hub: Hub, home: Home) -> None:
    uses = (LanguageUse("en", Role.SOURCE), LanguageUse("sw", Role.TARGET))
    hub.publish("lab/en-sw", files(3, kind=Kind.BILINGUAL, languages=uses))
    pulled = pull("lab/en-sw", home=home, endpoint=hub.endpoint, name="en-sw")
    assert pulled.adapter.manifest.languages == uses
    assert (pulled.adapter.name, pulled.adapter.aliases) == ("en-sw", ("lab/en-sw",))

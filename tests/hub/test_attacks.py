"""What a hostile repository, Hub or way between may try on a pull; each fails, and leaves nothing.

Where the client itself is open to an attack, a second call shows that: the attack is real, and it
is this package that refuses it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import hf_hub_download

from adapterhub_lite import Home
from adapterhub_lite import hub as hubs
from adapterhub_lite.errors import AhlError, HomeError, HubError
from adapterhub_lite.hub import content, download, pull
from tests.hub.making import files, foreign, header, tensors
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
    assert not list((home.path / "objects").glob("*/*"))
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


# ------------------------------------------------------------------------------- names of files


@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "/etc/evil",
        "C:\\evil",
        "C:/evil",
        "a//b",
        "a/./b",
        "..",
        "a\\..\\b",
        "adapter\u202enosj.exe",
        "adapter\u200b.json",
        "bell\a.json",
        "line\nbreak",
        "x" * 300,
        "d/" * 600 + "x",
        "",
        7,
    ],
)
def test_names_that_no_honest_repository_has(hub: Hub, home: Home, name: Any) -> None:
    hub.publish("lab/x", files(1))
    entry = {"type": "file", "path": name, "size": 1, "oid": "0" * 40}
    hub.alters("GET", "/tree/", listed(lambda entries: entries.append(entry)))
    refused(hub, home, "lists a file of the name .*, which no honest one has")
    assert not hub.asked("GET", "/resolve/")


def test_one_name_twice(hub: Hub, home: Home) -> None:
    hub.publish("lab/x", files(1))
    hub.alters("GET", "/tree/", listed(lambda entries: entries.append(entries[0])))
    refused(hub, home, "lists `adapter.json` twice")


def test_a_flood_of_names(hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish("lab/x", {**files(1), **{f"f{number}": b"" for number in range(40)}})
    monkeypatch.setattr(hubs.listing, "MOST_FILES", 41)
    refused(hub, home, "lists more than 41 files")


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": "10"},
        {"size": 10.5},
        {"size": None},
        {"oid": "../../../evil"},
        {"lfs": {"oid": "../../evil", "size": 1, "pointerSize": 1}},
        {"lfs": {"oid": "0" * 64, "size": 1, "pointerSize": 1}},
    ],
)
def test_sizes_and_hashes_that_are_none(hub: Hub, home: Home, change: dict[str, Any]) -> None:
    hub.publish("lab/x", files(1))
    hub.alters("GET", "/tree/", listed(lambda entries: entries[0].update(change)))
    refused(hub, home, "lists `adapter.json` without a sound size and hash|is no answer of a Hub")


@pytest.mark.parametrize("commit", ["../../../evil", "main", "0" * 39, None, 5])
def test_a_commit_that_is_none(hub: Hub, home: Home, commit: Any) -> None:
    hub.publish("lab/x", files(1))

    def alter(_request: Request, answer: Response) -> Response:
        return as_json({**json.loads(answer.body), "sha": commit})

    hub.alters("GET", "/revision/", alter)
    refused(hub, home, "names no commit for `lab/x`")


# --------------------------------------------------------------------------- content and headers


def test_other_content_than_listed(hub: Hub, home: Home, tmp_path: Path) -> None:
    honest, forged = tensors(1), tensors(2)
    assert len(honest) == len(forged)
    hub.publish("lab/x", files(1))
    hub.alters("GET", "/files/", lambda _r, _a: Response(200, forged))
    got = hf_hub_download(
        "lab/x", "weights.safetensors", endpoint=hub.endpoint, cache_dir=tmp_path / "client"
    )
    assert Path(got).read_bytes() == forged  # the client looks at the length only
    refused(hub, home, "`weights.safetensors` .* is not the file that the Hub lists")


def test_other_text_than_listed(hub: Hub, home: Home) -> None:
    hub.publish("lab/x", files(1))
    forged = files(2)["adapter.json"].ljust(len(files(1)["adapter.json"]))
    hub.alters("GET", r"/resolve/.*adapter\.json", lambda _r, _a: Response(200, forged))
    refused(hub, home, "is not the file that the Hub lists|sends more")


def test_a_manifest_of_other_weights(hub: Hub, home: Home) -> None:
    hub.publish("lab/x", {**files(1), "weights.safetensors": tensors(2)})
    with pytest.raises(AhlError, match="is not the file that the manifest records"):
        pull("lab/x", home=home, endpoint=hub.endpoint)


def test_etag_does_not_name_a_file(hub: Hub, home: Home, tmp_path: Path) -> None:
    """The client names its cache's files by `ETag`: the body lands outside the cache."""
    hub.publish("lab/x", {**files(1), "adapter.json": b"{}"})

    def hostile(_request: Request, answer: Response) -> Response:
        answer.headers["ETag"] = '"../../../../evil"'
        return answer

    hub.alters("*", "/resolve/.*json", hostile)
    cache = tmp_path / "client" / "a" / "b"
    hf_hub_download("lab/x", "adapter.json", endpoint=hub.endpoint, cache_dir=cache)
    assert [p for p in (tmp_path / "client").rglob("evil*") if cache not in p.parents]
    with pytest.raises(AhlError):
        pull("lab/x", home=home, endpoint=hub.endpoint)
    assert not list((tmp_path / "cache").rglob("evil*"))
    assert not list(tmp_path.glob("evil*"))


def test_a_link_in_the_place_of_a_file_in_the_making(hub: Hub, home: Home, tmp_path: Path) -> None:
    published = files(1)
    hub.publish("lab/x", published)
    victim = tmp_path / "client"
    victim.write_bytes(b"mine")
    parts = download._parts(hub.endpoint)
    link = parts / hashlib.sha256(published["weights.safetensors"]).hexdigest()
    link.symlink_to(victim)
    refused(hub, home, "symbolic link")
    assert victim.read_bytes() == b"mine"
    link.unlink()
    for left in parts.iterdir():
        left.unlink()


def test_a_longer_body_than_listed(hub: Hub, home: Home) -> None:
    hub.publish("lab/x", files(1))
    sent: list[int] = []

    def endless(_request: Request, answer: Response) -> Response:
        answer.body = answer.body + b"x" * 5_000_000
        sent.append(len(answer.body))
        return answer

    hub.alters("GET", "/files/", endless)
    refused(hub, home, r"sends more of `weights.safetensors` than the \d+ bytes it lists")
    assert len(sent) == 1


def test_a_gzip_bomb(hub: Hub, home: Home) -> None:
    hub.publish("lab/x", files(1))
    bomb = gzip.compress(bytes(50_000_000))

    def packed(_request: Request, answer: Response) -> Response:
        answer.body = bomb
        answer.headers["Content-Encoding"] = "gzip"
        return answer

    hub.alters("GET", "/files/", packed)
    refused(hub, home, r"sends `weights.safetensors` packed \(gzip\)")
    assert {r.headers["accept-encoding"] for r in hub.asked("GET", "/files/")} == {"identity"}


def test_more_than_allowed_is_refused_before_it_comes(hub: Hub, home: Home) -> None:
    hub.publish("lab/x", files(1, size=100_000))
    refused(hub, home, "is 0.4 MB, at most 0.3 MB are taken", largest=300_000)
    hub.alters("GET", "/tree/", listed(lambda entries: entries[0].update(size=10**8)))
    refused(hub, home, "which no such file needs")
    assert not hub.asked("GET", "/resolve/")


def test_more_than_the_disk_holds(hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish("lab/x", files(1))

    def huge(entries: list[dict[str, Any]]) -> None:
        entries[1]["size"] = entries[1]["lfs"]["size"] = 1 << 60

    hub.alters("GET", "/tree/", listed(huge))
    refused(hub, home, "no space for .* MB at", largest=1 << 62)
    assert not hub.asked("GET", "/resolve/")


def test_a_download_that_stays_cut(
    hub: Hub, home: Home, waits: list[float], tmp_path: Path
) -> None:
    hub.publish("lab/x", files(1))
    hub.cuts("GET", "/files/", 0, times=-1)
    refused(hub, home, "cannot reach|ended after")
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "announces 0 bytes"),
        (b"\xff" * 8 + b"{}", "has no sound header"),
        (header(b" " * 40 + b"{}"), "does not start with"),
        (header(b'{"a":1}' + b" " * 8), "no sound type, shape and place"),
        (
            header(
                json.dumps({"a": F32})[:-1].encode() + b',"a":' + json.dumps(F32).encode() + b"}",
                b"1234",
            ),
            "names `a` twice",
        ),
        (header({"a": F32}, b"1234tail"), "its tensors have 4 bytes, the file has 8"),
        (header({"a": F32}, b"12"), "its tensors have 4 bytes, the file has 2"),
        (header({"a": {**F32, "data_offsets": [4, 8]}}, b"12345678"), "does not start where"),
        (header({"a": F32, "b": F32}, b"1234"), "does not start where"),
        (header({"a": {**F32, "shape": [1 << 60, 1 << 60]}}, b"1234"), "no sound type"),
        (header({"a": {**F32, "shape": [-1, -1]}}, b"1234"), "no sound type"),
        (header({"a": {**F32, "shape": [True]}}, b"1234"), "no sound type"),
        (header({"a": {**F32, "dtype": "F99"}}, b"1234"), "no sound type"),
        (
            header({f"t{n}": {**F32, "shape": [0], "data_offsets": [0, 0]} for n in range(11)}),
            "11 tensors, at most 10",
        ),
        (header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "not JSON that can be read"),
        (header(b'{"\xff":1}'), "not JSON that can be read"),
        (header(b"[]"), "does not start with"),
    ],
)
def test_headers_of_weights(
    hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str
) -> None:
    monkeypatch.setattr(content, "MOST_TENSORS", 10)
    hub.publish("lab/x", foreign(weights=data))
    refused(hub, home, message)


def test_a_sound_header_passes(tmp_path: Path, home: Home) -> None:
    (tmp_path / "client").write_bytes(tensors(1))
    content.check_safetensors(tmp_path / "client", "weights")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100_000, "not JSON that can be read"),
        (b'{"r": 1, "r": 2}', "names `r` twice"),
        (b"[]", "holds no JSON object"),
        (b"\xff\xfe", "not JSON that can be read"),
        (b'{"task_type": "\\u001b[2J"}', "text that a terminal would obey"),
        ('{"x": ["a", {"\u202e": 1}]}'.encode(), "text that a terminal would obey"),
    ],
)
def test_configs_that_are_none(hub: Hub, home: Home, text: bytes, message: str) -> None:
    for repo, name, published in (
        ("lab/own", "adapter.json", files(1)),
        ("lab/peer", "adapter_config.json", foreign()),
    ):
        hub.publish(repo, {**published, name: text})
        refused(hub, home, message, repo)


def test_pickled_weights_are_not_even_downloaded(hub: Hub, home: Home) -> None:
    config = foreign()["adapter_config.json"]
    hub.publish("lab/x", {"adapter_config.json": config, "adapter_model.bin": b"\x80\x04."})
    refused(hub, home, "only pickled weights .* which could run code")
    assert not hub.asked("GET", "/resolve/")


def test_a_pattern_without_end_is_refused_in_bounded_time(hub: Hub, home: Home) -> None:
    from adapterhub_lite import patterns
    from adapterhub_lite.errors import ExchangeError

    start = time.monotonic()
    with pytest.raises(ExchangeError, match="does not come to an end"):
        patterns.bounded_fullmatch("([a-z_0-9.]+)+X", ["model.layers.0.self_attn.q_proj"])
    assert time.monotonic() - start < 10


def test_answers_of_something_that_is_no_hub(hub: Hub, home: Home, waits: list[float]) -> None:
    hub.publish("lab/x", files(1))
    for body in (b"<html>", b"[]", b"{}", b"null"):
        hub.faults.clear()
        hub.alters("GET", "/revision/", lambda _r, _a, body=body: Response(200, body))  # type: ignore[misc]
        refused(hub, home, "is no answer of a Hub|the client refused|names no commit")
    words = "\x1b[2Jgo\u202eaway"
    hub.faults.clear()
    hub.alters("GET", "/revision/", lambda _r, _a: as_json({"error": words}, 500), before=True)
    with pytest.raises(HubError) as error:
        pull("lab/x", home=home, endpoint=hub.endpoint)
    assert error.value.message.isprintable()


def test_a_local_folder_of_the_same_name_is_not_taken(
    hub: Hub, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT prefers `./lab/x` to the Hub's `lab/x`; a pull means the Hub."""
    (tmp_path / "client" / "lab" / "x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "client")
    refused(hub, home, "no repository `lab/x`")

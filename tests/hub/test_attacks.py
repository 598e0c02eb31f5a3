"""What a hostile repository, Hub or way between may try on a pull; each fails, and leaves nothing.

Where the client itself is open to an attack, a second call shows that: the attack is real, and it
is this package that refuses it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import hf_hub_download

from adapterhub_lite import Home
from adapterhub_lite import hub as hubs
from adapterhub_lite.errors import AhlError, HubError
from adapterhub_lite.hub import download, pull
from tests.hub.attacking import listed, nothing_written, refused
from tests.hub.making import files, foreign, tensors
from tests.hub.server import Hub
from tests.hub.wire import Request, Response, as_json

__all__ = ["nothing_written"]  # runs around every test


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


# ------------------------------------------------------------------------- answers without end


def test_pages_without_end(hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is empty, and names a next one: no number of files is ever reached."""
    monkeypatch.setattr(hubs.budget, "MOST_ANSWERS", 20)
    hub.publish("lab/x", files(1))

    def endless(request: Request, _answer: Response) -> Response:
        link = f'<{hub.endpoint}{request.path}?page={len(hub.requests)}>; rel="next"'
        return Response(200, b"[]", {"content-type": "application/json", "link": link})

    hub.alters("GET", "/tree/", endless)
    refused(hub, home, "answers without end: more than 20")
    assert len(hub.requests) <= 25


@pytest.mark.parametrize("path", ["/tree/", "/revision/"])
def test_an_answer_of_any_size(
    hub: Hub, home: Home, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs.budget, "MOST_BYTES", 1 << 20)
    hub.publish("lab/x", files(1))

    def flood(_request: Request, _answer: Response) -> Response:
        return Response(200, b"[" + b" " * (8 << 20) + b"]", {"content-type": "application/json"})

    hub.alters("GET", path, flood)
    refused(hub, home, "answers without end: more than 1048576 bytes")


def test_an_answer_that_takes_for_ever(
    hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs.budget, "MOST_SECONDS", -1.0)
    hub.publish("lab/x", files(1))
    refused(hub, home, "answers without end: longer than")


def test_an_answer_that_is_packed_though_nobody_asked(hub: Hub, home: Home) -> None:
    import gzip

    hub.publish("lab/x", files(1))

    def bomb(_request: Request, _answer: Response) -> Response:
        body = gzip.compress(b" " * (64 << 20))
        return Response(200, body, {"content-type": "application/json", "content-encoding": "gzip"})

    hub.alters("GET", "/tree/", bomb)
    refused(hub, home, "answers without end: it packs")


def test_a_file_that_takes_for_ever(hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs.download, "_PATIENCE", -1e9)
    hub.publish("lab/x", files(1))
    refused(hub, home, "slower than 1000 bytes a second")

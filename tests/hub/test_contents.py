"""Headers of weights and configs that a library would take, or choke on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterhub_lite import Home
from adapterhub_lite.hub import content
from tests.hub.attacking import nothing_written, refused
from tests.hub.making import files, foreign, header, tensors
from tests.hub.server import Hub

__all__ = ["nothing_written"]  # runs around every test

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
            "`a` is there twice",
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
        (header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested deeper"),
        (header(b'{"\xff":1}'), "not UTF-8"),
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
        (b"[" * 100_000, "nested deeper"),
        (b'{"r": 1, "r": 2}', "`r` is there twice"),
        (b"[]", "expected a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"task_type": "\\u001b[2J"}', "which a terminal would obey"),
        ('{"x": ["a", {"\u202e": 1}]}'.encode(), "which a terminal would obey"),
    ],
)
def test_configs_that_are_none(hub: Hub, home: Home, text: bytes, message: str) -> None:
    for repo, name, published in (
        ("lab/own", "adapter.json", files(1)),
        ("lab/peer", "adapter_config.json", foreign()),
    ):
        hub.publish(repo, {**published, name: text})
        refused(hub, home, message, repo)

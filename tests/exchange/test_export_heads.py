"""Exporting an adapter whose head the other library cannot hold."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapterhub_lite import Home
from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.cli import main
from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import bases, peft_heads

ROOT = Path(__file__).resolve().parents[2]


def call(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--home", str(ROOT), *words])
    assert result.exit_code == code, result.output
    return result


def test_a_language_adapter_as_trained_leaves_by_the_way_that_the_error_names(
    tmp_path: Path,
) -> None:
    """The shipped `gv` was trained with defaults: its head is a bias over the vocabulary."""
    folder = tmp_path / "gv"
    refused = json.loads(
        call("export", "gv", str(folder), "--to", "adapterhub", "--json", code=1).stdout
    )
    assert "language-modelling" in refused["error"]
    _, *words = shlex.split(refused["hint"].split("`")[1])
    result = call(*words)
    assert "adapter_config.json" in result.stdout
    assert "the head for language-modelling was left out" in result.stderr
    assert not list(folder.glob("head*"))
    home = Home.find(ROOT)
    manifest = home.registry.get("gv").manifest
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["hidden_size"] == manifest.base.hidden_size


def test_with_its_head_a_task_adapter_leaves_whole(tmp_path: Path) -> None:
    call("export", "pos-en", str(tmp_path / "whole"), "--to", "adapterhub")
    call("export", "pos-en", str(tmp_path / "alone"), "--to", "adapterhub", "--without-head")
    names = [{p.name for p in (tmp_path / n).glob("*.json")} for n in ("whole", "alone")]
    assert names[0] - names[1] == {"head_config.json"}


def test_messages_describe_heads_in_words() -> None:
    base = bases.describe("e5-mmt-6", Home.find(ROOT))
    for head in (
        HeadSpec("language-modelling", (), {}),
        HeadSpec("sequence-classification", ("a", "b"), {"pooling": "mean", "layers": 2}),
    ):
        with pytest.raises(ExchangeError) as caught:
            peft_heads.write(head, {}, base)
        assert "HeadShape" not in caught.value.message
        assert "(" + ("layers 2" if head.labels else "one linear layer") in (
            caught.value.message.replace("pooling mean, ", "")
        )

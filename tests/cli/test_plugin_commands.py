"""`methods` and `plugins`: what can be used, and what runs only after trust."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from adapterhub_lite.cli import main
from tests.cli.conftest import Ahl

PLUGIN = '''
"""A rank-one change, for this test."""
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.lora import LoRA


class One(LoRA):
    name = "one"


@hookimpl
def ahl_methods():
    return [One()]
'''


@pytest.fixture
def with_plugin(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a plugin, below the working directory, and a user who has trusted nothing."""
    (home / "plugins").mkdir()
    (home / "plugins" / "one.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AHL_HOME", raising=False)
    monkeypatch.chdir(home)
    return home


def call(*arguments: str) -> Any:
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def names() -> list[str]:
    return [method["name"] for method in call("methods")]


def test_methods_are_listed_with_their_plugin(ahl: Ahl) -> None:
    head, *rows = [line.split("\t") for line in ahl("methods").stdout.splitlines()]
    assert head == ["method", "plugin", "what it is", "config"]
    assert [row[0] for row in rows] == ["bottleneck", "lora", "prefix", "xmod"]
    assert rows[1][1] == "adapterhub_lite.methods"
    assert "low-rank" in rows[1][2]
    assert rows[1][3].startswith("rank=8 alpha=16.0 rank_stabilised=false")
    assert rows[1][3].endswith("parts=query,value")


def test_a_method_shows_its_config(ahl: Ahl, ahl_json: Callable[..., Any]) -> None:
    fields = dict(line.split("\t")[0:3:2] for line in ahl("methods", "lora").stdout.splitlines())
    assert fields["rank"] == "8"
    described = ahl_json("methods", "lora")
    assert {f["name"]: f["default"] for f in described["config"]}["alpha"] == 16.0


def test_plugins_say_what_they_offer(ahl: Ahl) -> None:
    (methods,) = (line for line in ahl("plugins").stdout.splitlines() if "method lora" in line)
    assert methods.endswith("\t-"), "no problems"


@pytest.mark.usefixtures("with_plugin")
def test_a_found_home_runs_no_plugin_unasked() -> None:
    assert "one" not in names()


def test_a_named_home_runs_its_plugins(with_plugin: Path) -> None:
    assert "one" in [m["name"] for m in call("--home", str(with_plugin), "methods")]


def test_trust_lasts_until_a_file_changes(with_plugin: Path) -> None:
    trusted = call("plugins", "trust")["trusted"]
    assert [Path(path).name for path in trusted] == ["one.py"]
    assert "one" in names()
    with (with_plugin / "plugins" / "one.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert "one" not in names()


def test_a_plugin_that_fails_is_reported_and_disturbs_nothing(with_plugin: Path) -> None:
    (with_plugin / "plugins" / "bad.py").write_text(
        "import nowhere_to_be_found\n", encoding="utf-8"
    )
    infos = {info["name"]: info for info in call("--home", str(with_plugin), "plugins")}
    assert "nowhere_to_be_found" in infos["bad"]["problems"][0]
    assert infos["one"]["problems"] == []


def test_methods_need_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("AHL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert names() == ["bottleneck", "lora", "prefix", "xmod"]

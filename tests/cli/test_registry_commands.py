"""`init add list show remove alias verify gc` on real homes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from adapterhub_lite import Kind
from adapterhub_lite.cli import main
from tests.cli.conftest import Ahl, write_adapter

Json = Callable[..., Any]
NAMES = ["en-gv", "en-wiki", "fo-wiki", "gv-wiki", "pos-en", "pos-en-gv"]


def test_init_makes_a_home_that_is_found_from_below(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", str(tmp_path / "new"), "--no-catalog"])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "is ready" in result.stderr
    below = tmp_path / "new" / "a" / "b"
    below.mkdir(parents=True)
    run = subprocess.run(
        [sys.executable, "-m", "adapterhub_lite", "list", "--json"],
        cwd=below,
        env={k: v for k, v in os.environ.items() if k != "AHL_HOME"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n"


def test_init_takes_one_place(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    assert CliRunner().invoke(main, ["--home", one, "init"]).exit_code == 0
    assert (tmp_path / "one" / "registry.db").exists()
    result = CliRunner().invoke(main, ["--home", one, "init", other])
    assert result.exit_code == 2
    assert "give one of them" in result.stderr


def test_list_is_sorted_and_filtered(ahl_json: Json) -> None:
    def names(*options: str) -> list[str]:
        return [item["name"] for item in ahl_json("list", *options)]

    assert names() == NAMES
    assert names("--kind", "language") == ["en-wiki", "fo-wiki", "gv-wiki"]
    assert names("--lang", "gv") == ["en-gv", "gv-wiki"]
    assert names("--lang", "glv", "--kind", "language") == ["gv-wiki"]
    assert names("--task", "pos", "--base", "tiny") == ["pos-en", "pos-en-gv"]
    assert names("--base", "other") == []
    assert names("--method", "lora") == []
    assert names("--remote") == []
    assert names("--local", "--limit", "2") == NAMES[:2]


def test_json_of_an_adapter(ahl_json: Json) -> None:
    (item,) = ahl_json("list", "--kind", "bilingual")
    assert item["ref"] == f"en-gv@{item['digest'][:12]}"
    assert item["languages"] == [{"tag": "en", "role": "source"}, {"tag": "gv", "role": "target"}]
    assert (item["kind"], item["base"], item["method"]) == ("bilingual", "tiny", "bottleneck")
    assert item["remote"] is False
    shown = ahl_json("show", item["digest"][:8])
    assert {key: shown[key] for key in item} == item
    assert shown["manifest"]["licence"] == "CC0-1.0"


def test_a_pipe_gets_lines_with_tabs_and_words_stay_on_stderr(ahl: Ahl) -> None:
    result = ahl("list", "--kind", "language", "--lang", "gv")
    head, line = result.stdout.splitlines()
    assert head.split("\t") == ["ref", "kind", "languages", "task", "method", "base", "where"]
    assert line.split("\t")[1:] == ["language", "gv", "-", "bottleneck", "tiny", "here"]
    assert result.stderr == "1 adapter\n"
    assert ahl("list", "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("option", "value", "meant"),
    [("--task", "POS", "pos"), ("--method", "botleneck", "bottleneck"), ("--base", "tyni", "tiny")],
)
def test_an_empty_list_names_what_may_have_been_meant(
    ahl: Ahl, option: str, value: str, meant: str
) -> None:
    """An empty list is an answer; scripts get it as one."""
    result = ahl("list", option, value, "--json")
    assert result.stdout == "[]\n"
    assert f"`{value}`: did you mean `{meant}`?" in result.stderr
    assert "did you mean" not in ahl("list", option, "quite-another").stderr


def test_a_terminal_gets_a_table_with_a_head(ahl: Ahl, home: Path) -> None:
    """`script` gives the command a terminal; a narrow one must not lose the refs."""
    command = f"{sys.executable} -m adapterhub_lite --home {home} list --lang fo"
    run = subprocess.run(
        [sys.executable, "-c", f"import pty, shlex; pty.spawn(shlex.split({command!r}))"],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert "languages" in run.stdout
    assert "fo-wiki@" in run.stdout


def test_show_says_what_an_adapter_was_trained_over(ahl: Ahl) -> None:
    lines = dict(line.split(None, 1) for line in ahl("show", "pos-en-gv").stdout.splitlines())
    assert lines["kind"] == "task"
    assert "bilingual en-gv (" in lines["trained"]
    assert lines["labels"] == "NOUN VERB"


def test_add_alias_remove(ahl: Ahl, ahl_json: Json, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "cy", Kind.LANGUAGE, "cy")
    ref = ahl("add", str(folder), "--name", "cy-wiki", "--alias", "welsh").stdout.strip()
    assert ref.startswith("cy-wiki@")
    assert ahl_json("show", "welsh")["aliases"] == ["welsh"]
    ahl("alias", "welsh", "gv-wiki")
    assert ahl_json("show", "welsh")["name"] == "gv-wiki"
    assert ahl("remove", "cy-wiki").stdout.strip() == ref
    error = ahl_json("show", "cy-wiki", code=1)
    assert "cy-wiki" in error["error"]


def test_adding_twice_is_the_same_adapter(ahl: Ahl, ahl_json: Json, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "cy", Kind.LANGUAGE, "cy")
    assert ahl("add", str(folder), "--name", "a").stdout
    ahl("add", str(folder), "--name", "b")
    assert ahl_json("show", "a")["digest"] == ahl_json("show", "b")["digest"]
    assert len(ahl_json("list")) == len(NAMES) + 1


def test_remove_refuses_what_others_were_trained_over(ahl: Ahl, ahl_json: Json) -> None:
    error = ahl_json("remove", "en-wiki", code=1)
    assert "pos-en" in error["error"] + str(error["facts"])
    assert error["hint"]
    ahl("remove", "en-wiki", "--force")
    assert "en-wiki" not in [item["name"] for item in ahl_json("list")]


def test_verify_finds_damage_and_gc_frees_what_was_removed(
    ahl: Ahl, ahl_json: Json, home: Path
) -> None:
    assert ahl("verify").stdout == ""
    digest = ahl_json("show", "fo-wiki")["digest"]
    ahl("remove", "fo-wiki")
    assert any(digest in item for item in ahl_json("gc", "--dry-run")["removed"])
    assert any(digest in item for item in ahl_json("gc")["removed"])
    assert ahl_json("gc")["removed"] == []
    weights = next((home / "objects").rglob("*.safetensors"))
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1])
    (problem,) = ahl_json("verify", code=1)
    assert "truncated" in problem["message"]
    assert problem["message"] in ahl("verify", code=1).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "gv-wik"], 1, ["gv-wik", "gv-wiki"]),
        (["show", "gv wiki"], 1, ["gv wiki"]),
        (["list", "--lang", "klingonese"], 2, ["`klingonese` is not a registered language tag"]),
        (["list", "--kind", "robot"], 2, ["robot"]),
        (["list", "--kynd", "task"], 2, ["--kynd"]),
        (["lst"], 2, ["lst"]),
        (["add", "nowhere", "--name", "x"], 1, ["nowhere"]),
        (["alias", "new", "nothing-like-it"], 1, ["nothing-like-it"]),
        (["methods", "bottelneck"], 1, ["bottelneck", "bottleneck"]),
    ],
)
def test_mistakes_end_in_one_error(
    ahl: Ahl, arguments: list[str], code: int, words: list[str]
) -> None:
    result = ahl(*arguments, code=code)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_no_home_is_an_error_with_a_hint(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--home", str(tmp_path), "list"])
    assert result.exit_code == 1
    assert "hint: " in result.stderr
    assert "ahl init" in result.stderr


def test_damaged_registry_is_one_error(home: Path) -> None:
    for side in ("-wal", "-shm"):
        home.joinpath(f"registry.db{side}").unlink(missing_ok=True)
    (home / "registry.db").write_bytes(b"no database at all " * 500)
    result = CliRunner().invoke(main, ["--home", str(home), "list"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_shared_options_stand_before_or_after(home: Path) -> None:
    before = CliRunner().invoke(main, ["--json", "--home", str(home), "list"])
    after = CliRunner().invoke(main, ["list", "--json", "--home", str(home)])
    assert before.exit_code == after.exit_code == 0
    assert before.stdout == after.stdout


def test_ahl_home_names_the_home(home: Path, tmp_path: Path) -> None:
    moved = shutil.move(home, tmp_path / "elsewhere")
    result = CliRunner().invoke(main, ["list", "--json"], env={"AHL_HOME": str(moved)})
    assert result.exit_code == 0
    assert "gv-wiki" in result.stdout

"""`ahl resolve`: words for people, JSON for programs, exit code 3 for nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import Stack, parse
from tests.cli.conftest import Ahl

Json = Callable[..., Any]


@pytest.mark.parametrize(
    ("target", "options", "strategy", "names"),
    [
        ("gv", [], "bad-x", ["en-gv", "pos-en-gv"]),
        ("glv", [], "bad-x", ["en-gv", "pos-en-gv"]),
        ("fo", [], "mad-x", ["fo-wiki", "pos-en"]),
        ("en", [], "same-language", ["en-wiki", "pos-en"]),
    ],
)
def test_strategies(
    ahl_json: Json, target: str, options: list[str], strategy: str, names: list[str]
) -> None:
    answer = ahl_json("resolve", "en", target, "--task", "pos", *options)
    composition = parse(answer["composition"])
    assert isinstance(composition, Stack)
    assert answer["strategy"] == strategy
    assert [str(part).partition("@")[0] for part in composition.parts] == names


def test_quiet_prints_only_the_composition(ahl: Ahl, ahl_json: Json) -> None:
    answer = ahl_json("resolve", "en", "fo", "--task", "pos")
    result = ahl("resolve", "en", "fo", "--task", "pos", "--quiet")
    assert result.stdout == answer["composition"] + "\n"
    assert result.stderr == ""


def test_no_explain_prints_only_the_composition(ahl: Ahl, ahl_json: Json) -> None:
    answer = ahl_json("resolve", "en", "fo", "--task", "pos")
    result = ahl("resolve", "en", "fo", "--task", "pos", "--no-explain")
    assert result.stdout == answer["composition"] + "\n"


def test_all_lists_what_is_not_allowed(ahl: Ahl) -> None:
    result = ahl("resolve", "en", "gv", "--task", "pos", "--all")
    assert "not allowed:" in result.stdout
    assert "a monolingual adapter is not of its kind" in result.stdout


def test_words_say_what_and_why(ahl: Ahl) -> None:
    result = ahl("resolve", "en", "fo", "--task", "pos")
    assert "mad-x" in result.stdout
    assert "in the place of `en-wiki@" in result.stdout
    assert "ahl train bilingual en fo" in result.stdout


def test_the_commands_that_an_answer_names_parse(ahl_json: Json) -> None:
    from tests.cli.test_help import test_every_example_parses

    answer = ahl_json("resolve", "en", "cy", "--task", "pos")
    commands = [command for missing in answer["missing"] for command in missing["commands"]]
    assert commands
    for command in commands:
        test_every_example_parses((), command)


def test_no_resolution_is_exit_code_three(ahl: Ahl, ahl_json: Json) -> None:
    result = ahl("resolve", "en", "gv", "--task", "ner", code=3)
    assert result.stdout == ""
    assert result.stderr.startswith("error: no stack for en -> gv, task ner")
    error = ahl_json("resolve", "en", "gv", "--task", "ner", code=3)
    assert error["error"].startswith("no stack for en -> gv, task ner")
    assert error["facts"]["resolution"]["resolved"] is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resolve", "en", "gv"], "--task"),
        (["resolve", "en", "--task", "pos"], "TARGET"),
        (["resolve", "en", "xx-nowhere-1", "--task", "pos"], "xx-nowhere-1"),
        (["resolve", "en", "gv", "--task", "pos", "--policy", "none"], "none"),
    ],
)
def test_wrong_usage_is_exit_code_two(ahl: Ahl, arguments: list[str], words: str) -> None:
    result = ahl(*arguments, code=2)
    assert words in result.stderr
    assert "hint: " in result.stderr


def test_a_real_process_returns_the_exit_codes(filled: Path) -> None:
    def code(*arguments: str) -> int:
        command = [sys.executable, "-m", "adapterhub_lite", "--home", str(filled), *arguments]
        return subprocess.run(command, capture_output=True, check=False).returncode

    assert code("resolve", "en", "gv", "--task", "pos") == 0
    assert code("show", "nothing") == 1
    assert code("resolve", "en", "gv") == 2
    assert code("resolve", "en", "gv", "--task", "ner") == 3

"""Every command that the package tells people to run exists, and those of hints run.

Looked for in all strings of the package (messages, hints, help, docstrings) and in the docs.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from adapterhub_lite import Home
from adapterhub_lite.cli import main
from tests.cli.conftest import Ahl

ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"`(ahl(?: [^`\n]*)?)`")
VALUE = "X"


def strings(path: Path) -> Iterator[str]:
    """Yield the strings of a Python file, `VALUE` for what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values
            )
        elif isinstance(node, ast.Constant) and id(node) not in inside:
            yield str(node.value)


def told() -> dict[str, str]:
    """Return every command in backticks, with the file that tells it."""
    commands: dict[str, str] = {}
    for path in sorted((ROOT / "adapterhub_lite").rglob("*.py")):
        for text in strings(path):
            for found in COMMAND.findall(" ".join(text.split())):
                commands.setdefault(found, str(path.relative_to(ROOT)))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for found in COMMAND.findall(path.read_text(encoding="utf-8")):
            commands.setdefault(found, path.name)
    return commands


def parse(command: str) -> None:
    """Raise click's error if a command, an option or a number of arguments does not exist."""
    _, *words = shlex.split(
        command.removeprefix("ahl ...").replace(" ... ", " language ").replace("...", " ")
    )
    group: click.Command = main
    while isinstance(group, click.Group):
        parser = group.make_parser(click.Context(group, **group.context_settings))
        parser.allow_interspersed_args = False
        _, words, _ = parser.parse_args(list(words))
        if not words or words[0].isupper():
            return
        name, *words = words
        inner = group.get_command(click.Context(group), name)
        assert inner is not None, f"no command `{name}`"
        group = inner
    parser = group.make_parser(click.Context(group, **group.context_settings))
    try:
        _, surplus, _ = parser.parse_args(list(words))
    except click.BadOptionUsage:  # an option that is only named, at the end
        _, surplus, _ = parser.parse_args([*words, VALUE])
    assert not surplus, surplus


@pytest.mark.parametrize(("command", "file"), told().items(), ids=list(told()))
def test_every_command_that_is_told_exists(command: str, file: str) -> None:
    try:
        parse(command)
    except click.UsageError as error:
        pytest.fail(f"{file}: {error.format_message()}")


def test_wrong_commands_would_be_noticed() -> None:
    for command in ("ahl list --kynd x", "ahl remove a b"):
        with pytest.raises((click.UsageError, AssertionError)):
            parse(command)
    with pytest.raises(AssertionError):
        parse("ahl lisst")


FAILING: dict[str, tuple[int, list[str]]] = {
    "misspelt command": (2, ["lsit"]),
    "misspelt subcommand": (2, ["catalog", "laod"]),
    "no subcommand": (2, ["plugins", "--no-such"]),
    "missing argument": (2, ["resolve", "en"]),
    "unknown task": (3, ["resolve", "en", "gv", "--task", "POS"]),
    "unknown base": (1, ["resolve", "en", "gv", "--task", "pos", "--base", "nobody/knows"]),
    "nothing fits": (3, ["resolve", "cy", "gv", "--task", "pos"]),
    "unknown ref": (1, ["show", "gv_wiki"]),
    "unknown lock": (1, ["attach", "--lock", "none.lock"]),
    "a mode": (2, ["list", "--bases", "--kind", "task"]),
    "head that has no form": (1, ["export", "pos-en", "out", "--to", "nowhere"]),
    "unknown method": (1, ["methods", "botleneck"]),
}
CHANGES = {"train", "add", "init", "remove", "push", "pull", "export", "import", "merge", "alias"}


@pytest.mark.parametrize(("code", "words"), FAILING.values(), ids=FAILING)
def test_hints_run(home: Path, ahl_json: Callable[..., Any], code: int, words: list[str]) -> None:
    """A hint that is a whole command, and changes nothing, is run: it does not end in misuse."""
    error = ahl_json(*words, code=code)
    text = f"{error['error']}\n{error['hint']}"
    for command in COMMAND.findall(text):
        parse(command)
        _, *hinted = shlex.split(command)
        whole = not any(word.isupper() or "..." in word for word in hinted)
        if whole and hinted and hinted[0] not in CHANGES:
            result = CliRunner().invoke(main, ["--home", str(home), *hinted])
            assert result.exit_code == 0, (command, result.output)


def test_a_misspelt_task_leads_to_an_answer(ahl: Ahl) -> None:
    refusal = ahl("resolve", "en", "gv", "--task", "POS", code=3)
    assert "did you mean `pos`?" in refusal.stderr
    assert "`ahl resolve en gv --task pos`" in refusal.stderr
    assert ahl("resolve", "en", "gv", "--task", "pos").stdout


def test_a_new_home_leads_to_the_public_adapters(tmp_path: Path) -> None:
    """What the first error in a new home says to do makes the same request work."""
    home = str(Home.init(tmp_path / "home").path)
    request = ["resolve", "en", "sw", "--task", "ner", "--base", "bert-base-multilingual-cased"]

    def call(*words: str) -> Any:
        return CliRunner().invoke(main, ["--home", home, *words])

    for words in (request, request[:5]):
        refusal = call(*words)
        assert refusal.exit_code in {1, 3}
        assert "`ahl catalog load`" in refusal.stderr
    assert call("catalog", "load").exit_code == 0
    assert call(*request).exit_code == 0


def test_outside_of_a_home_the_ways_to_name_one_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("AHL_HOME", raising=False)
    result = CliRunner().invoke(main, ["list"])
    assert result.exit_code == 1
    for way in ("`--home`", "`home=`", "AHL_HOME", "`ahl init`"):
        assert way in result.stderr
    assert CliRunner().invoke(main, ["init"]).exit_code == 0
    assert CliRunner().invoke(main, ["list"]).exit_code == 0

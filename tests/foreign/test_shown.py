"""What strangers wrote is shown, and nothing of it is obeyed: by a terminal, rich or a shell."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import adapterhub_lite
from adapterhub_lite.cli import main
from adapterhub_lite.errors import AhlError, NoResolutionError
from adapterhub_lite.foreign import text
from tests.foreign.conftest import FORGED, forged_lines, obeyed, on_a_terminal

COMMANDS = {
    "list": ["list"],
    "list bases": ["list", "--bases"],
    "list by task": ["list", "--task", FORGED],
    "show": ["show", "pos-en"],
    "show another": ["show", "gv-wiki"],
    "show what is not there": ["show", FORGED],
    "search": ["search", "x"],
    "resolve": ["resolve", "en", "gv", "--task", FORGED],
    "resolve with reasons": ["resolve", "en", "gv", "--task", FORGED, "--explain"],
    "resolve everything": ["resolve", "en", "fo", "--task", FORGED, "--all"],
    "resolve nothing": ["resolve", "en", "cy", "--task", "ner"],
    "resolve on a base": ["resolve", "en", "gv", "--task", FORGED, "--base", FORGED],
    "gaps": ["gaps"],
    "lang": ["lang", "en", "--base", FORGED],
    "lang by task": ["lang", "gv", "--task", FORGED],
    "scores": ["scores", "list"],
    "methods": ["methods"],
    "plugins": ["plugins"],
    "verify": ["verify"],
    "gc": ["gc", "--dry-run"],
    "attach": ["attach", "stack(gv-wiki, pos-en)"],
    "predict": ["predict", "en", "gv", "--task", FORGED, "word"],
    "evaluate": ["evaluate", "en", "gv", "--task", FORGED, FORGED],
    "merge": ["merge", "average(en-wiki, gv-wiki)", "--name", "m"],
    "train": ["train", "task", FORGED, "--source", "en", "--train", FORGED],
    "export": ["export", "pos-en", "--to", "adapterhub", FORGED],
    "push": ["push", "pos-en", "lab/pos", "--dry-run"],
    "push elsewhere": ["push", "pos-en", FORGED, "--dry-run"],
    "pull": ["pull", FORGED],
    "remove": ["remove", "en-wiki"],
    "alias": ["alias", FORGED, "pos-en"],
    "unknown option": ["list", "--" + FORGED],
    "unknown command": [FORGED],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_no_command_prints_what_a_terminal_obeys(hostile: Path, words: list[str]) -> None:
    result = CliRunner().invoke(main, ["--home", str(hostile), *words])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert not obeyed(result.output)
    assert not forged_lines(result.output)
    as_json = CliRunner().invoke(main, ["--home", str(hostile), *words, "--json"])
    assert isinstance(as_json.exception, SystemExit | None), as_json.exception
    assert not obeyed(as_json.output)
    if words[0] != "list" or words[-1].startswith("list"):
        json.loads(as_json.stdout)


@pytest.mark.parametrize("name", ["list", "show", "search", "resolve", "resolve nothing", "gaps"])
def test_nor_on_a_terminal(hostile: Path, name: str) -> None:
    sent = on_a_terminal(hostile, *COMMANDS[name], "--quiet")  # bars move the cursor
    assert "Traceback" not in sent
    assert not obeyed(sent)
    assert not forged_lines(sent)


def test_brackets_and_names_of_emoji_are_text(hostile: Path) -> None:
    sent = on_a_terminal(hostile, "list")
    assert "[/x][red]:bomb:" in sent
    assert "[dev]" in on_a_terminal(hostile, "show", "pos-en")


def test_json_says_what_the_record_says(hostile: Path) -> None:
    result = CliRunner().invoke(main, ["--home", str(hostile), "show", "pos-en", "--json"])
    assert json.loads(result.stdout)["manifest"]["licence"] == FORGED


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    error = AhlError(f"no `{FORGED}`", hint=f"look at {FORGED}")
    assert "\n" not in error.message
    assert str(error).count("\n") == 1  # before its hint
    assert not obeyed(str(error))
    assert "\\x1b[2J" in error.message


def test_a_refusal_keeps_its_own_lines() -> None:
    assert NoResolutionError("a\n  b\x1b").message == "a\n  b\\x1b"


WORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30
) | st.sampled_from([FORGED, "", "a b", "`id`", "$(id)", "'", "\\", "\\'`", "-x", "é\x85"])


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_a_command_in_a_hint_is_read_back_by_the_shell(words: list[str]) -> None:
    hint = text.command("printf", "%s\\0", *words)
    assert hint[0] == hint[-1] == "`"
    assert "`" not in hint[1:-1]
    assert not obeyed(hint)
    done = subprocess.run(
        ["bash", "-c", hint[1:-1]],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8"},
    )
    assert done.stdout.decode().split("\0")[:-1] == words


def test_ordinary_words_are_quoted_as_everywhere() -> None:
    assert text.command("ahl", "show", "en wiki") == f"`{shlex.join(['ahl', 'show', 'en wiki'])}`"


@given(st.text())
def test_one_line_is_one_line_that_can_be_encoded(value: str) -> None:
    shown = text.one_line(value)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert not text.OBEYED.search(shown)


def test_honest_text_stays_as_it_is() -> None:
    for words in ("[dev] ünïcödé", "می\u200cخواهم", "שלום\u200f!", "👩\u200d🔬", "a\\b"):
        assert text.one_line(words) == words


def test_a_page_escapes_what_is_markup_there() -> None:
    assert text.html('<script>"&\x1b') == "&lt;script&gt;&quot;&amp;\\x1b"


def test_commands_print_through_one_file_only() -> None:
    folder = Path(adapterhub_lite.__file__).parent
    files = [*(folder / "cli").glob("*.py"), *(folder / "training").glob("*.py")]
    assert len(files) > 20
    for path in files:
        if path.name == "output.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in FORBIDDEN, f"{path.name}:{node.lineno}"


FORBIDDEN = {
    "click.echo", "click.secho", "print", "click.echo_via_pager", "sys.stdout.write",
    "sys.stderr.write",
}  # fmt: skip


def test_a_picture_takes_no_name_for_a_formula(tmp_path: Path) -> None:
    from adapterhub_lite.drawing import figure_class, save

    figure = figure_class()()
    axes = figure.subplots()
    axes.set_title("cost in $, or $\\frac\x1b[2J")
    axes.set_xticks([0], ["$x_{"])
    drawn = save(figure, tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "\x1b" not in drawn

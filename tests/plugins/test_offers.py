"""What else a plugin can add: commands of `ahl`, strategies of the resolver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapterhub_lite import Home
from adapterhub_lite.adapter import Kind
from adapterhub_lite.cli import main
from adapterhub_lite.plugins import load
from tests.cli.conftest import write_adapter
from tests.plugins.conftest import METHOD, Write

COMMAND = """
import click

from adapterhub_lite.cli.command import command, settings
from adapterhub_lite.hookspecs import hookimpl


@command("count", examples=("ahl count",))
def count():
    \"\"\"Count the adapters of the home.\"\"\"
    click.echo(settings().open_home().registry.count())


@hookimpl
def ahl_commands():
    return [count]
"""

STRATEGY = """
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.resolver.strategies import NoLanguageAdapter


class First(NoLanguageAdapter):
    name = "task-first"
    rank = 1


@hookimpl
def ahl_strategies():
    return [First()]
"""


@pytest.fixture
def home(tmp_path: Path, folder: Path) -> str:
    Home.init(tmp_path)
    assert folder.parent == tmp_path
    return str(tmp_path)


def ahl(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


@pytest.mark.parametrize("last", [False, True], ids=["home first", "home last"])
def test_a_command_of_a_plugin_runs_and_is_in_the_help(
    home: str, write: Write, *, last: bool
) -> None:
    write("counting", COMMAND)
    words = ("count", "--home", home) if last else ("--home", home, "count")
    assert ahl(*words) == (0, "0\n")
    code, words_printed = ahl("--home", home, "--help")
    assert code == 0
    assert "Count the adapters of the home." in words_printed


def test_broken_plugins_break_no_other_command(home: str, write: Write) -> None:
    write("a_broken", "raise SystemExit(3)\n")
    write("b_broken", COMMAND.replace("return [count]", "raise OSError('no')"))
    write("counting", COMMAND)
    for words in (("--help",), ("list",), ("count",), ("methods",)):
        assert ahl("--home", home, *words)[0] == 0, words
    code, printed = ahl("--home", home, "plugins")
    assert code == 0
    assert "SystemExit: 3" in printed
    assert "ahl_commands failed: OSError: no" in printed


def test_an_unknown_command_names_the_plugins_that_failed(home: str, write: Write) -> None:
    write("counting", "import nowhere_at_all\n" + COMMAND)
    code, printed = ahl("--home", home, "count")
    assert code == 2
    assert "`ahl plugins` says why these plugins do not run: `counting`" in printed


def test_help_needs_no_home(tmp_path: Path) -> None:
    code, printed = ahl("--home", str(tmp_path / "nowhere"), "--help")
    assert code == 0
    assert "resolve" in printed


def test_help_stays_light_with_a_plugin_written_as_the_guide_says(home: str, write: Write) -> None:
    write("mine", METHOD.format(name="mine"))
    write("counting", COMMAND)
    code = (
        "import sys\n"
        "from adapterhub_lite.cli import main\n"
        f"try:\n    main(['--home', {home!r}, '--help'])\n"
        "finally:\n    print(sorted({'torch', 'transformers', 'sqlalchemy', 'huggingface_hub'}"
        " & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.splitlines()[-1] == "[]"
    assert "count " in run.stdout


PLAIN_COMMAND = """
import gc

import click

from adapterhub_lite.hookspecs import hookimpl


@click.command("collects")
def collects():
    click.echo(gc.isenabled())


@hookimpl
def ahl_commands():
    return [collects]
"""


def test_garbage_is_collected_in_a_command_of_clicks_own_kind(home: str, write: Write) -> None:
    write("plain", PLAIN_COMMAND)
    words = [sys.executable, "-m", "adapterhub_lite", "--home", home, "collects"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("True\n", "")


def test_the_resolver_uses_a_strategy_of_a_plugin(home: str, write: Write) -> None:
    made = write_adapter(Path(home) / "made", Kind.TASK, "en", task="pos")
    Home.find(home).add(made, name="pos-en")
    ask = ("--home", home, "resolve", "en", "fo", "--task", "pos", "--json")
    assert json.loads(ahl(*ask)[1])["strategy"] == "no-language-adapter"
    write("first", STRATEGY)
    assert json.loads(ahl(*ask)[1])["strategy"] == "task-first"


def test_a_strategy_of_a_plugin_stands_where_it_ranks(folder: Path, write: Write) -> None:
    write("first", STRATEGY)
    names = [strategy.name for strategy in load(folder, entry_points=False).strategies]
    assert names[:2] == ["task-first", "bad-x"]
    assert names[-1] == "nearest-relative"

"""A plugin that fails after its hook has returned: it is named, and everything else works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import adapterhub_lite as ahl
from adapterhub_lite import plugin_sources
from adapterhub_lite.plugins import load
from adapterhub_lite.testing.homes import copy_home
from tests.plugins.conftest import Write, failures

ROOT = Path(__file__).resolve().parents[2]
HEAD = "from adapterhub_lite.hookspecs import hookimpl\n"
STRATEGY = (
    HEAD
    + """
from adapterhub_lite.resolver.strategies import Strategy

class Failing(Strategy):
    name = "failing"
    rank = {rank}
    claim = "nothing"
    def propose(self, pool):
        {body}

@hookimpl
def ahl_strategies():
    return [Failing()]
"""
)
METHOD = (
    HEAD
    + """
from dataclasses import dataclass
from adapterhub_lite.methods.base import MethodConfig, SiteMethod
from adapterhub_lite.methods.config import option

@dataclass(frozen=True)
class C(MethodConfig):
    {field}
    {check}

class M(SiteMethod):
    name = "mine"
    Config = C
    {more}
    def transform(self, site, config, weights, x, y):
        return y

@hookimpl
def ahl_methods():
    return [M()]
"""
)
FAMILY = (
    HEAD
    + """
from adapterhub_lite.families import Family

@hookimpl
def ahl_families():
    return [Family(model_types=("mine",), layers="{layers}", parts={parts}, blocks={{}},
                   attention="attn", embeddings="wte", output="lm_head")]
"""
)
COMMAND = (
    HEAD
    + """
import click
class Broken(click.Command):
    def get_short_help_str(self, limit=45):
        raise ValueError("no help")

@hookimpl
def ahl_commands():
    return [Broken("broken")]
"""
)
FAULTS = {
    "a config whose defaults are refused": (
        METHOD.format(
            field='parts: tuple[str, ...] = option(("query",), "parts")',
            check="def check(self):\n        raise ValueError('never right')",
            more="",
        ),
        "ValueError: never right",
    ),
    "an annotation that cannot be resolved": (
        METHOD.format(field="size: 'Nowhere' = option(1, 'size')", check="", more=""),
        "NameError: name 'Nowhere' is not defined",
    ),
    "a mean that no word is for": (
        METHOD.format(field='parts: tuple[str, ...] = ("query",)', check="", more="averages = 7"),
        "has `averages` 7",
    ),
    "a misspelt part of a family": (
        FAMILY.format(layers="h", parts='{"qeury": "q"}'),
        "has `qeury` in `parts`: did you mean `query`?",
    ),
    "a family without layers": (FAMILY.format(layers="", parts="{}"), "has no path for `layers`"),
    "a strategy whose rank is a word": (
        STRATEGY.format(rank='"first"', body="yield"),
        "has a `rank` that is no number",
    ),
    "a command without help": (COMMAND, "cannot be used: ValueError: no help"),
}
LATE = {
    "raises": ("return 1 / 0", "ZeroDivisionError"),
    "raises while it yields": ("yield from (1 / 0 for _ in 'x')", "ZeroDivisionError"),
    "proposes something else": ("yield 'stack(a, b)'", "it proposed a `str`, not a `Proposal`"),
    "recurses for ever": ("return self.propose(pool)", "RecursionError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_used_is_named_when_it_is_collected(
    fault: str, folder: Path, write: Write
) -> None:
    code, message = FAULTS[fault]
    write("broken", code)
    assert message in " ".join(failures(folder, "broken"))


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> ahl.Home:
    return copy_home(ROOT, tmp_path_factory.mktemp("isolation") / "home")


@pytest.fixture
def with_plugin(shared_home: ahl.Home) -> Callable[[str], ahl.Home]:
    """Write `plugins/broken.py` into the home and open that anew."""
    path = shared_home.path / "plugins" / "broken.py"

    def put(code: str) -> ahl.Home:
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, encoding="utf-8")
        return ahl.Home.find(shared_home.path)

    return put


@pytest.mark.parametrize("late", LATE)
def test_a_strategy_that_fails_is_left_out_and_named(
    late: str, with_plugin: Callable[[str], ahl.Home], shared_home: ahl.Home
) -> None:
    body, reason = LATE[late]
    expected = ahl.resolve("en", "gv", task="pos", home=shared_home)
    home = with_plugin(STRATEGY.format(rank=1, body=body))
    answer = ahl.resolve("en", "gv", task="pos", home=home)
    assert answer.composition == expected.composition
    (named,) = [warning for warning in answer.warnings if "`failing`" in warning]
    assert reason in named


def test_a_refusal_names_the_strategy_too(with_plugin: Callable[[str], ahl.Home]) -> None:
    home = with_plugin(STRATEGY.format(rank=1, body="return 1 / 0"))
    with pytest.raises(ahl.NoResolutionError) as caught:
        ahl.resolve("en", "sw", task="pos", dataset="none-such", base="e5-mmt-6", home=home)
    assert "`failing` failed and is left out: ZeroDivisionError" in caught.value.message


def test_commands_work_beside_what_fails_and_print_one_document(
    with_plugin: Callable[[str], ahl.Home],
) -> None:
    code, _ = FAULTS["a config whose defaults are refused"]
    home = with_plugin("print('hello from a plugin')\n" + code)
    for words in (["methods"], ["plugins"], ["resolve", "en", "gv", "--task", "pos"]):
        done = subprocess.run(
            [sys.executable, "-m", "adapterhub_lite", "--home", str(home.path), *words, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        if words == ["plugins"]:
            (entry,) = [plugin for plugin in document if plugin["name"] == "broken"]
            assert "never right" in " ".join(entry["problems"])


@pytest.mark.parametrize(
    "content",
    [
        "__version__ = " + "-" * 200_000 + "1\n",
        "__version__ = " + "+".join(["1"] * 50_000) + "\n",
        "__version__ = " + "(" * 100_000 + "\n",
        "__version__ = '1\n",
        "\x00__version__ = '1'\n",
    ],
    ids=["signs", "a sum", "brackets", "an open string", "zero bytes"],
)
def test_the_version_of_an_untrusted_file_is_read_and_never_parsed(
    content: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.py"
    path.write_text(content, encoding="utf-8")
    assert plugin_sources.stated_version(path).startswith(("unknown", "sha256:"))


def test_a_stated_version_is_read_as_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text('"""About\n__version__ = "9"\n"""\n__version__: str = "0.2"  # ours\n')
    assert plugin_sources.stated_version(path) == "0.2"
    path.write_text('if True:\n    __version__ = "3"\n')
    assert plugin_sources.stated_version(path).startswith("sha256:")
    assert plugin_sources.one_line("a\nb") == "a b"


def test_a_pipe_is_no_plugin_file(folder: Path, write: Write) -> None:
    write("fine", method="mine")
    os.mkfifo(folder / "pipe.py")
    plugins = load(folder, entry_points=False)
    assert "mine" in plugins.methods
    assert "pipe" not in plugins.infos

"""docs/write-a-plugin.md is true: its blocks are executed in order, in a home with a tiny base."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapterhub_lite import Home, plugins
from adapterhub_lite.cli import main
from adapterhub_lite.model.base import load_base
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import LanguageSettings, train_language
from tests.hub.server import Hub
from tests.plugins.conftest import Install
from tests.training.writing import write_tagged, write_text

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "write-a-plugin.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
FILES = {title: code for _, title, code in BLOCKS if title}
FAST = "xlm or (worked or written or config or help or importing)"
"""What runs of the kit here: one family, and the checks that need none."""


FAROESE = ["Børnini", "lesa", "gamlar", "bøkur", "."]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home as the guide starts from, found from the working directory."""
    path = tmp_path / "home"
    base = load_base(save_tiny_base(path / "bases" / "tiny", "xlm-roberta", words=FAROESE))
    home = Home.init(path)
    home.registry.add_base(base.identity, "bases/tiny")
    settings = LanguageSettings(steps=2, batch_size=2, block=20)
    for tag, low in (("en", 5), ("fo", 40)):
        text = write_text(path / f"{tag}.txt", random.Random(low), low=low, high=low + 45)
        train_language(tag, text, base=base, home=home, settings=settings, quiet=True)
    write_tagged(path / "train.tsv", random.Random(3), sentences=40)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AHL_HOME", raising=False)
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on this machine, which commands take for the Hub."""
    with Hub() as server:
        server.account("hf_anna", "anna", orgs=("lab",))
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_TOKEN", "hf_anna")
        yield server


def test_every_block_of_the_guide_runs(home: Path, hub: Hub) -> None:
    for language, title, code in BLOCKS:
        if title:
            path = home / title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
        elif language == "console":
            for part in code.split("$ ")[1:]:
                command, _, expected = part.partition("\n")
                run(command, [x for x in expected.splitlines() if x not in ("", "...")])
        elif language == "python":
            exec(compile(code, "write-a-plugin.md", "exec"), {})
        else:
            assert language == "toml", f"no test executes blocks of {language}"
    adapter = Home.find().registry.get("pos-bitfit").manifest
    assert adapter.provider.plugin == "bitfit"
    assert [under.languages[0].tag for under in adapter.trained_over] == ["en"]
    assert "adapter.json" in hub.files("lab/pos-bitfit")
    assert Home.find().registry.get("pos-bitfit-again").manifest == adapter


def run(command: str, expected: list[str]) -> None:
    """Run a line of the guide; it fails where an error is what the guide shows."""
    program, *words = shlex.split(command)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if program == "ahl" and words[0] not in ("push", "pull"):
        result = CliRunner().invoke(main, words)
        code, output = result.exit_code, result.output
    else:
        line = {  # the Hub's client reads where the Hub is when it is imported
            "ahl": [sys.executable, "-m", "adapterhub_lite", *words],
            "python": [sys.executable, *words, "-q", "-k", FAST],
        }.get(program, [program, *words])
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
        code, output = done.returncode, done.stdout + done.stderr
    assert (code != 0) == any(x.startswith("error:") for x in expected), f"{command}\n{output}"
    shown = output.splitlines()
    for line_expected in expected:
        assert any(x.startswith(line_expected) for x in shown), f"{command}\n{output}"


def test_without_the_plugin_the_resolver_says_what_is_missing(home: Path) -> None:
    plugin = home / "plugins" / "bitfit.py"
    plugin.parent.mkdir()
    plugin.write_text(FILES["plugins/bitfit.py"], encoding="utf-8")
    ask = ["--home", str(home), "resolve", "en", "fo", "--task", "pos"]
    train = "train task pos --train train.tsv --source en --over en --method bitfit --steps 2"
    assert CliRunner().invoke(main, ["--home", str(home), *train.split()]).exit_code == 0
    found = CliRunner().invoke(main, ask)
    assert found.exit_code == 0, found.output
    assert "mad-x" in found.output
    plugin.unlink()
    refused = CliRunner().invoke(main, ask)
    assert refused.exit_code == 3, refused.output
    assert "no plugin provides method `bitfit`" in refused.output


def test_the_plugin_is_short() -> None:
    assert len(FILES["plugins/bitfit.py"].splitlines()) <= 40


def test_the_entry_point_of_the_guide_is_found(install: Install) -> None:
    (toml,) = (code for language, _, code in BLOCKS if language == "toml")
    points = tomllib.loads(toml)["project"]["entry-points"]["adapterhub_lite"]
    assert points == {"bitfit": "bitfit"}
    install("bitfit", FILES["plugins/bitfit.py"], version="0.1")
    assert plugins.load().provider("bitfit").version == "0.1"


def test_the_guide_names_every_hook_and_class_attribute_right() -> None:
    from adapterhub_lite.methods.base import Method

    table = PAGE.partition("## When one formula is not enough")[2].partition("##")[0]
    names = re.findall(
        r"`(\w+)`", "\n".join(row.split("|")[2] for row in table.splitlines() if "|" in row)
    )
    known = {*dir(Method), "SiteMethod", "Method", "transform", "attention"}
    assert set(names) <= known

"""docs/data.md is true: its blocks run on a copy of the repository's home."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from adapterhub_lite.cli import main
from adapterhub_lite.cli.data import FORMATS as OFFERED
from adapterhub_lite.cli.data import LONG
from adapterhub_lite.tasks.formats import FORMATS
from adapterhub_lite.testing.homes import copy_home

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MANX = "# sent_id = m1\n" + "".join(
    f"{n}\t{word}\t_\t_\t_\t_\t_\t_\t_\t_\n"
    for n, word in enumerate(["Ta", "ny", "paitchyn", "lhaih", "."], 1)
)


def test_every_block_runs(tmp_path: Path) -> None:
    home = copy_home(ROOT, tmp_path / "home")
    code = "\n".join(text for language, text in BLOCKS if language == "python")
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=home.path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith("a gv [('Ta', ")
    assert second.startswith("b fo [('Hun', ")
    (tmp_path / "manx.conllu").write_text(MANX + "\n", encoding="utf-8")
    for line in "".join(text for language, text in BLOCKS if language == "console").splitlines():
        words = shlex.split(line.removeprefix("$ ahl "))
        paths = [str(tmp_path / word) if word.endswith(".conllu") else word for word in words]
        called = CliRunner().invoke(main, ["--home", str(home.path), *paths])
        assert called.exit_code == 0, called.output
    tagged = (tmp_path / "tagged.conllu").read_text(encoding="utf-8").split("\n")
    assert [line.split("\t")[1] for line in tagged[1:6]] == ["Ta", "ny", "paitchyn", "lhaih", "."]
    assert "PUNCT" in tagged[5]


def test_the_page_and_the_help_name_every_format() -> None:
    assert OFFERED == FORMATS
    assert f"`--format {'|'.join(FORMATS)}`" in PAGE
    assert all(way == "cut" or f"`--long {way}`" in PAGE for way in LONG)

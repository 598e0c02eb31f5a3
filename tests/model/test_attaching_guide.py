"""docs/attaching.md is true: its blocks run in order, on a copy of the repository's home."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from adapterhub_lite.testing.homes import copy_home

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "attaching.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_block_runs(tmp_path: Path) -> None:
    assert {language for language, _ in BLOCKS} == {"python"}
    home = copy_home(ROOT, tmp_path / "home")
    code = "\n".join(text for _, text in BLOCKS)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=home.path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "('paitchyn', " in result.stdout
    assert "gv-mine@" in result.stdout
    assert result.stdout.rstrip().endswith("gv")
    assert home.registry.get("pos-mine").manifest.head is not None

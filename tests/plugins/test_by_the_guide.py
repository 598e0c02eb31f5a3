"""A method that is nowhere in the tree, written after the guide: the guide is enough.

He et al. 2022, https://arxiv.org/abs/2110.04366: the scaled parallel adapter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from adapterhub_lite import Home
from adapterhub_lite.cli import main
from tests.plugins.test_guide import ROOT
from tests.plugins.test_guide import home as home  # noqa: PLC0414 - a fixture

PLUGIN = '''"""Scaled parallel adapter: a bottleneck beside the feed-forward block, scaled by s.

He et al. 2022, https://arxiv.org/abs/2110.04366, table 1: h + s ReLU(x W_down) W_up
"""

from dataclasses import dataclass

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import MethodConfig, SiteMethod
from adapterhub_lite.methods.config import option

AHL_HOOKS = 1
__version__ = "0.1"


@dataclass(frozen=True)
class ScaledParallelConfig(MethodConfig):
    size: int = option(8, "size of the bottleneck")
    s: float = option(4.0, "scale of what it adds")
    parts: tuple[str, ...] = option(("ffn_block",), "blocks that it stands beside")


class ScaledParallel(SiteMethod):
    name = "scaled-parallel"
    Config = ScaledParallelConfig

    def init(self, site, config):
        import torch

        down = torch.randn(site.width, config.size) * 0.02
        return {"down": down, "up": torch.zeros(config.size, site.width)}

    def transform(self, site, config, weights, x, y):
        return y + config.s * (x @ weights["down"]).relu() @ weights["up"]


@hookimpl
def ahl_methods():
    return [ScaledParallel()]
'''
KIT = """from pathlib import Path

from adapterhub_lite.testing import MethodSuite, load_method


class TestScaledParallel(MethodSuite):
    method = load_method(Path(__file__).resolve().parent.parent / "scaled_parallel.py")

    def expected_block(self, x, y, normed, own):
        inner = (x @ own["down"]).clamp(min=0)
        return y + 4 * (inner @ own["up"])
"""


def ahl(home: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home), *words])


def put(home: Path) -> Path:
    plugin = home / "plugins" / "scaled_parallel.py"
    plugin.parent.mkdir(exist_ok=True)
    plugin.write_text(PLUGIN, encoding="utf-8")
    return plugin


def test_it_is_short_and_passes_the_whole_kit(tmp_path: Path) -> None:
    assert len(PLUGIN.splitlines()) <= 40
    put(tmp_path)
    test = tmp_path / "plugins" / "tests" / "test_scaled_parallel.py"
    test.parent.mkdir()
    test.write_text(KIT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_it_trains_resolves_predicts_and_is_missed(home: Path) -> None:
    plugin = put(home)
    train = "train task pos --train train.tsv --source en --over en --name scaled --steps 2"
    trained = ahl(home, *train.split(), "--method", "scaled-parallel", "--set", "s=2.0")
    assert trained.exit_code == 0, trained.output
    manifest = Home.find(home).registry.get("scaled").manifest
    assert manifest.config == {"size": 8, "s": 2.0, "parts": ["ffn_block"]}
    assert (manifest.provider.plugin, manifest.provider.version) == ("scaled_parallel", "0.1")
    (under,) = manifest.trained_over
    assert under.languages[0].tag == "en"
    resolved = ahl(home, "resolve", "en", "fo", "--task", "pos")
    assert resolved.exit_code == 0, resolved.output
    assert "stack(fo@" in resolved.output
    assert "scaled@" in resolved.output
    predicted = ahl(home, "predict", "en", "fo", "--task", "pos", "Børnini lesa bøkur.")
    assert predicted.exit_code == 0, predicted.output
    plugin.unlink()
    missed = ahl(home, "predict", "--composition", "stack(fo, scaled)", "Børnini lesa bøkur.")
    assert missed.exit_code == 1, missed.output
    assert "no plugin provides method `scaled-parallel`" in missed.output
    assert "install the plugin `scaled_parallel` (0.1)" in missed.output
    refused = ahl(home, "resolve", "en", "fo", "--task", "pos")
    assert refused.exit_code == 3, refused.output
    assert "no plugin provides method `scaled-parallel`" in refused.output

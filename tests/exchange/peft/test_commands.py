"""`ahl import` and `ahl export` on a folder that peft wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import peft
from click.testing import CliRunner

from adapterhub_lite.cli import main
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from tests.exchange.peft import peer
from tests.exchange.peft.conftest import register


def test_in_and_out_again(
    tmp_path: Path,
    base_folder: Callable[..., Path],
    loaded: Callable[[Path], Base],
    home: Home,
) -> None:
    base = base_folder("bert")
    register(home, loaded(base), base)
    config = peft.LoraConfig(task_type="TOKEN_CLS", target_modules=["query"])
    theirs = peer.save(tmp_path / "ner", base, "AutoModelForTokenClassification", config)
    start = ["--home", str(home.path)]
    name = ["--name", "ner", "--base", "bert", "--task", "ner"]
    bare = CliRunner().invoke(main, [*start, "import", str(theirs), *name])
    assert bare.exit_code == 2
    assert "does not say what kind of adapter it is" in bare.stderr
    more = ["--kind", "task", "--source", "en", "--labels", "O,PER"]
    done = CliRunner().invoke(main, [*start, "--json", "import", str(theirs), *name, *more])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["method"] == "lora"
    out = CliRunner().invoke(main, [*start, "export", "ner", str(tmp_path / "out"), "--to", "peft"])
    assert out.exit_code == 0, out.stderr
    assert out.stdout.split() == ["adapter_config.json", "adapter_model.safetensors"]
    assert "2 labels, in this order: O, PER" in out.stderr
    written = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert written["task_type"] == "TOKEN_CLS"
    assert written["modules_to_save"] == ["classifier"]

"""Nothing that comes with a base runs unasked, and no library asks on the standard input."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from adapterhub_lite import Home
from adapterhub_lite.cli import main
from adapterhub_lite.errors import BaseMismatchError, HomeError
from adapterhub_lite.model.base import load_base
from adapterhub_lite.testing.models import save_tiny_base

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("adapterhub_lite", "plugins", "starter", "demo", "benchmarks")
LOADERS = {"from_pretrained", "from_config", "pipeline"}
ANSWERS = "y\nyes\n1\nTa mee goll.\n"

CODE = """
import os
with open(os.path.join({folder!r}, "ran"), "a") as ran:
    ran.write("x")
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM
class OwnConfig(XLMRobertaConfig):
    pass
class OwnModel(XLMRobertaForMaskedLM):
    config_class = OwnConfig
"""


def calls(path: Path) -> Iterator[tuple[int, bool]]:
    """Yield line and whether the call says what may run, of every call that loads from a place."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in LOADERS:
                yield node.lineno, any(k.arg == "trust_remote_code" for k in node.keywords)


def test_every_call_that_loads_says_that_no_code_runs() -> None:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {
        f"{path.relative_to(ROOT)}:{line}": said for path in paths for line, said in calls(path)
    }
    assert len(found) >= 5, "the walk finds the calls that are there"
    options = "benchmarks/peer.py:"  # where it is among the options
    assert [place for place, said in found.items() if not said and options not in place] == []


def write_code(folder: Path) -> None:
    (folder / "own.py").write_text(CODE.format(folder=str(folder)))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def needs_config(folder: Path) -> None:
    change(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.OwnConfig"})


def needs_model(folder: Path) -> None:
    """A known config class, but a model that only the code has."""
    named = {"AutoModelForMaskedLM": "own.OwnModel"}
    change(folder / "config.json", model_type="dpr", auto_map=named)


def needs_tokenizer(folder: Path) -> None:
    """Everything is known but the tokenizer's class."""
    change(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.OwnConfig"})
    named = {"AutoTokenizer": ["own.OwnTokenizer", None]}
    change(folder / "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map=named)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = save_tiny_base(tmp_path / "stranger", "xlm-roberta")
    write_code(made)
    return made


@pytest.mark.parametrize("need", [needs_config, needs_model, needs_tokenizer])
@pytest.mark.parametrize("command", ["add", "import"])
def test_an_answer_on_the_standard_input_runs_nothing(
    folder: Path, tmp_path: Path, need: object, command: str
) -> None:
    assert callable(need)
    need(folder)
    Home.init(tmp_path / "home")
    arguments = ["add", str(folder), "--name", "b"]
    if command == "import":
        adapter = tmp_path / "adapter"
        adapter.mkdir()
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["query"]}
        config["base_model_name_or_path"] = str(folder)
        (adapter / "adapter_config.json").write_text(json.dumps(config))
        tensors = {"base_model.model.query.lora_A.weight": torch.zeros(2, 32)}
        save_file(tensors, adapter / "adapter_model.safetensors")
        said = ["--kind", "language", "--lang", "gv"]
        arguments = ["import", str(adapter), "--name", "b", *said]
    result = CliRunner().invoke(main, ["--home", str(tmp_path / "home"), *arguments], input=ANSWERS)
    assert result.exit_code == 1, result.output
    assert "needs Python code that comes with it (own.Own" in result.stderr
    assert result.stderr.count("error:") == 1
    assert "[y/N]" not in result.output
    assert not (folder / "ran").exists()


def test_a_pipe_keeps_its_lines(folder: Path, tmp_path: Path) -> None:
    needs_config(folder)
    Home.init(tmp_path / "home")
    command = [sys.executable, "-m", "adapterhub_lite", "--home", str(tmp_path / "home"), "add"]
    script = '"$@"; cat'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command, str(folder), "--name", "b"],
        input=ANSWERS,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf")},
    )
    assert done.stdout == ANSWERS, "every line is still there for the next command"
    assert "needs Python code" in done.stderr
    assert not (folder / "ran").exists()


def test_compiled_code_named_by_a_config_is_refused(folder: Path) -> None:
    change(folder / "config.json", attn_implementation="someone/attention")
    with pytest.raises(HomeError, match="asks for compiled code from `someone/attention`"):
        load_base(folder)


def test_a_base_that_is_an_adapter_does_not_load_another_base(folder: Path, tmp_path: Path) -> None:
    other = save_tiny_base(tmp_path / "other", "xlm-roberta", seed=1)
    config = {"peft_type": "LORA", "base_model_name_or_path": str(other)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(HomeError, match=r"is an adapter of peft") as caught:
        load_base(folder)
    assert "ahl import" in str(caught.value.hint)


def test_code_runs_for_who_says_so_and_is_part_of_the_base(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    named = {"AutoConfig": "own.OwnConfig", "AutoModelForMaskedLM": "own.OwnModel"}
    change(folder / "config.json", auto_map=named)
    home = Home.init(tmp_path / "home")
    added = ["--home", str(home.path), "add", str(folder), "--name", "own", "--trust-remote-code"]
    result = CliRunner().invoke(main, added)
    assert result.exit_code == 0, result.output
    assert "own.py" in home.registry.base("own").files
    assert (folder / "ran").exists()
    assert type(load_base("own", home=home).model).__name__ == "OwnModel"

    monkeypatch.chdir(home.path)
    monkeypatch.delenv("AHL_HOME", raising=False)
    with pytest.raises(HomeError, match="this home was found, not named"):
        load_base("own", home=Home.find())

    (folder / "ran").unlink()
    with (folder / "own.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(BaseMismatchError, match=r"its code changed: `own\.py`"):
        load_base("own", home=home)
    assert not (folder / "ran").exists()


def test_code_of_another_repository_never_runs(folder: Path) -> None:
    change(folder / "config.json", auto_map={"AutoConfig": "someone/code--own.OwnConfig"})
    with pytest.raises(HomeError, match="names code of another repository"):
        load_base(folder, trust_remote_code=True)


def test_the_word_is_for_bases_only(tmp_path: Path) -> None:
    Home.init(tmp_path / "home")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter.json").write_text("{}")
    arguments = ["add", str(tmp_path / "adapter"), "--name", "a", "--trust-remote-code"]
    result = CliRunner().invoke(main, ["--home", str(tmp_path / "home"), *arguments])
    assert result.exit_code == 2
    assert "is for base models" in result.stderr

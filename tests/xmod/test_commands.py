"""From a base with language modules to labels, by commands alone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from adapterhub_lite import Home
from adapterhub_lite.cli import main
from adapterhub_lite.model.base import load_base
from adapterhub_lite.testing.models import save_tiny_base

SHORT = ("--steps", "3", "--batch-size", "4", "--quiet")


def call(home: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--home", str(home), *arguments])
    assert result.exit_code == code, result.output
    return result


def as_json(home: Path, *arguments: str) -> Any:
    return json.loads(call(home, *arguments, "--json").stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a base of three languages and a task adapter over the module for English."""
    home = Home.init(tmp_path_factory.mktemp("commands") / "home").path
    save_tiny_base(home / "bases" / "tiny", "xmod", default_language=None)
    draw = random.Random(0)
    tagged = ((f"w{n}", "NOUN" if n % 2 else "VERB") for n in draw.choices(range(5, 50), k=60))
    rows = [f"{word}\t{tag}\n" + "\n" * (i % 6 == 5) for i, (word, tag) in enumerate(tagged)]
    (home / "pos.tsv").write_text("".join(rows), encoding="utf-8")
    lines = (" ".join(f"w{n}" for n in draw.choices(range(50, 95), k=12)) for _ in range(40))
    (home / "fo.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    added = call(home, "add", str(home / "bases" / "tiny"), "--name", "tiny")
    assert "3 language modules" in added.stderr
    train(home, "--over", "tiny-en")
    return home


def train(home: Path, *more: str, code: int = 0) -> Result:
    task = ("train", "task", "pos", "--train", str(home / "pos.tsv"), "--source", "en")
    return call(home, *task, *SHORT, *more, code=code)


def test_the_modules_are_listed_and_shown(home: Path) -> None:
    listed = as_json(home, "list", "--kind", "language", "--base", "tiny")
    assert {"tiny-en", "tiny-gv", "tiny-sw"} <= {adapter["name"] for adapter in listed}
    (base,) = as_json(home, "list", "--bases")
    assert base["modules"] == ["en", "gv", "sw"]
    assert "\txmod (3 language modules)\t" in call(home, "list", "--bases").stdout
    assert "\tin the base\n" in call(home, "list", "--lang", "sw").stdout
    assert "part of the base" in call(home, "show", "tiny-sw").stdout


def test_a_task_adapter_is_trained_over_the_module(home: Path) -> None:
    manifest = as_json(home, "show", "pos-en-over-tiny-en")["manifest"]
    (under,) = manifest["trained_over"]
    assert under["digest"] == as_json(home, "show", "tiny-en")["digest"]
    assert manifest["method"] == "bottleneck"


def test_the_answer_is_the_module_of_the_target(home: Path) -> None:
    answer = as_json(home, "resolve", "en", "sw", "--task", "pos")
    assert answer["strategy"] == "built-in"
    refs = [choice["ref"].partition("@")[0] for choice in answer["choices"]]
    assert refs == ["tiny-sw", "pos-en-over-tiny-en"]


def test_labels_are_those_of_the_written_composition(home: Path) -> None:
    (item,) = as_json(home, "predict", "en", "sw", "w5 w6 w7", "--task", "pos")
    plan = "stack(tiny-sw, pos-en-over-tiny-en)"
    (written,) = as_json(home, "predict", "--composition", plan, "w5 w6 w7")
    other = "stack(tiny-gv, pos-en-over-tiny-en)"
    (wrong,) = as_json(home, "predict", "--composition", other, "w5 w6 w7")
    assert item["probabilities"] == pytest.approx(written["probabilities"], abs=2e-4)
    assert item["probabilities"] != pytest.approx(wrong["probabilities"], abs=2e-4)


def test_a_batch_of_several_languages(home: Path) -> None:
    both = as_json(home, "predict", "en", "sw,en", "w5 w6", "w5 w6", "--task", "pos")
    for item in both:
        (alone,) = as_json(home, "predict", "en", item["language"], "w5 w6", "--task", "pos")
        assert item["probabilities"] == pytest.approx(alone["probabilities"], abs=2e-4)


def test_without_default_language_training_says_what_is_needed(home: Path) -> None:
    result = train(home, "--name", "alone", code=1)
    assert "no default language" in result.stderr
    assert "ahl list --kind language" in result.stderr


def test_a_language_that_the_base_lacks_gets_a_module_later(home: Path) -> None:
    assert as_json(home, "resolve", "en", "fo", "--task", "pos")["strategy"] == "average"
    command = as_json(home, "resolve", "en", "fo", "--task", "pos")["missing"][0]["commands"][0]
    assert command.endswith("--method xmod")
    words = command.replace("FILE", str(home / "fo.txt")).split()[1:]
    call(home, *words, *SHORT, "--setting", "block=16")
    answer = as_json(home, "resolve", "en", "fo", "--task", "pos")
    assert answer["strategy"] == "mad-x"
    call(home, "predict", "en", "fo", "w5 w6", "--task", "pos")
    before = load_base(home / "bases" / "tiny").model.state_dict()
    again = load_base(home / "bases" / "tiny").model.state_dict()
    assert all(torch.equal(before[key], again[key]) for key in before)


def test_several_modules_in_turn(home: Path) -> None:
    train(home, "--over", "tiny-en", "--over", "tiny-gv", "--method", "lora", "--name", "ready")
    answer = as_json(home, "resolve", "en", "gv", "--task", "pos", "--method", "lora")
    assert answer["strategy"] == "target-ready"


def test_a_base_of_the_hub_is_added_by_its_id(tmp_path: Path) -> None:
    """From the Hub client's own cache, in its layout, without a network."""
    revision = "0" * 40
    cached = tmp_path / "hf" / "hub" / "models--org--tiny"
    save_tiny_base(cached / "snapshots" / revision, "xmod")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(revision)
    home = Home.init(tmp_path / "home").path
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}

    def ahl(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "adapterhub_lite", "--home", str(home), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    added = ahl("add", "org/tiny", "--hub", "--name", "tiny")
    assert added.returncode == 0, added.stderr
    (base,) = as_json(home, "list", "--bases")
    assert (base["location"], base["modules"]) == ("org/tiny", ["en", "gv", "sw"])
    absent = ahl("add", "org/absent", "--hub", "--name", "absent")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert "cannot load a base model from `org/absent`" in absent.stderr


def test_a_base_has_no_alias(home: Path) -> None:
    words = ("add", str(home / "bases" / "tiny"), "--name", "other", "--alias", "x")
    assert "has no aliases" in call(home, *words, code=2).stderr


def test_the_home_is_sound(home: Path) -> None:
    call(home, "verify")

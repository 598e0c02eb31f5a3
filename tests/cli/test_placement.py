"""`--device` and `--dtype`: wherever a base is loaded, and one clear error for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

import adapterhub_lite
from adapterhub_lite.cli import main
from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.placement import devices
from tests.cli.test_help import ALL

ROOT = Path(__file__).resolve().parents[2]
LOADS = {"attach", "predict", "evaluate", "train language", "train bilingual", "train task"}
BASE, STACK, TEXT = "e5-mmt-6", "stack(gv, pos-en)", "Ta ny paitchyn lhaih shenn lioaryn."


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(ROOT), *words])


def test_every_command_that_loads_a_base_has_both() -> None:
    having = {
        " ".join(path)
        for path, command in ALL
        if {"--device", "--dtype"} <= {option for p in command.params for option in p.opts}
    }
    assert having == LOADS


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_predict_runs_the_base_as_the_options_say(dtype: str) -> None:
    """As with a base that the Python API loaded so; the next command is as ever."""
    words = ("predict", "--composition", STACK, TEXT, "--json")
    base = adapterhub_lite.load_base(BASE, home=ROOT, dtype=dtype, device="cpu")
    assert base.model.dtype == getattr(torch, dtype)
    expected = adapterhub_lite.predict([TEXT], composition=STACK, base=base, home=ROOT)
    options = ("--dtype", dtype, "--device", "cpu")
    values, plain = (json.loads(call(*words, *more).stdout) for more in (options, ()))
    assert values[0]["probabilities"] == expected[0].to_json()["probabilities"]
    assert values[0]["labels"] == plain[0]["labels"]
    assert values[0]["probabilities"] != plain[0]["probabilities"]


def test_dtypes_and_devices_of_torch_are_taken() -> None:
    base = adapterhub_lite.load_base(
        BASE, home=str(ROOT), dtype=torch.bfloat16, device=torch.device("cpu")
    )
    assert base.model.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "cuda:x", ""])
@pytest.mark.parametrize("command", ["attach", "predict --composition"])
def test_a_device_that_is_not_here_is_one_error(name: str, command: str) -> None:
    text = [TEXT] if "predict" in command else []
    result = call(*command.split(), STACK, *text, "--device", name)
    assert result.exit_code == 1
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert f"`{name}`" in error
    assert all(f"`{device}`" in hint for device in devices())


@pytest.mark.parametrize(
    "arguments", [{"dtype": "float64"}, {"dtype": "int8"}, {"dtype": torch.int8}, {"device": "tpu"}]
)
def test_what_bases_are_not_loaded_as_is_one_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(AttachError) as caught:
        adapterhub_lite.load_base(BASE, home=ROOT, **arguments)
    assert caught.value.hint

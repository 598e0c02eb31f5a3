"""What the library loads without a word, or what has no exact form here, is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from adapterhub_lite.cli import main
from adapterhub_lite.errors import AhlError, ExchangeError, WeightsError
from tests.exchange.adapterhub.conftest import LANGUAGE, TASK, Place

ONLY_LORA = {"r": 8, "alpha": 8}
Change = Callable[[Path], object]


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A folder with a Pfeiffer adapter for the tiny XLM-R, as the real library saved it."""
    return Path(shutil.copytree(saved / "xlm-roberta-seq" / "a", tmp_path / "folder"))


def config(folder: Path, inner: dict[str, Any] | None = None, **outer: Any) -> None:
    path = folder / "adapter_config.json"
    found = json.loads(path.read_text())
    if inner and "r" in inner:  # options of another method
        found["config"] = {}
    found["config"] |= inner or {}
    path.write_text(json.dumps({**found, **outer}))


def tensors(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "adapter.safetensors"
    found = load_file(path)
    change(found)
    save_file(found, path)


DOWN = "roberta.encoder.layer.1.output.adapters.a.adapter_down.0.weight"


def without(part: str) -> Change:
    def change(found: dict[str, Any]) -> None:
        for key in [key for key in found if part in key]:
            del found[key]

    return lambda folder: tensors(folder, change)


def more(found: dict[str, Any]) -> None:
    for key in [key for key in found if ".layer.2." in key]:
        found[key.replace(".layer.2.", ".layer.3.")] = found[key].clone()


DEFECTS: dict[str, tuple[Change, str]] = {
    "another family": (lambda f: config(f, model_type="bert"), "is for a `bert` model"),
    "another width": (lambda f: config(f, hidden_size=64), "a model of width 64"),
    "too few layers": (without(".layer.2."), "lacks tensor `encoder.layer.2.output.adapters."),
    "too many layers": (lambda f: tensors(f, more), r"has `encoder.layer.3.output.adapters."),
    "a lost tensor": (without(DOWN), "lacks tensor `encoder.layer.1.output.adapters.adapter_down"),
    "another name": (lambda f: config(f, name="b"), "which is not of the adapter `b`"),
    "no name": (lambda f: config(f, name=None), "does not name the adapter"),
    "a stranger's tensor": (
        lambda f: tensors(f, lambda t: t.update({"roberta.pooler.dense.weight": t[DOWN].clone()})),
        "has tensor `roberta.pooler.dense.weight`",
    ),
    "an inverse that is not there": (
        lambda f: config(f, {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}),
        "lacks tensor `invertible_adapters.F.0.weight`",
    ),
    "layers to leave out that have tensors": (
        lambda f: config(f, {"leave_out": [0]}),
        "has `encoder.layer.0.output.adapters.adapter_down.0.bias`",
    ),
    "an unknown activation": (
        lambda f: config(f, {"non_linearity": "gellu"}),
        "`non_linearity` is `gellu`",
    ),
    "an unknown option": (lambda f: config(f, {"magic": 1}), "config has `magic`"),
    "no layer norm after": (
        lambda f: config(f, {"original_ln_after": False}),
        "`original_ln_after` is false",
    ),
    "a gate": (lambda f: config(f, {"use_gating": True}), "`use_gating` is true"),
    "glow": (lambda f: config(f, {"inv_adapter": "glow"}), "`inv_adapter_reduction_factor`"),
    "no block": (lambda f: config(f, {"output_adapter": False}), "neither `mh_adapter` nor"),
    "a text for a flag": (lambda f: config(f, {"ln_before": "no"}), "`ln_before` must be"),
    "a layer that is no number": (lambda f: config(f, {"leave_out": "all"}), "`leave_out`"),
    "a rank that is no number": (
        lambda f: config(f, {"architecture": "lora", "r": "8"}),
        "config `r` is `8`",
    ),
    "letters that are no letters": (
        lambda f: config(f, {"architecture": "lora", "r": 8, "attn_matrices": [{}]}),
        "`attn_matrices` is",
    ),
    "a scaling without end": (lambda f: config(f, {"scaling": float("inf")}), "scaling.*finite"),
    "a map without a layer": (
        lambda f: config(f, {"reduction_factor": {"0": 4}}),
        "no value for layer 1",
    ),
    "prompt tuning": (lambda f: config(f, {"architecture": "prompt_tuning"}), "`prompt_tuning`"),
    "reft": (lambda f: config(f, {"architecture": "reft"}), "`reft`"),
    "a union": (lambda f: config(f, {"architecture": "union"}), "`union`: several methods"),
    "a task's own": (lambda f: config(f, {"architecture": "mtl_lora"}), "`mtl_lora`"),
    "vera": (lambda f: config(f, {"architecture": "lora", "vera_d": 0.1}), "is VeRA as"),
    "dora on biases": (
        lambda f: config(f, {"architecture": "lora", "use_dora": True, **ONLY_LORA}),
        "rescales the bias of `query`",
    ),
    "dora with a scaling": (
        lambda f: config(f, {"architecture": "lora", "use_dora": True, **ONLY_LORA, "r": 4}),
        "`alpha` is 8 with `r` 4",
    ),
    "something new": (lambda f: config(f, {"architecture": "next"}), "nothing here reads"),
    "embeddings": (lambda f: (f / "embedding.pt").write_bytes(b""), "`embedding.pt`"),
    "a set-up": (
        lambda f: (f / "adapter_setup.json").write_text("{}"),
        "several adapters",
    ),
    "no weights": (lambda f: (f / "adapter.safetensors").unlink(), "has neither"),
    "broken weights": (
        lambda f: (f / "adapter.safetensors").write_bytes(b"\xff" * 64),
        "cannot read",
    ),
    "a config that is no object": (
        lambda f: (f / "adapter_config.json").write_text('{"config": 3, "name": "a"}'),
        "must be an object",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_folder_that_is_not_right_is_refused(name: str, folder: Path, place: Place) -> None:
    change, message = DEFECTS[name]
    change(folder)
    before = place.home.registry.count()
    with pytest.raises(ExchangeError, match=message):
        place.take(folder, "xlm-roberta")
    assert place.home.registry.count() == before


def test_a_tensor_of_another_shape_is_refused(folder: Path, place: Place) -> None:
    config(folder, {"reduction_factor": 8})
    with pytest.raises(WeightsError, match=r"ffn_block.0.down` has shape \(8, 32\)"):
        place.take(folder, "xlm-roberta")


def test_weights_that_are_no_numbers_are_refused(folder: Path, place: Place) -> None:
    tensors(folder, lambda found: found.update({DOWN: found[DOWN] * float("nan")}))
    with pytest.raises(WeightsError, match=r"ffn_block.1.down` holds NaN"):
        place.take(folder, "xlm-roberta")


LM = {"head_type": "masked_lm", "layers": 2, "activation_function": "gelu"}
HEADS: dict[str, tuple[dict[str, Any], str]] = {
    "a vocabulary": ({"config": LM}, "whole output layer"),
    "the pooler": (
        {"config": {"head_type": "classification", "layers": 1, "use_pooler": True}},
        "reads the base's pooler",
    ),
    "several labels": ({"config": {"head_type": "multilabel_classification"}}, "multilabel"),
    "BERT's own": (
        {"config": None, "model_class": "BertForSequenceClassification"},
        "no form here",
    ),
    "the last token": (
        {"config": {"head_type": "classification"}, "model_class": "GPT2AdapterModel"},
        "of the last token",
    ),
    "a number": (
        {"config": {"head_type": "classification", "layers": 1, "num_labels": 1, "label2id": None}},
        "regression",
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_without_a_form_here_are_refused_and_can_be_left(
    name: str, folder: Path, place: Place
) -> None:
    head, message = HEADS[name]
    (folder / "head_config.json").write_text(json.dumps({"name": "a", **head}))
    save_file(load_file(folder / "adapter.safetensors"), folder / "model_head.safetensors")
    with pytest.raises(ExchangeError, match=message):
        place.take(folder, "xlm-roberta", TASK)
    assert place.take(folder, "xlm-roberta", with_head=False).manifest.head is None


def test_labels_of_a_head_must_be_known_and_as_many(
    saved: Path, place: Place, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved / "xlm-roberta-tag" / "a", tmp_path / "f"))
    with pytest.raises(ExchangeError, match="has 5 labels, `--labels` names 2"):
        place.take(folder, "xlm-roberta", replace(TASK, labels=("A", "B")))
    head = json.loads((folder / "head_config.json").read_text())
    head["config"]["label2id"] = None
    (folder / "head_config.json").write_text(json.dumps(head))
    with pytest.raises(ExchangeError, match="does not name its 5 labels"):
        place.take(folder, "xlm-roberta", TASK)
    head["config"]["label2id"] = {"A": 0, "B": 2}
    (folder / "head_config.json").write_text(json.dumps(head))
    with pytest.raises(ExchangeError, match="does not number the labels"):
        place.take(folder, "xlm-roberta", TASK)


def test_a_prefix_on_learned_positions_is_refused(
    saved: Path, place: Place, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved / "bert-prefix-flat" / "a", tmp_path / "f"))
    config(folder, model_type="gpt2")
    with pytest.raises(AhlError, match=r"positions are learned"):
        place.take(folder, "gpt2")


def test_pickles_come_in_only_when_asked_for(saved: Path, place: Place) -> None:
    folder = saved / "bert-prefix" / "a"
    arguments = ["--home", str(place.home.path), "import", str(folder), "--name", "pickled"]
    arguments += ["--kind", "language", "--lang", "sw", "--base", "tiny-bert"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 1
    assert "is a pickle" in refused.stderr
    assert "--allow-pickle" in refused.stderr
    done = CliRunner().invoke(main, [*arguments, "--allow-pickle"])
    assert done.exit_code == 0, done.output
    stored = place.home.folder_of(place.home.registry.get("pickled"))
    assert {file.suffix for file in stored.iterdir()} == {".json", ".safetensors"}


def test_export_on_the_command_line(place: Place, saved: Path, tmp_path: Path) -> None:
    adapter = place.take(saved / "bert-seq" / "a", "bert", LANGUAGE)
    arguments = ["--home", str(place.home.path), "export", adapter.ref, str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*arguments, "--to", "adapterhub", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["format"] == "adapterhub"
    again = CliRunner().invoke(main, [*arguments, "--to", "adapterhub"])
    assert "is not empty" in again.stderr

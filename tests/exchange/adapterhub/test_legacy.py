"""Folders as the first versions wrote them, by hand from what the library saves today.

What was renamed since (containers, activations, nested configs) is renamed back; outputs must be
those that the real library computed with the same weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite.adapter import Kind
from adapterhub_lite.errors import ExchangeError, UsageError
from adapterhub_lite.exchange import Details, import_folder
from tests.exchange.adapterhub.conftest import CLOSE, LANGUAGE, Place, batch, outputs

REAL = batch()["attention_mask"].bool()
KEPT = (
    "adapter_residual_before_ln",
    "ln_after",
    "ln_before",
    "mh_adapter",
    "original_ln_after",
    "original_ln_before",
    "output_adapter",
    "reduction_factor",
    "residual_before_ln",
)
OLD_NAMES = {"gelu": "gelu_orig", "gelu_new": "gelu"}


def age(saved: Path, case: str, to: Path, kind: str, **outer: Any) -> Path:
    """Write a saved adapter as version 1 did: `kind` is `lang` or `task`."""
    source = saved / case / "a"
    config = json.loads((source / "adapter_config.json").read_text())
    inner = config["config"]
    name = inner["non_linearity"]
    old = {key: inner[key] for key in KEPT}
    old["non_linearity"] = OLD_NAMES.get(name, name)
    old["invertible_adapter"] = {
        "block_type": "nice",
        "non_linearity": old["non_linearity"],
        "reduction_factor": 2,
    }
    old |= {"attention_type": "sent-lvl-dynamic", "new_attention_norm": False}
    config = {
        "config": old,
        "config_id": "9076f36a74755ac4",
        "hidden_size": config["hidden_size"],
        "model_class": "BertModel",
        "model_name": "tiny-bert",
        "model_type": "bert",
        "name": "tr",
        "type": f"text_{kind}",
        **outer,
    }
    tensors = {}
    for key, tensor in load_file(source / "adapter.safetensors").items():
        new = key.replace("invertible_adapters.a.", "invertible_lang_adapters.tr.")
        new = new.replace(
            "attention.output.adapters.a.", f"attention.output.attention_text_{kind}_adapters.tr."
        )
        tensors[new.replace(".output.adapters.a.", f".output.layer_text_{kind}_adapters.tr.")] = (
            tensor
        )
    to.mkdir(parents=True)
    (to / "adapter_config.json").write_text(json.dumps(config))
    torch.save(tensors, to / "pytorch_adapter.bin", _use_new_zipfile_serialization=False)
    for stray in ("._adapter_config.json", "._pytorch_adapter.bin"):
        (to / stray).write_bytes(b"\x00\x05\x16\x07")
    return to


@pytest.mark.parametrize(
    ("case", "kind"),
    [("bert-inverse", "lang"), ("bert-seq", "task"), ("bert-double", "task")],
)
def test_a_folder_of_version_1(
    case: str, kind: str, place: Place, saved: Path, tmp_path: Path
) -> None:
    adapter = place.take(age(saved, case, tmp_path / "old", kind), "bert")
    assert adapter.manifest.config["invertible"] is (kind == "lang")
    found = place.hidden("bert", adapter.ref, batch())
    torch.testing.assert_close(
        found[REAL], outputs(saved, case)["hidden"][REAL], atol=CLOSE, rtol=0
    )


def test_gelu_without_a_version_is_the_tanh_form(place: Place, saved: Path, tmp_path: Path) -> None:
    old = age(saved, "bert-inverse", tmp_path / "old", "lang")
    config = json.loads((old / "adapter_config.json").read_text())
    config["config"]["non_linearity"] = "gelu"
    config["config"]["invertible_adapter"]["non_linearity"] = "gelu"
    (old / "adapter_config.json").write_text(json.dumps(config))
    assert place.take(old, "bert").manifest.config["activation"] == "gelu_new"
    (old / "adapter_config.json").write_text(json.dumps({**config, "version": "2.0.0"}))
    assert place.take(old, "bert").manifest.config["activation"] == "gelu"


def test_the_base_is_the_one_that_the_config_names(
    place: Place, saved: Path, tmp_path: Path
) -> None:
    old = age(saved, "bert-seq", tmp_path / "old", "task")
    adapter = place.take(old, "bert", base=None)
    assert adapter.manifest.base == place.bases["bert"].identity
    elsewhere = age(saved, "bert-seq", tmp_path / "path", "task", model_name="/models/mbert")
    with pytest.raises(UsageError, match="does not say which base"):
        place.take(elsewhere, "bert", base=None)


CARD = """---
tags:
- bert
- adapter-transformers
- adapterhub:tr/wiki
language:
- tr
license: apache-2.0
datasets:
- wikipedia
---
# Adapter
"""


def test_the_card_says_what_the_config_does_not(place: Place, saved: Path, tmp_path: Path) -> None:
    old = age(saved, "bert-inverse", tmp_path / "old", "lang")
    (old / "README.md").write_text(CARD)
    manifest = place.take(old, "bert", Details()).manifest
    assert (manifest.kind, manifest.tags()) == (Kind.LANGUAGE, ("tr",))
    assert (manifest.dataset, manifest.licence) == ("wikipedia", "apache-2.0")
    (old / "README.md").write_text(CARD.replace("tr/wiki", "nli/multinli"))
    manifest = place.take(old, "bert", Details()).manifest
    assert (manifest.kind, manifest.task, manifest.tags()) == (Kind.TASK, "nli", ("tr",))
    said = place.take(old, "bert", LANGUAGE).manifest
    assert (said.kind, said.tags()) == (Kind.LANGUAGE, ("sw",))
    (old / "README.md").write_text("---\n- [broken\n---\n")
    with pytest.raises(UsageError, match="what kind of adapter"):
        place.take(old, "bert", Details())


@pytest.mark.parametrize(
    ("version", "alpha"), [("adapters.1.0.1", 6.0), ("adapters.1.1.0", 3.0), (None, 3.0)]
)
def test_lora_of_versions_that_scaled_by_one(
    version: str | None, alpha: float, place: Place, saved: Path, tmp_path: Path
) -> None:
    """Rank 6 and alpha 3: 1.0.x trained with a factor of 1, so alpha was 6 in effect."""
    folder = tmp_path / "lora"
    shutil.copytree(saved / "xlm-roberta-lora-alpha" / "a", folder)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text()) | {"version": version}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    adapter, notes = import_folder(
        folder,
        home=place.home,
        name=f"lora-{version}",
        details=LANGUAGE,
        base="tiny-xlm-roberta",
    )
    assert adapter.manifest.config["alpha"] == alpha
    assert any("scaling of 1" in note for note in notes) is (alpha == 6.0)


def test_a_config_may_be_a_name(place: Place, saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    shutil.copytree(saved / "bert-seq" / "a", folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "config": "pfeiffer"}))
    wide = load_file(folder / "adapter.safetensors")  # reduction 4; `pfeiffer` is 16
    narrow = {
        k: t[:2] if "down" in k else t[:, :2] if k.endswith("up.weight") else t
        for k, t in wide.items()
    }
    save_file({k: t.contiguous() for k, t in narrow.items()}, folder / "adapter.safetensors")
    assert place.take(folder, "bert").manifest.config["reduction"] == 16.0
    (folder / "adapter_config.json").write_text(json.dumps({**config, "config": "pfeifer"}))
    with pytest.raises(ExchangeError, match="no architecture `pfeifer`"):
        place.take(folder, "bert")

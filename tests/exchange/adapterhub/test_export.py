"""What we export, the real library's own loader takes as it stands, and computes what we do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from adapterhub_lite.adapter import Adapter, HeadSpec, Manifest
from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import export
from adapterhub_lite.tasks.heads import HeadShape
from adapterhub_lite.testing.adapters import random_adapter
from tests.exchange.adapterhub.cases import Case, cases
from tests.exchange.adapterhub.conftest import CLOSE, LANGUAGE, TASK, Peer, Place, batch, outputs

REAL = batch()["attention_mask"].bool()
AGAIN = [
    case
    for case in cases()
    if "fusion" not in case and "static" not in case.get("head", {}) and case["id"] != "llama-dora"
]
"""Cases that go out again after they came in."""

OWN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "own-pfeiffer": ("xlm-roberta", "bottleneck", {"reduction": 4.0, "activation": "gelu_new"}),
    "own-inverse": ("bert", "bottleneck", {"reduction": 2.0, "invertible": True}),
    "own-houlsby": (
        "distilbert",
        "bottleneck",
        {"placement": "houlsby", "activation": "silu", "reduction": 4.0},
    ),
    "own-parallel": ("llama", "bottleneck", {"placement": "parallel", "scale": 4.0}),
    "own-lora": ("llama", "lora", {"rank": 4, "alpha": 8.0, "parts": ["query", "key", "ffn_up"]}),
    "own-rslora": ("bert", "lora", {"rank": 4, "alpha": 8.0, "rank_stabilised": True}),
    "own-prefix": ("xlm-roberta", "prefix", {"length": 4}),
    "own-prefix-network": ("llama", "prefix", {"length": 4, "reparameterise": True, "inner": 6}),
    "own-ia3": ("bert", "ia3", {"outputs": ["key", "value", "ffn_up"], "inputs": []}),
    "own-compacter": ("roberta", "compacter", {"reduction": 4.0, "n": 2}),
}
"""Adapters that were never in the library: base, method, config."""


def make(place: Place, name: str, folder: Path, head: HeadSpec | None = None) -> Adapter:
    """Add a random adapter of our own to the home."""
    base, method, config = OWN[name]
    plugins = place.home.plugins()
    loaded = random_adapter(place.bases[base], plugins.method(method), config)
    details = TASK if head else LANGUAGE
    assert details.kind is not None
    if head is not None:
        tensors = plugins.task_type(head.type).init_head(head, place.bases[base].identity)
        loaded.weights |= {f"head.{key}": tensor for key, tensor in tensors.items()}
    manifest = Manifest(
        kind=details.kind,
        languages=details.languages,
        base=replace(place.bases[base].identity, name=f"tiny-{base}"),
        method=method,
        config=loaded.config.to_mapping(),
        provider=plugins.provider(method),
        task=details.task,
        head=head,
    )
    loaded.save(folder, manifest)
    return place.home.add(folder, name=folder.name)


@pytest.fixture(scope="module")
def exported(place: Place, saved: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Import and export all cases, and export our own; return what the library is to read."""
    root = tmp_path_factory.mktemp("exported")
    plan: list[Case] = []
    for number, case in enumerate(AGAIN):
        head = case.get("head", {})
        labels = () if "label2id" in head else tuple("abcde"[: head.get("num_labels", 0)])
        details = replace(TASK, labels=labels) if head else LANGUAGE
        folders = {}
        for name in case["adapters"]:
            adapter = place.take(saved / case["id"] / name, case["base"], details)
            folders[name] = str(root / case["id"] / name)
            export(adapter.ref, root / case["id"] / name, home=place.home, to="adapterhub")
        keys = ("id", "base", "setup", "head", "vocabulary", "headless")
        own = {key: case[key] for key in keys if key in case}
        plan.append({**own, "folders": folders, "safe": number % 2 == 0})
    for name, (base, _, _) in OWN.items():
        adapter = make(place, name, root / "own" / name)
        export(adapter.ref, root / name, home=place.home, to="adapterhub")
        plan.append({"id": name, "base": base, "setup": "a", "folders": {"a": str(root / name)}})
    return plan


@pytest.fixture(scope="module")
def reread(peer: Peer, exported: list[Case]) -> Path:
    """Return the outputs of the real library with our exports loaded."""
    return peer("read", exported)


def check(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for key, theirs_before in wanted.items():
        pair = (found[key], theirs_before)
        same_rows = pair[0].shape[:2] == REAL.shape
        ours, theirs = (tensor[REAL] if same_rows else tensor for tensor in pair)
        torch.testing.assert_close(ours, theirs, atol=CLOSE, rtol=0)


@pytest.mark.parametrize("case", AGAIN, ids=lambda case: str(case["id"]))
def test_the_library_computes_what_it_did_before(case: Case, saved: Path, reread: Path) -> None:
    check(outputs(reread, case["id"]), outputs(saved, case["id"]))


@pytest.mark.parametrize("name", OWN)
def test_the_library_computes_what_we_do(name: str, place: Place, reread: Path) -> None:
    base = OWN[name][0]
    ours = place.hidden(base, name, batch())
    assert (ours - place.plain(base))[REAL].abs().max() > 10 * CLOSE
    check({"hidden": ours}, outputs(reread, name))


def test_the_files_are_the_librarys(place: Place, tmp_path: Path) -> None:
    """Its default loader asks for the `.bin`; with `use_safetensors=True` the other is enough."""
    labels = HeadSpec("token-classification", ("A", "B"), HeadShape("first").to_config())
    adapter = make(place, "own-pfeiffer", tmp_path / "tagger", head=labels)
    done = export(adapter.ref, tmp_path / "out", home=place.home, to="adapterhub")
    assert done.files == (
        "adapter.safetensors",
        "adapter_config.json",
        "head_config.json",
        "model_head.safetensors",
        "pytorch_adapter.bin",
        "pytorch_model_head.bin",
    )
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["name"] == "ner"
    assert config["model_name"] == "tiny-xlm-roberta"
    assert config["version"] == "adapters.1.3.0"
    keys = set(load_file(tmp_path / "out" / "adapter.safetensors"))
    assert "roberta.encoder.layer.0.output.adapters.ner.adapter_down.0.weight" in keys
    same = torch.load(tmp_path / "out" / "pytorch_adapter.bin", weights_only=True)
    assert set(same) == keys


def test_what_the_library_cannot_say_is_refused(place: Place, tmp_path: Path) -> None:
    mean = HeadSpec("sequence-classification", ("A", "B"))
    adapter = make(place, "own-pfeiffer", tmp_path / "mean", head=mean)
    with pytest.raises(ExchangeError, match="mean over a text's tokens"):
        export(adapter.ref, tmp_path / "out", home=place.home, to="adapterhub")
    assert not (tmp_path / "out" / "adapter_config.json").exists()

"""Folders that we write: the real peft loads them and computes what we compute."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor

from adapterhub_lite.adapter import HeadSpec, Manifest
from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import export, import_folder
from adapterhub_lite.home import Home
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import HEAD
from adapterhub_lite.plugins import Plugins
from adapterhub_lite.testing.adapters import random_adapter
from adapterhub_lite.testing.kit import Batch
from tests.exchange.peft import peer
from tests.exchange.peft.conftest import (
    FAMILIES,
    HEADED,
    LANGUAGE,
    TASK,
    assert_same,
    register,
    run,
)

Folder = Callable[..., Path]
Loaded = Callable[[Path], Base]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("lora", {"rank": 3, "alpha": 5.0}),
    "lora, stable, bias, many parts": (
        "lora",
        {
            "rank": 3,
            "rank_stabilised": True,
            "bias": True,
            "parts": ["query", "key", "ffn_up", "ffn_down"],
        },
    ),
    "lora, single sites": (
        "lora",
        {
            "rank": 3,
            "sites": ["query.0", "value.0", "ffn_up.2"],
            "ranks": ["ffn_up.2=2"],
            "alphas": ["value.0=3"],
            "tokens": [7, 22],
        },
    ),
    "dora": ("dora", {"rank": 3, "parts": ["query", "key", "value", "ffn_down"]}),
    "ia3": ("ia3", {}),
    "vera": ("vera", {"rank": 5, "parts": ["attention_out"]}),
    "prefix": ("prefix", {"length": 4, "shift_positions": True}),
    "prefix of a network": (
        "prefix",
        {"length": 4, "shift_positions": True, "reparameterise": True, "inner": 6},
    ),
}


def keep(
    home: Home,
    base: Base,
    method: str,
    config: dict[str, Any],
    folder: Path,
    head: HeadSpec | None = None,
    leave_out: tuple[int, ...] = (),
) -> str:
    """Add an adapter with random weights to a home; return its ref."""
    plugins: Plugins = home.plugins()
    made = random_adapter(base, plugins.method(method), config, scale=0.2, leave_out=leave_out)
    details = LANGUAGE if head is None else TASK
    if head is not None:
        torch.manual_seed(11)
        weights = plugins.task_type(head.type).init_head(head, base.identity)
        made.weights |= {HEAD + k: torch.randn_like(t) * 0.3 for k, t in weights.items()}
    assert details.kind is not None
    manifest = Manifest(
        kind=details.kind,
        languages=details.languages,
        base=base.identity,
        method=method,
        config=made.config.to_mapping(),
        provider=plugins.provider(method),
        leave_out=leave_out,
        task=details.task,
        head=head,
    )
    made.save(folder, manifest)
    return home.add(folder, name="mine").ref


def known(home: Home, loaded: Loaded, folder: Path) -> Base:
    register(home, loaded(folder), folder)
    return loaded(folder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", CASES)
def test_language_adapters(
    tmp_path: Path,
    base_folder: Folder,
    home: Home,
    loaded: Loaded,
    batch: Batch,
    family: str,
    case: str,
) -> None:
    method, config = CASES[case]
    base = known(home, loaded, base_folder(family))
    ref = keep(home, base, method, config, tmp_path / "own")
    if "tokens" in config and family in ("llama", "gpt2", "qwen2"):
        config["tokens_tied"] = True
        ref = keep(home, base, method, config, tmp_path / "tied")
        del config["tokens_tied"]
    written = export(ref, tmp_path / "out", home=home, to="peft")
    assert set(written.files) == {"adapter_config.json", "adapter_model.safetensors"}
    folder = base_folder(family)
    encoder = family in ("xlm-roberta", "bert")
    if method == "prefix" and encoder:
        expected = peer.outputs(tmp_path / "out", folder, "AutoModel", batch)
        with torch.no_grad(), attach(base, ref, home=home):
            found = base.trunk(**batch).last_hidden_state
    else:
        expected = peer.outputs(tmp_path / "out", folder, HEADED[family], batch)
        found = run(home, base, ref, batch)
    if "tokens" in config and encoder:  # compare hidden states: peft would tie the output as well
        expected, found = _hidden(tmp_path / "out", folder, base, ref, home, batch)
    assert_same(found, expected, batch)


def _hidden(
    out: Path, folder: Path, base: Base, ref: str, home: Home, batch: Batch
) -> tuple[Tensor, Tensor]:
    with peer.quiet():
        model: Any = peft.PeftModel.from_pretrained(
            peer.model_of(folder, "AutoModelForMaskedLM"), str(out)
        )
        with torch.no_grad():
            theirs: Tensor = model.get_base_model().base_model.eval()(**batch).last_hidden_state
    with torch.no_grad(), attach(base, ref, home=home):
        ours: Tensor = base.trunk(**batch).last_hidden_state
    return theirs, ours


@pytest.mark.parametrize(
    ("family", "method"),
    [
        *((family, method) for family in FAMILIES for method in ("lora", "ia3")),
        ("xlm-roberta", "prefix"),  # peft's class for tagging takes no prefix on decoders
        ("bert", "prefix"),
    ],
)
def test_tagging_heads(
    tmp_path: Path,
    base_folder: Folder,
    home: Home,
    loaded: Loaded,
    batch: Batch,
    family: str,
    method: str,
) -> None:
    base = known(home, loaded, base_folder(family))
    head = HeadSpec("token-classification", ("O", "B-PER", "I-PER"))
    config = {"length": 4, "shift_positions": True} if method == "prefix" else {}
    ref = keep(home, base, method, config, tmp_path / "own", head)
    written = export(ref, tmp_path / "out", home=home, to="peft")
    assert any("mean of a word's tokens" in note for note in written.notes)
    assert any("O, B-PER, I-PER" in note for note in written.notes)
    kind = "AutoModelForTokenClassification"
    expected = peer.outputs(tmp_path / "out", base_folder(family), kind, batch, num_labels=3)
    assert_same(run(home, base, ref, batch), expected, batch)


@pytest.mark.parametrize("family", ["xlm-roberta", "gpt2", "llama"])
def test_text_heads(
    tmp_path: Path, base_folder: Folder, home: Home, loaded: Loaded, batch: Batch, family: str
) -> None:
    """From peft, to ours, to peft: with transformers' own heads."""
    folder, kind = base_folder(family), "AutoModelForSequenceClassification"
    base = known(home, loaded, folder)
    target = {"gpt2": "c_attn", "llama": "q_proj"}.get(family, "query")
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=[target], use_dora=True)
    theirs = peer.save(tmp_path / "theirs", folder, kind, config, num_labels=4)
    name = base.identity.name
    adapter, _ = import_folder(theirs, home=home, name="a", details=TASK, base=name)
    export(adapter.ref, tmp_path / "out", home=home, to="peft")
    expected = peer.outputs(theirs, folder, kind, batch, num_labels=4)
    assert_same(peer.outputs(tmp_path / "out", folder, kind, batch, num_labels=4), expected, batch)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "all-linear", "rank_pattern": {r".*\.1\..*": 2}, "use_rslora": True},
        {"bias": "lora_only", "layers_to_transform": [1], "lora_bias": True},
        {"bias": "all"},
    ],
    ids=["patterns", "biases of one layer", "all biases"],
)
def test_there_and_back(
    tmp_path: Path,
    base_folder: Folder,
    home: Home,
    loaded: Loaded,
    batch: Batch,
    family: str,
    settings: dict[str, Any],
) -> None:
    """The tensors of what comes back are those that went in, bit for bit."""
    from safetensors.torch import load_file

    folder = base_folder(family)
    base = known(home, loaded, folder)
    kind = "AutoModelForTokenClassification" if settings.get("bias") == "all" else HEADED[family]
    task_type = "TOKEN_CLS" if settings.get("bias") == "all" else None
    target = {"gpt2": ["c_attn"], "llama": ["q_proj"], "qwen2": ["q_proj"]}.get(family, ["query"])
    config = peft.LoraConfig(task_type=task_type, **{"target_modules": target, **settings})
    theirs = peer.save(tmp_path / "theirs", folder, kind, config)
    details = TASK if task_type else LANGUAGE
    name = base.identity.name
    adapter, _ = import_folder(theirs, home=home, name="a", details=details, base=name)
    export(adapter.ref, tmp_path / "out", home=home, to="peft")
    first, second = (load_file(f / "adapter_model.safetensors") for f in (theirs, tmp_path / "out"))
    wrapped = ("classifier.modules_to_save", "classifier.original_module", "score.modules_to_save")
    first = {k: t for k, t in first.items() if not any(w in k for w in wrapped)}
    first = {k: t for k, t in first.items() if "score.original_module" not in k}
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        torch.testing.assert_close(second[key], tensor, rtol=1e-6, atol=1e-7, msg=key)
    expected = peer.outputs(theirs, folder, kind, batch)
    assert_same(peer.outputs(tmp_path / "out", folder, kind, batch), expected, batch)


def test_target_names_are_short(
    tmp_path: Path, base_folder: Folder, home: Home, loaded: Loaded
) -> None:
    base = known(home, loaded, base_folder("bert"))
    ref = keep(home, base, "lora", {"parts": ["query", "value", "ffn_down"]}, tmp_path / "own")
    export(ref, tmp_path / "out", home=home, to="peft")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["target_modules"][:2] == ["query", "value"]
    assert config["target_modules"][2:] == [f"layer.{n}.output.dense" for n in range(3)]
    assert config["base_model_name_or_path"] == "bert"


@pytest.mark.parametrize(
    ("method", "config", "leave_out", "head", "message"),
    [
        ("prefix", {"gate": True}, (), None, "a gated prefix"),
        ("prefix", {"shift_positions": True}, (1,), None, r"leaves out layers \[1\]"),
        ("prefix", {}, (), None, "counts a prefix as positions"),
        ("bottleneck", {}, (), None, "method `bottleneck`, which peft folders cannot hold"),
        ("vera", {"parts": ["query", "ffn_up"]}, (), None, "draws A and B for every shape"),
        (
            "lora",
            {},
            (),
            HeadSpec("sequence-classification", ("a", "b")),
            "no form in peft folders",
        ),
    ],
)
def test_what_peft_cannot_say_is_refused(
    tmp_path: Path,
    base_folder: Folder,
    home: Home,
    loaded: Loaded,
    method: str,
    config: dict[str, Any],
    leave_out: tuple[int, ...],
    head: HeadSpec | None,
    message: str,
) -> None:
    base = known(home, loaded, base_folder("bert"))
    ref = keep(home, base, method, config, tmp_path / "own", head, leave_out)
    with pytest.raises(ExchangeError, match=message):
        export(ref, tmp_path / "out", home=home, to="peft")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())

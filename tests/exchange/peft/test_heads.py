"""Heads that peft saved along: what transformers' own classes compute comes out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from torch import Tensor

from adapterhub_lite.errors import ExchangeError, UsageError
from adapterhub_lite.exchange import import_folder
from adapterhub_lite.home import Home
from adapterhub_lite.model.attach import attach
from adapterhub_lite.testing.kit import Batch
from adapterhub_lite.testing.models import CONFIGS, tiny_tokenizer
from tests.exchange.peft import peer
from tests.exchange.peft.conftest import FAMILIES, LANGUAGE, TASK, assert_same, register

Folder = Callable[..., Path]
Computed = Callable[..., Tensor]

TOKENS = "AutoModelForTokenClassification"
TEXTS = "AutoModelForSequenceClassification"
TARGETS = {"gpt2": ["c_attn", "c_fc"], "xlm-roberta": ["query", "dense"], "bert": ["query", "key"]}


@pytest.fixture(scope="session")
def pooled_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a BERT base whose weights hold its pooler, as the public ones do."""
    folder = tmp_path_factory.mktemp("pooled") / "bert-pooled"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = transformers.BertModel(transformers.BertConfig(**CONFIGS["bert"]))
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def lora(task_type: str, family: str, **settings: Any) -> peft.PeftConfig:
    return peft.LoraConfig(
        task_type=task_type, r=3, target_modules=TARGETS.get(family, ["q_proj"]), **settings
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_token_classification(
    tmp_path: Path, base_folder: Folder, computed: Computed, batch: Batch, family: str
) -> None:
    base = base_folder(family)
    config = lora("TOKEN_CLS", family)
    folder = peer.save(tmp_path / "a", base, TOKENS, config, num_labels=5)
    expected = peer.outputs(folder, base, TOKENS, batch, num_labels=5)
    assert_same(computed(folder, base, TASK), expected, batch)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "bert"])
def test_sequence_classification(
    tmp_path: Path, base_folder: Folder, computed: Computed, batch: Batch, family: str
) -> None:
    """RoBERTa's two layers on the first token; decoders' one, without bias, on the last."""
    base = base_folder(family)
    config = lora("SEQ_CLS", family)
    folder = peer.save(tmp_path / "a", base, TEXTS, config, num_labels=4)
    expected = peer.outputs(folder, base, TEXTS, batch, num_labels=4)
    assert_same(computed(folder, base, TASK), expected, batch)


@pytest.mark.parametrize("targets", [["query"], "all-linear"])
def test_the_pooler_of_the_base_is_part_of_berts_head(
    tmp_path: Path, pooled_bert: Path, computed: Computed, batch: Batch, targets: Any
) -> None:
    config = peft.LoraConfig(task_type="SEQ_CLS", r=3, lora_alpha=5, target_modules=targets)
    folder = peer.save(tmp_path / "a", pooled_bert, TEXTS, config, num_labels=4)
    expected = peer.outputs(folder, pooled_bert, TEXTS, batch, num_labels=4)
    assert_same(computed(folder, pooled_bert, TASK), expected, batch)


def test_a_base_without_the_pooler_that_a_head_needs(
    tmp_path: Path, base_folder: Folder, computed: Computed
) -> None:
    config = lora("SEQ_CLS", "bert")
    folder = peer.save(tmp_path / "a", base_folder("bert"), TEXTS, config)
    with pytest.raises(ExchangeError, match="head on the base's pooler, which base"):
        computed(folder, base_folder("bert"), TASK)


def test_question_answering(
    tmp_path: Path, base_folder: Folder, home: Home, loaded: Any, batch: Batch, computed: Computed
) -> None:
    base = base_folder("xlm-roberta")
    kind = "AutoModelForQuestionAnswering"
    folder = peer.save(tmp_path / "a", base, kind, lora("QUESTION_ANS", "xlm-roberta"))
    found = computed(folder, base, TASK)
    with peer.quiet():
        model: Any = peft.PeftModel.from_pretrained(peer.model_of(base, kind), str(folder)).eval()
        with torch.no_grad():
            result = model(**batch)
    expected = torch.stack((result.start_logits, result.end_logits), dim=-1)
    assert_same(found, expected, batch)


@pytest.mark.parametrize("method", ["ia3", "vera", "dora"])
def test_heads_of_other_methods(
    tmp_path: Path, base_folder: Folder, computed: Computed, batch: Batch, method: str
) -> None:
    base = base_folder("xlm-roberta")
    settings: dict[str, Any] = {"task_type": "SEQ_CLS", "target_modules": ["query"]}
    configs: dict[str, peft.PeftConfig] = {
        "ia3": peft.IA3Config(**settings, feedforward_modules=[]),
        "vera": peft.VeraConfig(**settings, r=4),
        "dora": peft.LoraConfig(**settings, use_dora=True),
    }
    config = configs[method]
    folder = peer.save(tmp_path / "a", base, TEXTS, config, num_labels=4)
    expected = peer.outputs(folder, base, TEXTS, batch, num_labels=4)
    assert_same(computed(folder, base, TASK), expected, batch)


@pytest.mark.parametrize("kind", ["AutoModel", "AutoModelForMaskedLM"])
def test_an_adapter_of_the_bare_encoder(
    tmp_path: Path, base_folder: Folder, loaded: Any, home: Home, batch: Batch, kind: str
) -> None:
    """Made on a bare encoder or under a head: keys differ, the adapter is the same."""
    base = base_folder("bert")
    config = peft.LoraConfig(r=3, target_modules=r".*\.(query|intermediate\.dense)")
    folder = peer.save(tmp_path / "a", base, kind, config)
    name = register(home, loaded(base), base)
    adapter, _ = import_folder(folder, home=home, name="a", details=LANGUAGE, base=name)
    model = loaded(base)
    with torch.no_grad(), attach(model, adapter.ref, home=home):
        found = model.trunk(**batch).last_hidden_state
    with peer.quiet():
        theirs: Any = peft.PeftModel.from_pretrained(peer.model_of(base, kind), str(folder))
        trunk = theirs.get_base_model().base_model.eval()
        with torch.no_grad():
            expected = trunk(**batch).last_hidden_state
    assert_same(found, expected, batch)


def test_labels(tmp_path: Path, base_folder: Folder, home: Home, loaded: Any) -> None:
    """The files name none: they are called as transformers does, unless the user says."""
    base = base_folder("bert")
    folder = peer.save(tmp_path / "a", base, TOKENS, lora("TOKEN_CLS", "bert"), num_labels=3)
    name = register(home, loaded(base), base)
    first, notes = import_folder(folder, home=home, name="a", details=TASK, base=name)
    assert first.manifest.head is not None
    assert first.manifest.head.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert any("name no labels" in note for note in notes)
    named = replace(TASK, labels=("O", "B-PER", "I-PER"))
    second, _ = import_folder(folder, home=home, name="b", details=named, base=name)
    assert second.manifest.head is not None
    assert second.manifest.head.labels == named.labels
    details = replace(TASK, labels=("O", "B"))
    with pytest.raises(UsageError, match="has 3 labels, 2 are named"):
        import_folder(folder, home=home, name="c", details=details, base=name)


def test_without_the_head(tmp_path: Path, base_folder: Folder, home: Home, loaded: Any) -> None:
    base = base_folder("bert")
    folder = peer.save(tmp_path / "a", base, TOKENS, lora("TOKEN_CLS", "bert"))
    name = register(home, loaded(base), base)
    adapter, _ = import_folder(
        folder, home=home, name="a", details=TASK, base=name, with_head=False
    )
    assert adapter.manifest.head is None

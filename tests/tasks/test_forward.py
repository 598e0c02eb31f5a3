"""Vocabulary scores at masked places only, against transformers' own loss over all places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.errors import TaskTypeError
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.plugins import load
from adapterhub_lite.tasks.base import IGNORED, Batch
from adapterhub_lite.tasks.forward import task_logits, vocabulary_scores
from adapterhub_lite.tasks.language import LanguageModelling
from adapterhub_lite.testing.adapters import random_adapter
from adapterhub_lite.testing.models import save_tiny_base, tiny_model

PLUGINS = load(entry_points=False)
TYPE = LanguageModelling()


def batch_and_labels() -> tuple[Batch, torch.Tensor]:
    """Three rows, with three, one and two masked places, and padding in the second."""
    ids = torch.randint(5, 96, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    ids[1, 6:], mask[1, 6:] = 1, 0
    units = torch.full_like(ids, -1)
    for row, places in enumerate([(1, 4, 7), (2,), (0, 8)]):
        units[row, list(places)] = torch.arange(len(places))
    targets = torch.tensor([[11, 12, 13], [14, IGNORED, IGNORED], [15, 16, IGNORED]])
    labels = torch.full_like(ids, IGNORED)
    for row, place in (units >= 0).nonzero().tolist():
        labels[row, place] = targets[row, units[row, place]]
    return {"input_ids": ids, "attention_mask": mask, "units": units, "targets": targets}, labels


@pytest.mark.parametrize("model_type", ["xlm-roberta", "bert", "roberta", "distilbert"])
def test_masked_loss_equals_transformers(tmp_path: Path, model_type: str) -> None:
    base = load_base(save_tiny_base(tmp_path / model_type, model_type))
    batch, labels = batch_and_labels()
    ours = TYPE.loss(task_logits(base, TYPE, {}, batch), batch)
    theirs = base.model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels
    ).loss
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_causal_loss_equals_transformers(tmp_path: Path) -> None:
    base = load_base(save_tiny_base(tmp_path / "llama", "llama"))
    ids = torch.randint(5, 96, (2, 8), generator=torch.Generator().manual_seed(0))
    units = torch.arange(8).repeat(2, 1)
    units[:, -1] = -1
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "units": units,
        "targets": ids[:, 1:],
    }
    ours = TYPE.loss(task_logits(base, TYPE, {}, batch), batch)
    torch.testing.assert_close(ours, base.model(input_ids=ids, labels=ids).loss)


def test_the_inverse_and_the_bias_act_at_the_masked_places(tmp_path: Path) -> None:
    base = load_base(save_tiny_base(tmp_path / "base", "xlm-roberta"))
    adapter = random_adapter(
        base, PLUGINS.method("bottleneck"), {"invertible": True, "reduction": 4}, ref="a"
    )
    batch, labels = batch_and_labels()
    bias = torch.randn(96, generator=torch.Generator().manual_seed(3))
    with attach(base, "a", adapters={"a": adapter}):
        ours = TYPE.loss(task_logits(base, TYPE, {"bias": bias}, batch), batch)
        inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
        full = base.model(**inputs).logits + bias
    theirs = torch.nn.functional.cross_entropy(full.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_nothing_stays_behind_on_the_base(tmp_path: Path) -> None:
    base = load_base(save_tiny_base(tmp_path / "base", "xlm-roberta"))
    batch, _ = batch_and_labels()
    vocabulary_scores(base, batch)
    assert base.vocabulary is not None
    assert not base.vocabulary._forward_pre_hooks


def test_a_base_without_language_modelling_head(tmp_path: Path) -> None:
    folder = save_tiny_base(tmp_path / "base", "xlm-roberta")
    trunk: Any = tiny_model("xlm-roberta").base_model
    trunk.save_pretrained(folder)
    base: Base = load_base(folder)
    batch, _ = batch_and_labels()
    with pytest.raises(TaskTypeError, match="no language-modelling head"):
        vocabulary_scores(base, batch)

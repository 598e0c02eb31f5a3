"""MAD-X 2.0: a layer left out of the language adapter while the task adapter was trained.

Whatever stands in the language adapter's place then runs without that layer too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from adapterhub_lite import plugins
from adapterhub_lite.adapter import Kind, Underneath
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import load_base
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.models import save_tiny_base


def test_a_layer_that_was_dropped_in_training_is_dropped_when_attached(tmp_path: Path) -> None:
    """Expected: the outputs of the same language adapter saved without that layer."""
    base = load_base(save_tiny_base(tmp_path / "base", "xlm-roberta"))
    method = plugins.load().method("bottleneck")
    config = {"reduction": 2, "invertible": True}
    language = random_adapter(base, method, config, ref="language", seed=1)
    cut = replace(language, ref="cut", leave_out=(1,))
    task = random_adapter(base, method, {"reduction": 4}, ref="task", seed=2, leave_out=(1,))
    under = Underneath("", Kind.LANGUAGE, (), "bottleneck", "c", source="hub/en", dropped=(1,))
    madx2 = replace(task, trained_over=(under,))
    batch = {"input_ids": torch.randint(5, 90, (2, 6), generator=torch.manual_seed(3))}
    found = {}
    for name, below, above in (
        ("dropped", language, madx2),
        ("cut", cut, task),
        ("whole", language, task),
    ):
        adapters = {"below": below, "above": above}
        with attach(base, "stack(below, above)", adapters=adapters):
            found[name] = logits(base, batch)
    assert torch.equal(found["dropped"], found["cut"])
    assert not torch.allclose(found["dropped"], found["whole"])
    with attach(base, "below", adapters={"below": language}), torch.no_grad():
        alone = logits(base, batch)
    assert not torch.allclose(alone, found["cut"])

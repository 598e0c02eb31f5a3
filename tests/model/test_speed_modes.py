"""What makes models fast must not change what adapters compute: compiling, checkpoints, autocast.

Compilation is with the `eager` backend, which runs what was traced as it is: a graph break or a
stale trace shows, and the test needs no compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.testing.adapters import logits

Bases = Callable[[str], Base]
Make = Callable[..., LoadedAdapter]
Batch = dict[str, Tensor]

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("bottleneck", {"invertible": True, "reduction": 2}),
    ("lora", {"parts": ["query", "value", "ffn_down"], "rank": 3, "bias": True}),
    ("prefix", {"length": 3}),
    ("prefix", {"length": 3, "gate": True}),
]
every_method = pytest.mark.parametrize(
    ("method", "config"), METHODS, ids=[f"{m}-{'-'.join(c)}" for m, c in METHODS]
)


@pytest.fixture(autouse=True)
def _forget_traces() -> Iterator[None]:
    yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("family", ["xlm-roberta", "llama"])
@every_method
def test_one_graph_and_the_same_numbers_after_every_switch(
    bases: Bases, make: Make, batch: Batch, family: str, method: str, config: dict[str, Any]
) -> None:
    base = bases(family)
    adapters = {
        "a": make(base, method, "a", **config),
        "b": make(base, method, "b", seed=2, leave_out=[1], **config),
    }

    def scores(ids: Tensor, mask: Tensor) -> Tensor:
        result: Tensor = base.model(input_ids=ids, attention_mask=mask).logits
        return result

    compiled = torch.compile(scores, backend="eager", fullgraph=True)
    run = (batch["input_ids"], batch["attention_mask"])
    named = {"both": "stack(a, b)", "b": "b"}
    with torch.no_grad(), attach(base, named, adapters=adapters) as attached:
        found = {}
        for name in ("both", "b", None):
            attached.use(name)
            found[name] = compiled(*run)
            torch.testing.assert_close(found[name], scores(*run), atol=1e-5, rtol=0)
        assert not torch.allclose(found["both"], found["b"], atol=1e-3)
        rows = ["b", None, "both", "b"]
        with attached.rows(rows):
            mixed = compiled(*run)
        for number, row in enumerate(rows):
            visible = batch["attention_mask"][number].bool()
            torch.testing.assert_close(
                mixed[number][visible], found[row][number][visible], atol=5e-5, rtol=0
            )
    with torch.no_grad():
        torch.testing.assert_close(compiled(*run), logits(base, batch), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["xlm-roberta", "llama"])
@every_method
def test_bfloat16_autocast_trains_float32_weights(
    bases: Bases, make: Make, batch: Batch, family: str, method: str, config: dict[str, Any]
) -> None:
    base = bases(family)
    visible = batch["attention_mask"].bool()
    gradients, outputs = [], []
    for half in (False, True):
        adapters = {"a": make(base, method, "a", scale=0.1, **config)}
        with attach(base, "a", adapters=adapters, trainable=["a"]) as attached:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                scores = base.model(**batch).logits
            scores[visible].float().square().mean().backward()
            outputs.append(scores[visible].float())
            gradients.append({k: p.grad for k, p in attached.parameters_of("a").items()})
    change = (outputs[0] - logits(base, batch)[visible]).abs().mean()
    assert (outputs[1] - outputs[0]).abs().mean() < 0.5 * change + 0.05
    for key, full in gradients[0].items():
        own = gradients[1][key]
        assert full is not None
        assert own is not None
        assert own.dtype == torch.float32
        assert (own - full).norm() < 0.25 * full.norm() + 1e-3, key


@every_method
def test_checkpointed_rows_have_the_same_gradients(
    bases: Bases, make: Make, batch: Batch, method: str, config: dict[str, Any]
) -> None:
    base = bases("xlm-roberta")
    gradients = []
    for checkpointing in (False, True):
        adapters = {n: make(base, method, n, seed=s, **config) for s, n in enumerate("ab", 1)}
        base.model.train(checkpointing)
        for module in base.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # attention reads it whatever its mode
        if checkpointing:
            base.model.activation_checkpointing_enable()
        with (
            attach(base, {"a": "a", "b": "b"}, adapters=adapters, trainable=["a", "b"]) as attached,
            attached.rows(["a", "b", "a", None]),
        ):
            base.model(**batch).logits.square().mean().backward()
            gradients.append({n: dict(attached.parameters_of(n)) for n in "ab"})
        base.model.activation_checkpointing_disable()
        base.model.eval()
    for name in "ab":
        for key, weight in gradients[0][name].items():
            assert weight.grad is not None
            assert weight.grad.abs().sum() > 0
            torch.testing.assert_close(
                gradients[1][name][key].grad, weight.grad, atol=1e-6, rtol=1e-4
            )

"""Attaching changes what it should, detaching restores every bit, for every family and method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from adapterhub_lite.errors import AttachError, CompositionError
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.testing.adapters import logits
from adapterhub_lite.testing.models import MODEL_TYPES

Bases = Callable[[str], Base]
Make = Callable[..., LoadedAdapter]
Batch = dict[str, Tensor]

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("bottleneck", {"invertible": True, "reduction": 2}),
    ("bottleneck", {"placement": "houlsby", "reduction": 2}),
    ("bottleneck", {"placement": "parallel", "reduction": 2, "scale": 2.0}),
    ("lora", {"parts": ["query", "value", "ffn_down"], "rank": 3, "bias": True}),
    ("prefix", {"length": 3}),
    ("prefix", {"length": 3, "reparameterise": True, "inner": 5}),
    ("prefix", {"length": 3, "gate": True}),
]
every_method = pytest.mark.parametrize(
    ("method", "config"), METHODS, ids=[f"{m}-{'-'.join(c)}" for m, c in METHODS]
)
every_family = pytest.mark.parametrize("family", MODEL_TYPES)


@every_family
@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("bottleneck", {"invertible": True}),
        ("bottleneck", {"placement": "houlsby"}),
        ("bottleneck", {"placement": "parallel"}),
        ("lora", {}),
        ("prefix", {"gate": True}),
    ],
)
def test_a_fresh_adapter_is_the_identity(
    bases: Bases, make: Make, batch: Batch, family: str, method: str, config: dict[str, Any]
) -> None:
    base = bases(family)
    plain = logits(base, batch)
    with attach(base, "a", adapters={"a": make(base, method, scale=0, **config)}):
        assert torch.equal(logits(base, batch), plain)


@every_family
@every_method
def test_rows_equal_separate_runs(
    bases: Bases, make: Make, batch: Batch, family: str, method: str, config: dict[str, Any]
) -> None:
    base = bases(family)
    adapters = {
        "a": make(base, method, "a", **config),
        "b": make(base, method, "b", seed=2, leave_out=[2], **config),
    }
    rows = ["stack(a, b)", None, "a", "b"]
    named = {str(name): name for name in rows}
    with attach(base, named, adapters=adapters) as attached:
        alone = {}
        for name in named:
            attached.use(name)
            alone[name] = logits(base, batch)
        with attached.rows([str(name) for name in rows]):
            mixed = logits(base, batch)
    for number, row in enumerate(rows):
        visible = batch["attention_mask"][number].bool()
        torch.testing.assert_close(
            mixed[number][visible], alone[str(row)][number][visible], atol=5e-5, rtol=0
        )


@every_family
def test_rows_of_different_methods_in_one_forward(
    bases: Bases, make: Make, batch: Batch, family: str
) -> None:
    base = bases(family)
    adapters = {
        name: make(base, method, name, seed=seed, **config)
        for seed, (name, (method, config)) in enumerate(zip("abcdefg", METHODS, strict=True), 1)
    }
    names = ["stack(a, d)", "e", "stack(g, d, b)", "c"]
    with attach(base, {name: name for name in names}, adapters=adapters) as attached:
        alone = []
        for name in names:
            attached.use(name)
            alone.append(logits(base, batch))
        order = [2, 0, 3, 1, 0, 2]
        mixed_batch = {key: value[order] for key, value in batch.items()}
        with attached.rows([names[number] for number in order]):
            mixed = logits(base, mixed_batch)
    for place, number in enumerate(order):
        visible = batch["attention_mask"][number].bool()
        torch.testing.assert_close(
            mixed[place][visible], alone[number][number][visible], atol=5e-5, rtol=0
        )


@every_family
@every_method
def test_detach_restores_outputs_weights_names_and_hooks(
    bases: Bases, make: Make, batch: Batch, family: str, method: str, config: dict[str, Any]
) -> None:
    base = bases(family)
    before = {key: value.clone() for key, value in base.model.state_dict().items()}
    hooks = _hooks(base)
    configs = [id(getattr(module, "config", None)) for module in base.model.modules()]
    plain = logits(base, batch)
    attached = attach(base, "a", adapters={"a": make(base, method, **config)})
    assert (logits(base, batch) - plain).abs().max() > 1e-3
    assert list(base.model.state_dict()) == list(before)
    attached.detach()
    assert torch.equal(logits(base, batch), plain)
    assert all(torch.equal(before[key], value) for key, value in base.model.state_dict().items())
    assert _hooks(base) == hooks
    assert configs == [id(getattr(module, "config", None)) for module in base.model.modules()]


def _hooks(base: Base) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in base.model.modules()
    )


def test_an_inner_attachment_takes_over_until_it_is_detached(
    bases: Bases, make: Make, batch: Batch
) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "bottleneck", "b")}
    plain = logits(base, batch)
    with attach(base, "b", adapters=adapters):
        only_b = logits(base, batch)
    with attach(base, "a", adapters=adapters):
        only_a = logits(base, batch)
        with attach(base, "b", adapters=adapters):
            assert torch.equal(logits(base, batch), only_b)
        assert torch.equal(logits(base, batch), only_a)
    assert torch.equal(logits(base, batch), plain)


def test_detaching_in_the_wrong_order_is_refused(bases: Bases, make: Make) -> None:
    base = bases("bert")
    outer = attach(base, "a", adapters={"a": make(base, "lora", "a")})
    inner = attach(base, "b", adapters={"b": make(base, "lora", "b")})
    with pytest.raises(AttachError, match="attached later is still on"):
        outer.detach()
    inner.detach()
    outer.detach()
    outer.detach()  # a second time does nothing


def test_an_unknown_row_is_refused_before_anything_is_computed(bases: Bases, make: Make) -> None:
    base = bases("bert")
    with attach(base, {"en": "a"}, adapters={"a": make(base, "lora")}) as attached:
        ran: list[int] = []
        handle = base.model.register_forward_pre_hook(lambda *_: ran.append(1))
        with (
            pytest.raises(CompositionError, match=r"no composition `fr`.*\n.*`en`"),
            attached.rows(["en", "fr"]),
        ):
            base.model(input_ids=torch.tensor([[5, 6], [7, 8]]))
        handle.remove()
        assert not ran


def test_rows_and_batch_must_agree(bases: Bases, make: Make, batch: Batch) -> None:
    base = bases("bert")
    with (
        attach(base, {"en": "a"}, adapters={"a": make(base, "lora")}) as attached,
        attached.rows(["en", None]),
        pytest.raises(AttachError, match=r"4 rows.*named 2"),
    ):
        logits(base, batch)


def test_two_placements_cannot_share_a_block(bases: Bases, make: Make) -> None:
    base = bases("bert")
    adapters = {
        "a": make(base, "bottleneck", "a"),
        "b": make(base, "bottleneck", "b", placement="parallel"),
    }
    with pytest.raises(AttachError, match=r"`b` cannot stand on `a`.*parallel.*pfeiffer"):
        attach(base, "stack(a, b)", adapters=adapters)


@pytest.mark.parametrize("family", ["xlm-roberta", "qwen2"])
@every_method
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_all_own_weights_and_no_other(
    bases: Bases,
    make: Make,
    batch: Batch,
    family: str,
    method: str,
    config: dict[str, Any],
    *,
    checkpointing: bool,
) -> None:
    base = bases(family)
    adapters = {"a": make(base, "bottleneck", "a"), "b": make(base, method, "b", **config)}
    gradients = []
    for on in (False, checkpointing):
        if on:
            base.model.activation_checkpointing_enable()
            base.model.train()
            for module in base.model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        composition = "stack(a, b)" if config.get("placement", "pfeiffer") == "pfeiffer" else "b"
        with attach(base, composition, adapters=adapters, trainable=["b"]) as attached:
            base.model(**batch).logits.square().mean().backward()
            gradients.append({k: p.grad for k, p in attached.parameters_of("b").items()})
        base.model.activation_checkpointing_disable()
        base.model.eval()
    assert all(g is not None and g.abs().sum() > 0 for g in gradients[0].values())
    assert all(p.grad is None for p in base.model.parameters())
    assert not any(t.requires_grad for t in adapters["a"].weights.values())
    for key, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], value, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("family", ["xlm-roberta", "llama"])
@every_method
def test_bfloat16_runs_and_is_undone(
    tmp_path: Any, make: Make, batch: Batch, family: str, method: str, config: dict[str, Any]
) -> None:
    from adapterhub_lite.model.base import load_base
    from adapterhub_lite.testing.models import save_tiny_base

    folder = save_tiny_base(tmp_path, family)
    full, half = load_base(folder), load_base(folder, dtype="bfloat16")
    assert half.identity.fingerprint == full.identity.fingerprint
    with attach(full, "a", adapters={"a": make(full, method, **config)}):
        expected = logits(full, batch)
    plain = logits(half, batch)
    with attach(half, "a", adapters={"a": make(full, method, **config)}):
        found = logits(half, batch)
    assert found.dtype == torch.bfloat16
    visible = batch["attention_mask"].bool()
    error = (found.float() - expected)[visible].abs().mean()
    assert error < 0.05 * (expected - logits(full, batch))[visible].abs().mean() + 0.05
    assert torch.equal(logits(half, batch), plain)

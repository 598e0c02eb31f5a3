"""Trained by somebody else's loop: transformers' own `Trainer`, or an optimizer on the model."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import Trainer, TrainingArguments

import adapterhub_lite as ahl
from adapterhub_lite.errors import AttachError, CompositionError, HomeError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.testing.adapters import logits
from tests.model.test_many import _home

Bases = Callable[[str], Base]
Make = Callable[..., LoadedAdapter]
Batch = dict[str, Tensor]

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("bottleneck", {"invertible": True, "reduction": 2}),
    ("lora", {"rank": 3}),
    ("prefix", {"length": 3, "gate": True}),
]


class _Examples(torch.utils.data.Dataset[dict[str, Tensor]]):
    def __init__(self) -> None:
        self.ids = torch.randint(5, 90, (16, 7), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return {"input_ids": self.ids[number], "labels": self.ids[number]}


def _arguments(folder: Path, **settings: Any) -> TrainingArguments:
    defaults: dict[str, Any] = {
        "max_steps": 8,
        "per_device_train_batch_size": 8,
        "learning_rate": 0.01,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(output_dir=str(folder), **{**defaults, **settings})


def _losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("family", ["xlm-roberta", "llama"])
@pytest.mark.parametrize(("method", "config"), METHODS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_real_trainer_trains_and_the_adapter_is_saved(
    bases: Bases,
    tmp_path: Path,
    batch: Batch,
    family: str,
    method: str,
    config: dict[str, Any],
    *,
    checkpointing: bool,
) -> None:
    base, home = bases(family), Home.init(tmp_path / "home")
    before = {key: value.clone() for key, value in base.model.state_dict().items()}
    plain = logits(base, batch)
    adapter = ahl.new_adapter(base, method, config, ref="mine", kind="language", home=home)
    with attach(
        base, "mine", adapters={"mine": adapter}, trainable=["mine"], home=home
    ) as attached:
        start = attached.state_of("mine")
        trainer = Trainer(
            model=base.model,
            args=_arguments(tmp_path / "run", activation_checkpointing=checkpointing),
            train_dataset=_Examples(),
        )
        trainer.train()
        losses = _losses(trainer)
        assert losses[-1] < losses[0]
        assert any(not torch.equal(start[k], v) for k, v in attached.state_of("mine").items())
        base.model.eval()
        base.model.activation_checkpointing_disable()
        trained = logits(base, batch)
        saved = attached.save("mine", name="gv-mine", language="gv", home=home)
    assert torch.equal(logits(base, batch), plain)
    assert list(base.model.state_dict()) == list(before)
    assert all(torch.equal(before[k], v) for k, v in base.model.state_dict().items())
    assert not any(p.requires_grad for p in base.model.parameters())
    assert (trained - plain).abs().max() > 1e-3
    assert saved.manifest.tags() == ("gv",)
    with attach(base, "gv-mine", home=home):
        torch.testing.assert_close(logits(base, batch), trained, atol=1e-5, rtol=0)


class _Tagger(torch.nn.Module):
    """A head of an attachment over the trunk, as a user would write it."""

    def __init__(self, attached: Any) -> None:
        super().__init__()
        self.trunk = attached.base.trunk
        self.attached = attached

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        _, head = self.attached.head()
        states = self.trunk(input_ids=input_ids).last_hidden_state
        scores = torch.nn.functional.linear(states, head["weight"], head["bias"])
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten() % 3)
        return {"loss": loss, "logits": scores}


def test_heads_are_trained_along(bases: Bases, make: Make, tmp_path: Path) -> None:
    base = bases("xlm-roberta")
    home = _home(tmp_path, base, make, 1)
    task = ahl.new_adapter(base, "bottleneck", ref="new", labels=["A", "B", "C"], home=home)
    composition = "stack(x0, new)"
    with attach(
        base, composition, home=home, adapters={"new": task}, trainable=["new"]
    ) as attached:
        model = _Tagger(attached)
        start = attached.state_of("new")
        trainer = Trainer(model=model, args=_arguments(tmp_path / "run"), train_dataset=_Examples())
        trainer.train()
        losses = _losses(trainer)
        assert losses[-1] < losses[0]
        moved = [k for k, v in attached.state_of("new").items() if not torch.equal(start[k], v)]
        assert {"head.weight", "head.bias", "ffn_block.0.up"} <= set(moved)
        base.model.eval()
        expected = ahl.predict(["w5 w6 w7"], attachment=attached)
        saved = attached.save("new", name="tagger", task="pos", language="en")
    below = home.registry.get("x0")
    assert [record.digest for record in saved.manifest.trained_over] == [below.digest]
    assert saved.manifest.head is not None
    assert saved.manifest.head.labels == ("A", "B", "C")
    (result,) = ahl.predict(["w5 w6 w7"], composition="stack(x0, tagger)", base=base, home=home)
    assert result.labels == expected[0].labels
    assert result.probabilities == pytest.approx(expected[0].probabilities, abs=1e-5)


def test_an_optimizer_on_the_models_parameters(
    bases: Bases, make: Make, batch: Batch, tmp_path: Path
) -> None:
    """Training goes on with an adapter of a home; what is saved records where it came from."""
    base = bases("bert")
    home = _home(tmp_path, base, make, 1)
    frozen = [name for name, _ in base.model.named_parameters()]
    with attach(base, "x0", home=home, trainable=["x0"]) as attached:
        named = dict(base.model.named_parameters())
        assert [name for name in named if "trainable_adapters" not in name] == frozen
        trained = {name: p for name, p in named.items() if p.requires_grad}
        own = attached.parameters_of("x0")
        assert {id(p) for p in trained.values()} == {id(p) for p in own.values()}
        assert trained.keys() <= base.model.state_dict().keys()
        assert all(re.match(r"bert\.trainable_adapters\.x0\.\w+/\d+/[AB]$", n) for n in trained)
        optimizer = torch.optim.AdamW([p for p in base.model.parameters() if p.requires_grad])
        start = attached.state_of("x0")
        base.model(**batch).logits.square().mean().backward()
        optimizer.step()
        assert any(not torch.equal(start[k], v) for k, v in attached.state_of("x0").items())
        again = attached.save("x0", name="x0-more")
        with pytest.raises(CompositionError, match="no adapter `nobody`"):
            attached.save("nobody", name="n")
    first = home.registry.get("x0")
    assert again.manifest.languages == first.manifest.languages
    assert again.digest != first.digest
    assert again.manifest.training is None
    assert [name for name, _ in base.model.named_parameters()] == frozen


def test_a_checkpoint_of_the_trainer_goes_on(bases: Bases, make: Make, tmp_path: Path) -> None:
    """It holds the adapter; two runs of three steps equal one of six."""
    base = bases("bert")

    def run(folder: str, steps: int, *, resume: bool = False) -> dict[str, Tensor]:
        adapters = {"a": make(base, "lora", "a", scale=0, rank=2)}
        with attach(base, "a", adapters=adapters, trainable=["a"]) as attached:
            trainer = Trainer(
                model=base.model,
                args=_arguments(
                    tmp_path / folder,
                    max_steps=steps,
                    save_strategy="steps",
                    save_steps=3,
                    lr_scheduler_type="constant",
                ),
                train_dataset=_Examples(),
            )
            base.model.eval()
            trainer.train(resume_from_checkpoint=resume)
            return attached.state_of("a")

    whole = run("whole", 6)
    run("parts", 3)
    keys = load_file(tmp_path / "parts" / "checkpoint-3" / "model.safetensors").keys()
    assert sum("trainable_adapters" in key for key in keys) == 12
    parts = run("parts", 6, resume=True)
    for key, tensor in whole.items():
        torch.testing.assert_close(parts[key], tensor, atol=1e-6, rtol=0)
    base.model.eval()


def test_a_checkpoint_is_no_base(bases: Bases, make: Make, tmp_path: Path) -> None:
    """Its adapter would be left out without a word."""
    base = bases("bert")
    with attach(base, "a", adapters={"a": make(base, "lora", "a")}, trainable=["a"]):
        base.model.save_pretrained(tmp_path / "with")
    base.model.save_pretrained(tmp_path / "without")
    for folder in ("with", "without"):
        base.tokenizer.save_pretrained(tmp_path / folder)
    with pytest.raises(HomeError, match=r"adapters in training(.|\n)*attachment\.save"):
        load_base(tmp_path / "with")
    assert load_base(tmp_path / "without").identity.fingerprint == base.identity.fingerprint


def test_a_cast_model_keeps_its_parameters(bases: Bases, make: Make, batch: Batch) -> None:
    """`Trainer` moves the model after the optimizer may have been made."""
    source = bases("bert")
    model: Any = copy.deepcopy(source.model)
    base = Base(model, source.tokenizer, source.identity)
    with attach(base, "a", adapters={"a": make(base, "lora", "a")}, trainable=["a"]) as attached:
        own = list(attached.parameters_of("a").values())
        model.to(torch.float64)
        base.model(**batch).logits.square().mean().backward()
        assert all(p.dtype == torch.float64 and p.grad is not None for p in own)
        assert all(a is b for a, b in zip(attached.parameters_of("a").values(), own, strict=True))


def test_what_would_train_nothing_is_refused(bases: Bases, make: Make) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "lora", "b", seed=2)}
    with pytest.raises(CompositionError, match="member `a` of an average cannot be trained"):
        attach(base, "average(a, b)", adapters=adapters, trainable=["a"])
    with pytest.raises(AttachError, match="merged composition cannot be trained"):
        attach(base, "b", adapters=adapters, trainable=["b"], merge=True)
    with pytest.raises(CompositionError, match="trainable `b` is not in the composition"):
        attach(base, "a", adapters=adapters, trainable=["b"])


@pytest.mark.parametrize("method", ["bottleneck", "lora", "prefix"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_layers_are_computed_again_as_they_were(
    bases: Bases, make: Make, batch: Batch, method: str, *, reentrant: bool
) -> None:
    """`use` and `rows` may change between the forward pass and `backward`, with checkpoints.

    `backward` runs in another thread, as it does on a GPU (there it is autograd's own).
    """
    base = bases("xlm-roberta")
    gradients = []
    for checkpointing in (False, True):
        adapters = {n: make(base, method, n, seed=s) for s, n in enumerate("ab", 1)}
        if checkpointing:
            base.model.activation_checkpointing_enable({"use_reentrant": reentrant})
        base.model.train()
        for module in base.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        with attach(
            base, {"a": "a", "b": "b"}, adapters=adapters, trainable=["a", "b"]
        ) as attached:
            with attached.rows(["a", "b", "a", None]):
                loss = base.model(**batch).logits.square().mean()
            attached.use("b")
            loss = loss + base.model(**batch).logits.square().mean()
            attached.use(None)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(loss.backward).result()
            gradients.append({n: dict(attached.parameters_of(n)) for n in "ab"})
        base.model.activation_checkpointing_disable()
        base.model.eval()
    for name in "ab":
        for key, weight in gradients[0][name].items():
            assert weight.grad is not None
            torch.testing.assert_close(
                gradients[1][name][key].grad, weight.grad, atol=1e-6, rtol=1e-4
            )


def test_checkpoints_without_anything_to_train_are_refused(
    bases: Bases, make: Make, batch: Batch
) -> None:
    """They give the embeddings gradients, so `Trainer` would run and report a loss."""
    base = bases("xlm-roberta")
    base.model.activation_checkpointing_enable()
    base.model.train()
    with attach(base, "a", adapters={"a": make(base, "lora", "a")}):
        with pytest.raises(AttachError, match=r"training would change nothing(.|\n)*trainable="):
            base.model(**batch)
        logits(base, batch)  # without gradients nobody trains
    base.model.activation_checkpointing_disable()
    base.model.eval()


def test_backward_after_detaching_is_refused(bases: Bases, make: Make, batch: Batch) -> None:
    base = bases("xlm-roberta")
    base.model.activation_checkpointing_enable()
    base.model.train()
    with attach(base, "a", adapters={"a": make(base, "lora", "a")}, trainable=["a"]):
        loss = base.model(**batch).logits.square().mean()
    with pytest.raises(AttachError, match="detached before `backward`"):
        loss.backward()
    base.model.activation_checkpointing_disable()
    base.model.eval()


def test_a_checkpoint_of_ones_own_is_computed_again_or_refused(
    bases: Bases, make: Make, batch: Batch
) -> None:
    """It cannot say which composition it ran with; of a single one that is clear."""
    base = bases("xlm-roberta")
    adapters = {n: make(base, "lora", n, seed=s) for s, n in enumerate("ab", 1)}

    def loss() -> Tensor:
        layer: Any = base.trunk.get_submodule("encoder.layer.0")
        with torch.no_grad():
            states = base.trunk(**batch, output_hidden_states=True).hidden_states[1]
        # the layer by itself, as somebody's own checkpointing calls it
        again = torch.utils.checkpoint.checkpoint(layer, states, use_reentrant=False)
        result = again[0] if isinstance(again, tuple) else again
        total: Tensor = result.square().mean()
        return total

    with attach(base, {"a": "a", "b": "b"}, adapters=adapters, trainable=["a", "b"]) as attached:
        attached.use("a")
        base.model(**batch).logits.mean().backward()
        for parameter in attached.parameters_of("a").values():
            parameter.grad = None
        torch.autograd.backward(loss())
        assert any(
            p.grad is not None and p.grad.any() for p in attached.parameters_of("a").values()
        )
        attached.use("b")
        base.model(**batch).logits.mean().backward()
        with pytest.raises(AttachError, match="does not say which"):
            torch.autograd.backward(loss())


def test_saving_says_what_is_missing(bases: Bases, make: Make, tmp_path: Path) -> None:
    base, home = bases("bert"), Home.init(tmp_path / "home")
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "lora", "b", seed=2)}
    with attach(base, "stack(a, b)", adapters=adapters, trainable=["b"], home=home) as attached:
        with pytest.raises(UsageError, match="language"):
            attached.save("b", name="b")
        with pytest.raises(UsageError, match=r"`a`(.|\n)*save it first"):
            attached.save("b", name="b", language="gv")
        attached.save("a", name="a", language="en")

"""The Trainer path against a loop written out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adapterhub_lite.adapter import HeadSpec, Kind
from adapterhub_lite.errors import TrainingError
from adapterhub_lite.home import Home
from adapterhub_lite.model.attach import Attachment, attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.forward import task_logits
from adapterhub_lite.training import TaskSettings, setup
from adapterhub_lite.training.batches import Batches
from adapterhub_lite.training.loop import Trainee, fit, last_checkpoint
from adapterhub_lite.training.setup import NEW
from adapterhub_lite.training.task_data import fresh_head, read_data, window_batches
from adapterhub_lite.training.watching import Watch

SETTINGS = TaskSettings(steps=3, batch_size=4, lr=0.01, warmup=1 / 3, weight_decay=0.1, clip=0.5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_trainer_equals_adamw_by_hand(
    home: Home, base: Base, tagged: Path, tmp_path: Path, accumulate: int
) -> None:
    settings = SETTINGS.changed(accumulate=accumulate)
    where = setup.place(home, base)
    data = read_data(
        where,
        "pos",
        task_type=None,
        train=tagged,
        dev=None,
        columns=None,
        tag="en",
        settings=settings,
    )
    batches = window_batches(data, base, settings)

    def start() -> Attachment:
        loaded = where.fresh(where.shape("bottleneck", {"reduction": 4.0}, ()), Kind.TASK, seed=0)
        loaded.head = HeadSpec("token-classification", data.head.labels)
        loaded.weights |= fresh_head(data, base, 0)
        return attach(base, NEW, home=home, adapters={NEW: loaded}, trainable={NEW})

    def head(attachment: Attachment) -> dict[str, torch.Tensor]:
        found = attachment.head()
        assert found is not None
        return found[1]

    with start() as attachment:
        parameters = attachment.parameters_of(NEW)
        trainee = Trainee(base, data.task_type, parameters, lambda _: head(attachment))
        fitted = fit(trainee, batches, settings, tmp_path / "run", label="a", quiet=True)
        trained = attachment.state_of(NEW)
    assert fitted.steps == 3
    assert fitted.tokens == sum(batches.tokens(number) for number in range(3 * accumulate))

    with start() as attachment:
        named = attachment.parameters_of(NEW)
        decayed = [p for key, p in named.items() if "bias" not in key]
        plain = [p for key, p in named.items() if "bias" in key]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
            lr=0.01,
            betas=(0.9, 0.999),
            eps=1e-8,
        )
        for step, share in enumerate([0.0, 1.0, 0.5]):  # one step of warm-up, then down to 0
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * share
            optimizer.zero_grad()
            for number in range(step * accumulate, (step + 1) * accumulate):
                batch = batches.batch(number)
                logits = task_logits(base, data.task_type, head(attachment), batch)
                targets = batch["targets"]
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
                torch.autograd.backward(loss / accumulate)
            torch.nn.utils.clip_grad_norm_(list(named.values()), 0.5)
            optimizer.step()
        by_hand = attachment.state_of(NEW)

    assert trained.keys() == by_hand.keys()
    for key, value in by_hand.items():
        torch.testing.assert_close(trained[key], value, atol=1e-6, rtol=1e-5)
    assert not torch.equal(trained["head.weight"], fresh_head(data, base, 0)["head.weight"])


@pytest.fixture
def ready(home: Home, base: Base, tagged: Path) -> Iterator[tuple[Attachment, Trainee, Batches]]:
    """A fresh adapter on the base, and batches to train it with."""
    where = setup.place(home, base)
    data = read_data(
        where,
        "pos",
        task_type=None,
        train=tagged,
        dev=None,
        columns=None,
        tag="en",
        settings=SETTINGS,
    )
    loaded = where.fresh(where.shape("bottleneck", None, ()), Kind.TASK, seed=0)
    loaded.head = data.head
    loaded.weights |= fresh_head(data, base, 0)
    with attach(base, NEW, home=home, adapters={NEW: loaded}, trainable={NEW}) as attachment:

        def head(_: str | None) -> dict[str, torch.Tensor]:
            found = attachment.head()
            assert found is not None
            return found[1]

        trainee = Trainee(base, data.task_type, attachment.parameters_of(NEW), head)
        yield attachment, trainee, window_batches(data, base, SETTINGS)


def test_checkpoints_hold_the_adapter_only(
    ready: tuple[Attachment, Trainee, Batches], tmp_path: Path
) -> None:
    attachment, trainee, batches = ready
    fit(trainee, batches, SETTINGS.changed(save_every=1), tmp_path, label="a", quiet=True)
    numbers = sum(p.numel() for p in attachment.parameters_of(NEW).values())
    saved = tmp_path / "checkpoint-3" / "model.safetensors"
    assert numbers * 4 < saved.stat().st_size < numbers * 4 + 10_000
    kept = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert kept == ["checkpoint-2", "checkpoint-3"]


def test_the_best_weights_are_kept(
    ready: tuple[Attachment, Trainee, Batches], tmp_path: Path
) -> None:
    attachment, trainee, batches = ready
    seen = []

    def measure() -> dict[str, float]:
        seen.append(attachment.state_of(NEW))
        return {"surprise": [5.0, 2.0, 3.0, 4.0][len(seen) - 1]}

    fitted = fit(
        trainee,
        batches,
        SETTINGS.changed(steps=8),
        tmp_path,
        label="a",
        quiet=True,
        watch=Watch(measure, 2, best="surprise"),
    )
    final = attachment.state_of(NEW)
    assert len(seen) == 4
    assert (fitted.best_step, fitted.steps, fitted.stopped) == (4, 8, False)
    assert all(torch.equal(final[key], value) for key, value in seen[1].items())
    assert not torch.equal(final["head.weight"], seen[3]["head.weight"])


def test_a_half_written_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for number, state in ((5, '{"global_step": 5}'), (10, '{"global'), (9, None)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-5"
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-5"]


def test_divergence_is_an_error(home: Home, base: Base, tagged: Path) -> None:
    from adapterhub_lite.training import train_task

    with pytest.raises(TrainingError, match="training diverged"):
        train_task(
            "pos",
            train=tagged,
            source="en",
            base=base,
            home=home,
            lr=1e30,
            steps=6,
            settings=TaskSettings(clip=1e30),
            quiet=True,
        )
    assert home.registry.count() == 0

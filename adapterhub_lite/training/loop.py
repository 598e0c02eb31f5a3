"""The training loop: transformers' `Trainer` around nothing but an adapter's parameters.

`Trainee` registers the trained parameters and keeps the base model out of sight.  So a checkpoint
holds the adapter and its optimizer state and not the base, distributed training synchronises the
adapter only, and `Trainer` cannot switch the frozen base to training mode.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainingArguments,
)

from adapterhub_lite.errors import HomeError, TrainingError
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.base import Batch, Objective
from adapterhub_lite.tasks.forward import task_logits
from adapterhub_lite.training.batches import Batches, Numbered
from adapterhub_lite.training.checkpointing import gradient_checkpointing
from adapterhub_lite.training.progress import Progress
from adapterhub_lite.training.runs import CHECKPOINT
from adapterhub_lite.training.settings import Settings

log = logging.getLogger(__name__)

HeadOf = Callable[[str | None], Mapping[str, Tensor]]
"""Puts a composition (`None`: the only one) to work and returns its head's weights."""
Measure = Callable[[], float]


class Trainee(nn.Module):
    """What is trained: parameters by name; calling it with a batch gives the loss.

    A batch that names an objective in `others` is for that one.
    """

    def __init__(
        self,
        base: Base,
        objective: Objective,
        parameters: Mapping[str, nn.Parameter],
        head_of: HeadOf,
        *,
        dropout: bool = False,
        others: Mapping[str, Objective] | None = None,
    ) -> None:
        super().__init__()
        self._around = (base, head_of)  # in a tuple: not registered as a module
        self._objective = objective
        self._others = others or {}
        self._dropout = dropout
        for key, parameter in parameters.items():
            self.register_parameter(key.replace(".", "/"), parameter)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of a batch."""
        base, head_of = self._around
        named = batch.get("objective")
        objective = self._others[named] if named else self._objective
        head = head_of(batch.get("composition"))
        return {"loss": objective.loss(task_logits(base, objective, head, batch), batch)}

    def saving_memory(self, settings: Settings) -> AbstractContextManager[None]:
        """Return a context in which the base keeps as little as the settings say."""
        base, _ = self._around
        if settings.gradient_checkpointing:
            return gradient_checkpointing(base.model)
        return nullcontext()

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's signature
        """Set training mode; the base model's only where its dropout is wanted."""
        super().train(mode)
        self._around[0].model.train(mode and self._dropout)
        return self


class AdapterTrainer(Trainer):
    """`Trainer` whose evaluation is a function of ours and whose batches come ready made."""

    measure: Measure | None = None

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the held-out loss."""
        metrics = {"eval_loss": self.measure() if self.measure else 0.0}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


def fit(
    trainee: Trainee,
    batches: Batches,
    settings: Settings,
    folder: Path,
    *,
    label: str,
    quiet: bool = False,
    measure: Measure | None = None,
    measure_every: int | None = None,
    keep_best: bool = False,
) -> int:
    """Train until `settings.steps`, going on from the last whole checkpoint in `folder`.

    Returns:
        The number of tokens in the batches of all steps.

    Raises:
        TrainingError: the loss is not a number.
        HomeError: checkpoints cannot be written.
    """
    checkpoint = last_checkpoint(folder)
    if checkpoint is not None:
        log.info("%s: going on from %s", label, checkpoint.name)
    with _readable_failures(folder), trainee.saving_memory(settings):
        arguments = _arguments(settings, folder, measure_every, keep_best=keep_best)
        data = Numbered(batches, settings.steps * settings.accumulate * arguments.world_size)
        trainer = AdapterTrainer(
            model=trainee,
            args=arguments,
            train_dataset=data,
            eval_dataset=data if measure_every else None,
            data_collator=lambda items: {"batch": items[0]},
        )
        trainer.measure = measure
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        if not quiet:
            trainer.add_callback(Progress(label))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainee.eval()
    _check_finite(trainee)
    return data.tokens()


def _arguments(
    settings: Settings, folder: Path, measure_every: int | None, *, keep_best: bool
) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.lr,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        warmup_steps=round(settings.warmup * settings.steps),
        lr_scheduler_type="linear",
        optim="adamw_torch",
        bf16=settings.bf16,
        logging_steps=max(1, min(10, settings.steps // 10)),
        save_strategy="steps",
        save_steps=measure_every if keep_best and measure_every else settings.save_every,
        save_total_limit=2,
        eval_strategy="steps" if measure_every else "no",
        eval_steps=measure_every,
        load_best_model_at_end=keep_best,
        metric_for_best_model="eval_loss" if keep_best else None,
        greater_is_better=False if keep_best else None,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=[],
        dataloader_pin_memory=False,
        seed=settings.seed,
    )
    # A ready-made batch cannot be split among the GPUs of one process; `torchrun` uses them all.
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - `n_gpu` has no setter
    return arguments


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end, and remove half-written ones.

    `Trainer` writes `trainer_state.json` last, so a checkpoint with a readable one is whole.
    """
    found = sorted(
        (path for path in folder.glob("checkpoint-*") if CHECKPOINT.fullmatch(path.name)),
        key=lambda p: int(p.name.rpartition("-")[2]),
    )
    for path in reversed(found):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path)
        else:
            return path
    return None


@contextmanager
def _readable_failures(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HomeError(
            f"cannot write checkpoints to `{folder}`: {error.strerror or error}"
        ) from error
    except (MemoryError, RuntimeError, ValueError, TypeError, ImportError) as error:
        raise _in_our_words(error) from error


def _in_our_words(error: Exception) -> TrainingError:
    """Return what a library says of settings that it cannot work with, as one of our errors."""
    words = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in words:
        return TrainingError(
            f"not enough memory: {words}",
            hint="a smaller `--batch-size` with `--gradient-accumulation`, or "
            "`--gradient-checkpointing`, takes less",
        )
    return TrainingError(f"training cannot go on: {words}", hint="look at the settings of the run")


def _check_finite(trainee: Trainee) -> None:
    for name, parameter in trainee.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise TrainingError(
                f"training diverged: `{name.replace('/', '.')}` is not finite",
                hint="lower the learning rate (`--lr`)",
            )

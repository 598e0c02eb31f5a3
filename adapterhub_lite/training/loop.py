"""The training loop: transformers' `Trainer` around nothing but an adapter's parameters.

`Trainee` registers the trained parameters and keeps the base model out of sight.  So a checkpoint
holds the adapter and its optimizer state and not the base, distributed training synchronises the
adapter only, and `Trainer` cannot switch the frozen base to training mode.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerState,
    TrainingArguments,
)

from adapterhub_lite import disk
from adapterhub_lite.errors import HomeError, TrainingError
from adapterhub_lite.foreign.reading import RECORD, Reader
from adapterhub_lite.model import placement
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.base import Batch, Objective
from adapterhub_lite.tasks.forward import task_logits
from adapterhub_lite.training.batches import Batches, Numbered
from adapterhub_lite.training.checkpointing import gradient_checkpointing
from adapterhub_lite.training.curves import Curve
from adapterhub_lite.training.progress import Patience, Progress, Recorder
from adapterhub_lite.training.reporting import trackers
from adapterhub_lite.training.runs import CHECKPOINT
from adapterhub_lite.training.settings import Settings
from adapterhub_lite.training.watching import PREFIX, Fitted, Watch

log = logging.getLogger(__name__)

HeadOf = Callable[[str | None], Mapping[str, Tensor]]
"""Puts a composition (`None`: the only one) to work and returns its head's weights."""
STATE = "trainer_state.json"
"""What `Trainer` writes last into a checkpoint."""


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

    watch: Watch | None = None
    losses: list[Tensor]
    """Losses of the batches of the step that is taken now."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Return the loss of a batch, and note it."""
        computed = super().compute_loss(*args, **kwargs)
        loss = computed[0] if isinstance(computed, tuple) else computed
        self.losses.append(loss.detach())
        return computed

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return what is measured on the way."""
        assert self.watch is not None
        metrics = {f"{PREFIX}{name}": value for name, value in self.watch.measure().items()}
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
    watch: Watch | None = None,
    curve: Curve | None = None,
    reports: Sequence[str] = (),
) -> Fitted:
    """Train until `settings.steps`, going on from the last whole checkpoint in `folder`.

    Args:
        watch: what is measured on the way; it may keep the best weights, and stop early.
        curve: where losses and measurements are kept; left out, in `folder`.
        reports: trackers that the run is reported to (`reporting.TRACKERS`).

    Raises:
        TrainingError: the loss is not a number, or the settings are not possible here.
        HomeError: checkpoints or curves cannot be written.
    """
    curve = curve or Curve(folder)
    checkpoint = last_checkpoint(folder)
    step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else None
    if checkpoint is not None:
        log.info("%s: going on from %s", label, checkpoint.name)
        _move_best(checkpoint)
    with (
        _readable_failures(folder),
        trainee.saving_memory(settings),
        trackers(reports, curve.folder, label, step) as callbacks,
    ):
        arguments = _arguments(settings, folder, watch)
        data = Numbered(batches, settings.steps * settings.accumulate * arguments.world_size)
        trainer = AdapterTrainer(
            model=trainee,
            args=arguments,
            train_dataset=data,
            eval_dataset=data if watch else None,
            data_collator=lambda items: {"batch": items[0]},
        )
        trainer.watch, trainer.losses = watch, []
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        if trainer.is_world_process_zero():
            curve.start(step)
            for callback in (Recorder(curve, trainer.losses), *callbacks):
                trainer.add_callback(callback)
        if watch is not None and watch.patience is not None:
            trainer.add_callback(Patience(watch))
        if not quiet:
            trainer.add_callback(Progress(label))
        state = _train(trainer, checkpoint, watch)
    trainee.eval()
    _check_finite(trainee)
    done = state.global_step * settings.accumulate * arguments.world_size
    stopped = state.global_step < settings.steps
    keeps = watch is not None and watch.best is not None
    return Fitted(
        tokens=data.tokens(done),
        steps=state.global_step,
        best_step=state.best_global_step if keeps else None,
        stopped=stopped,
    )


def _train(trainer: AdapterTrainer, checkpoint: Path | None, watch: Watch | None) -> TrainerState:
    """Train, and return the state at the end; a run that was stopped early is not gone on with."""
    if checkpoint is not None and watch is not None:
        state: TrainerState = TrainerState.load_from_json(str(checkpoint / STATE))
        if watch.is_over(state.log_history):
            assert state.best_model_checkpoint is not None
            weights = load_file(Path(state.best_model_checkpoint) / "model.safetensors")
            trainer.model.load_state_dict(weights)  # type: ignore[union-attr]
            return state
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if watch is not None and watch.best is not None and trainer.state.best_global_step is None:
        raise TrainingError(
            f"no measurement of `{watch.best}` was a number, so there are no best weights",
            hint="lower the learning rate (`--lr`)",
        )
    state = trainer.state
    assert isinstance(state, TrainerState)
    return state


def _move_best(checkpoint: Path) -> None:
    """Let a checkpoint name the best one beside it, where the run folder has been moved.

    `Trainer` remembers the best checkpoint by its whole path, and would go on without it.
    """
    state = _STATE.json_object_file(checkpoint / STATE)
    best = state.get("best_model_checkpoint")
    if best and Path(best).parent != checkpoint.parent:
        state["best_model_checkpoint"] = str(checkpoint.parent / Path(best).name)
        disk.write_whole(checkpoint / STATE, json.dumps(state, indent=2, sort_keys=True) + "\n")


def _arguments(settings: Settings, folder: Path, watch: Watch | None) -> TrainingArguments:
    keeps = watch is not None and watch.best is not None
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
        use_cpu=placement.current().device == "cpu",
        logging_steps=max(1, min(10, settings.steps // 10)),
        save_strategy="steps",
        save_steps=watch.every if watch and keeps else settings.save_every,
        save_total_limit=2,
        eval_strategy="steps" if watch else "no",
        eval_steps=watch.every if watch else None,
        load_best_model_at_end=keeps,
        metric_for_best_model=f"{PREFIX}{watch.best}" if watch and keeps else None,
        greater_is_better=watch.greater if watch and keeps else None,
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


_STATE = Reader(TrainingError, bounds=RECORD, as_python=True)  # a loss may be NaN


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
            _STATE.json_file(path / STATE)
        except (OSError, TrainingError):
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

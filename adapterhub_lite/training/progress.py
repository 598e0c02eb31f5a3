"""What happens beside a training run: the progress bar, the curves, and stopping early.

The bar is on stderr, because stdout is for data.
"""

# ruff: noqa: ARG002 - the signatures are those of `TrainerCallback`
from __future__ import annotations

import math
from typing import Any

import rich.progress
import torch
from rich.console import Console
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from adapterhub_lite.errors import TrainingError
from adapterhub_lite.foreign import text
from adapterhub_lite.training.curves import Curve
from adapterhub_lite.training.watching import PREFIX, Watch


class Progress(TrainerCallback):
    """One bar, with the loss."""

    def __init__(self, label: str) -> None:
        self.bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("{task.fields[losses]}", markup=False),
            console=Console(stderr=True),
        )
        self.row = self.bar.add_task(text.one_line(label), losses="", total=None)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Open the bar, where a resumed run left off."""
        if state.is_world_process_zero:
            self.bar.start()
            self.bar.update(self.row, total=state.max_steps, completed=state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move the bar."""
        self.bar.update(self.row, completed=state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Show losses."""
        logs: dict[str, float] = more.get("logs") or {}
        words = [
            f"{name.removeprefix(PREFIX)} {value:.3f}"
            for name, value in logs.items()
            if name == "loss" or name.startswith(PREFIX)
        ]
        if words:
            self.bar.update(self.row, losses=", ".join(words[:2]))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Close the bar."""
        self.bar.stop()


class Recorder(TrainerCallback):
    """Writes the curve: the loss of every step, and what is measured.

    Losses stay on the device until the next log, measurement or checkpoint, so that no step waits
    for them.
    """

    def __init__(self, curve: Curve, losses: list[Tensor]) -> None:
        self.curve = curve
        self.losses = losses
        self._steps: list[tuple[int, Tensor]] = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Note the step's loss; write what is noted before a checkpoint is."""
        self._steps.append((state.global_step, torch.stack(self.losses).float().mean()))
        self.losses.clear()
        if control.should_log or control.should_save or control.should_evaluate:
            self._write()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Write what was measured."""
        metrics: dict[str, float] = more.get("metrics") or {}
        values = {name.removeprefix(PREFIX): value for name, value in metrics.items()}
        self.curve.add([(state.global_step, values)])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Write what is left."""
        self._write()

    def _write(self) -> None:
        steps, self._steps = self._steps, []
        if not steps:
            return
        values = torch.stack([loss for _, loss in steps]).tolist()
        pairs = [(step, value) for (step, _), value in zip(steps, values, strict=True)]
        self.curve.add([(step, {"loss": value}) for step, value in pairs])
        for step, value in pairs:
            if not math.isfinite(value):
                raise TrainingError(
                    f"training diverged: the loss of step {step} is not finite",
                    hint="lower the learning rate (`--lr`)",
                )


class Patience(TrainerCallback):
    """Stops a run when nothing has got better for a while.

    It counts in the trainer's own history, which checkpoints hold, so a resumed run stops at the
    step at which an uninterrupted one does.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Look at the history after a measurement."""
        if self.watch.is_over(state.log_history):
            control.should_training_stop = True

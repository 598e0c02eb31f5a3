"""The progress bar of a training run: on stderr, because stdout is for data."""

# ruff: noqa: ARG002 - the signatures are those of `TrainerCallback`
from __future__ import annotations

from typing import Any

import rich.progress
from rich.console import Console
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from adapterhub_lite.foreign import text


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
        shown = [f"{k} {v:.3f}" for k, v in logs.items() if k in ("loss", "eval_loss")]
        if shown:
            self.bar.update(self.row, losses=", ".join(shown))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Close the bar."""
        self.bar.stop()

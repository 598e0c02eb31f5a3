"""TensorBoard and Weights & Biases: the same curves in somebody else's window."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import TrainingError, UsageError, near

if TYPE_CHECKING:
    from transformers import TrainerCallback

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb"}
"""Where a run can be reported to, and the package that it needs."""


def check_trackers(names: Sequence[str]) -> None:
    """Raise `UsageError` for a tracker that nobody knows here, or whose package is missing."""
    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"no tracker `{name}` to report to", hint=near(name, TRACKERS))
        if find_spec(TRACKERS[name]) is None:
            raise UsageError(
                f"reporting to `{name}` needs the package `{TRACKERS[name]}`",
                hint=f"`pip install 'adapterhub_lite[{name}]'`",
            )


@contextmanager
def trackers(
    names: Sequence[str], folder: Path, label: str, step: int | None
) -> Iterator[list[TrainerCallback]]:
    """Give the trainer's callbacks that report a run, and close what they opened.

    Args:
        folder: the run folder; files of a tracker are in its folder there.
        step: the run goes on after this step; `None`: it starts afresh.
    """
    with ExitStack() as stack:
        callbacks: list[TrainerCallback] = []
        if "tensorboard" in names:
            callbacks.append(stack.enter_context(_tensorboard(folder / "tensorboard", step)))
        if "wandb" in names:
            callbacks.append(stack.enter_context(_wandb(folder, label)))
        yield callbacks


@contextmanager
def _tensorboard(folder: Path, step: int | None) -> Iterator[TrainerCallback]:
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    if step is None and folder.is_dir():
        shutil.rmtree(folder)
    # steps from `purge_step` on, which an interrupted run left, are not shown any more
    purge = None if step is None else step + 1
    writer: Any = SummaryWriter(log_dir=str(folder), purge_step=purge)
    try:
        yield TensorBoardCallback(writer)
    finally:
        writer.close()


@contextmanager
def _wandb(folder: Path, label: str) -> Iterator[TrainerCallback]:
    import wandb
    from transformers.integrations.integration_utils import WandbCallback

    # The same run folder is the same run there too, so that an interrupted one goes on.
    identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    project = os.environ.get("WANDB_PROJECT", "adapterhub_lite")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        wandb.init(project=project, name=label, id=identity, dir=str(folder), resume="allow")
    except Exception as error:  # its errors have no common class
        raise TrainingError(
            f"Weights & Biases cannot be reported to: {error}",
            hint="`wandb login`, or `WANDB_MODE=offline` keeps the run on this machine",
        ) from error
    try:
        yield WandbCallback()
    finally:
        wandb.finish()

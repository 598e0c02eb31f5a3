"""Full fine-tuning, the baseline that adapters are measured against.

A copy of the base model is trained with a head on it.  It is no adapter and is not in the registry;
its weights stay in the run folder.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from adapterhub_lite import disk, languages
from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.base import Columns
from adapterhub_lite.tasks.suitability import Checks
from adapterhub_lite.training import setup
from adapterhub_lite.training.loop import Trainee, fit
from adapterhub_lite.training.runs import Run, run_folder
from adapterhub_lite.training.settings import TaskSettings
from adapterhub_lite.training.task_data import Data, fresh_head, read_data, window_batches
from adapterhub_lite.training.watching import check_watched

log = logging.getLogger(__name__)

LEARNING_RATE = 2e-4
_WEIGHTS = "full.safetensors"


@dataclass(frozen=True, slots=True)
class FullModel:
    """A fully fine-tuned copy of a base, with its head; `evaluate` takes it like a composition."""

    base: Base
    head: HeadSpec
    head_weights: dict[str, Tensor]
    task: str
    source: str
    seed: int


def train_full(
    task: str,
    *,
    train: Any,
    source: str,
    task_type: str | None = None,
    columns: Columns | None = None,
    format: str | None = None,
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    name: str | None = None,
    settings: TaskSettings | None = None,
    seed: int | None = None,
    resume: bool = True,
    output: str | Path | None = None,
    allow_unsuitable: bool = False,
    quiet: bool = False,
) -> FullModel:
    """Fine-tune a copy of the whole base model on labelled data.

    Args:
        settings: left out, those of task adapters with a learning rate of 2e-4.

    The other arguments and errors are those of `train_task`.
    """
    chosen = (settings or TaskSettings(lr=LEARNING_RATE)).changed(seed=seed)
    tag = languages.normalise(source)
    where = setup.place(home, base)
    setup.check_device(where.base, chosen)
    check_watched(chosen, "dev")
    data = read_data(
        where,
        task,
        task_type=task_type,
        train=train,
        dev=None,
        columns=columns,
        format=format,
        tag=tag,
        settings=chosen,
        checks=Checks(allow_unsuitable),
    )
    name = name or f"full-{task}-{tag}-seed{chosen.seed}"
    run = Run(
        run_folder(where.home, name, output),
        setup.run_identity(
            where, None, chosen, data.corpora, kind="full", task=[task, data.task_type.name]
        ),
    )
    with run.held():
        done = run.open(resume=resume)
        if done is not None and not (run.folder / _WEIGHTS).is_file():
            log.info("the weights are not in `%s` any more: training again", run.folder)
            done = run.open(resume=False)
        copied, weights = _tune(where, run, data, chosen, name, done=done is not None, quiet=quiet)
    return FullModel(copied, data.head, weights, task, tag, chosen.seed)


def _tune(
    where: setup.Place,
    run: Run,
    data: Data,
    settings: TaskSettings,
    name: str,
    *,
    done: bool,
    quiet: bool,
) -> tuple[Base, dict[str, Tensor]]:
    """Train the copy, or read a finished run; return the model and its head's weights."""
    copied = Base(copy.deepcopy(where.base.model), where.base.tokenizer, where.base.identity)
    head = {
        key.removeprefix("head."): nn.Parameter(tensor.to(copied.model.device))
        for key, tensor in fresh_head(data, copied, settings.seed).items()
    }
    parameters = {f"model.{n}": p for n, p in copied.model.named_parameters()}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    parameters |= {f"head.{key}": p for key, p in head.items()}
    trainee = Trainee(copied, data.task_type, parameters, lambda _: head, dropout=settings.dropout)
    if done:
        trainee.load_state_dict(load_file(run.folder / _WEIGHTS))
    else:
        batches = window_batches(data, copied, settings)
        fit(trainee, batches, settings, run.folder, label=name, quiet=quiet)
        beside = run.folder / f".{_WEIGHTS}{disk.UNFINISHED}"
        save_file(trainee.state_dict(), beside)
        beside.replace(run.folder / _WEIGHTS)
        run.finish(weights=_WEIGHTS)
    copied.model.requires_grad_(False)
    return copied, {key: parameter.detach() for key, parameter in head.items()}

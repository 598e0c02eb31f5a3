"""Full fine-tuning, the baseline that adapters are measured against.

A copy of the base model is trained with a head on it.  It is no adapter and is not in the registry;
its weights stay in the run folder.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from adapterhub_lite import languages
from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.base import Columns
from adapterhub_lite.training import setup
from adapterhub_lite.training.loop import Trainee, fit
from adapterhub_lite.training.runs import Run
from adapterhub_lite.training.settings import TaskSettings
from adapterhub_lite.training.task_data import fresh_head, read_data, window_batches

if TYPE_CHECKING:
    from adapterhub_lite.training.setup import Paths

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
    train: Paths,
    source: str,
    task_type: str | None = None,
    columns: Columns | None = None,
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    name: str | None = None,
    settings: TaskSettings | None = None,
    seed: int | None = None,
    resume: bool = True,
    output: str | Path | None = None,
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
    data = read_data(
        where,
        task,
        task_type=task_type,
        train=train,
        dev=None,
        columns=columns,
        tag=tag,
        settings=chosen,
    )
    name = name or f"full-{task}-{tag}-seed{chosen.seed}"
    run = Run(
        Path(output) if output else where.home.path / "runs" / name,
        setup.run_identity(
            where, None, chosen, data.corpora, kind="full", task=[task, data.task_type.name]
        ),
    )
    done = run.open(resume=resume)
    copied = Base(copy.deepcopy(where.base.model), where.base.tokenizer, where.base.identity)
    head = {
        key.removeprefix("head."): nn.Parameter(tensor.to(copied.model.device))
        for key, tensor in fresh_head(data, copied, chosen.seed).items()
    }
    parameters = {f"model.{n}": p for n, p in copied.model.named_parameters()}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    parameters |= {f"head.{key}": p for key, p in head.items()}
    trainee = Trainee(copied, data.task_type, parameters, lambda _: head, dropout=chosen.dropout)
    if done is None:
        batches = window_batches(data, copied, chosen)
        fit(trainee, batches, chosen, run.folder, label=name, quiet=quiet)
        save_file(trainee.state_dict(), run.folder / _WEIGHTS)
        run.finish(weights=_WEIGHTS)
    else:
        trainee.load_state_dict(load_file(run.folder / _WEIGHTS))
    copied.model.requires_grad_(False)
    weights = {key: parameter.detach() for key, parameter in head.items()}
    return FullModel(copied, data.head, weights, task, tag, chosen.seed)

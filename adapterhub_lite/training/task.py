"""Train task adapters and their heads, over frozen adapters of a language or over nothing.

Over one language adapter: MAD-X (Pfeiffer et al. 2020).  Over a pair's bilingual adapter: BAD-X
(Parovic et al. 2022).  Over several in turn, the next one at every step: target-ready task adapters
(Parovic et al. 2023), which then stand on any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapterhub_lite import languages
from adapterhub_lite.adapter import Adapter, Kind, Manifest
from adapterhub_lite.composition import Composition, Fuse, Stack, parse, refs, rename
from adapterhub_lite.errors import UsageError, near
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.base import Columns
from adapterhub_lite.tasks.suitability import Checks
from adapterhub_lite.training import setup
from adapterhub_lite.training.reporting import check_trackers
from adapterhub_lite.training.settings import TaskSettings
from adapterhub_lite.training.setup import Config
from adapterhub_lite.training.task_data import read_data
from adapterhub_lite.training.task_run import TaskRun
from adapterhub_lite.training.watching import check_watched


def train_task(
    task: str,
    *,
    train: Any,
    dev: Any = None,
    source: str,
    over: str | Sequence[str] | None = None,
    task_type: str | None = None,
    columns: Columns | None = None,
    format: str | None = None,
    dataset: str | None = None,
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    name: str | None = None,
    method: str | None = None,
    config: Config = None,
    leave_out: Sequence[int] | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    settings: TaskSettings | None = None,
    licence: str | None = None,
    resume: bool = True,
    output: str | Path | None = None,
    allow_unsuitable: bool = False,
    report_to: Sequence[str] = (),
    quiet: bool = False,
) -> Adapter:
    """Train a task adapter with its head and add it to the home.

    Args:
        task: name of the task, `pos`, `ner`, `names`, ...
        train: labelled files, or what a program holds: a data frame, a split of a data set,
            dictionaries.
        dev: labelled data to measure the adapter on: the weights that score best are kept (see
            `keep_best`, `evaluate_every` and `patience` of the settings).
        source: BCP 47 tag of the language of the labels.
        over: what is frozen underneath: a ref or composition; several refs are taken in turn,
            one a step; `None` trains on the base alone.
        task_type: left out, it follows from `task` (`task_data.TASK_TYPES`).
        columns: the data's names or numbers of its columns, `{"label": "intent", "text": "2"}`.
        format: of the files, one of `tasks.formats.FORMATS`; left out, it is told from the content.
        dataset: name of the data, for the manifest and for scores.
        name: the adapter's name; `TASK-SOURCE`, followed by what it is over, when left out.
        method: left out, as what is underneath where adapters of that method stand on each other.
        leave_out: layers without adapter; left out, as what is underneath.
        allow_unsuitable: train even if the data do not look like data of this task.

    The other arguments are those of `train_language`.

    Raises:
        DataError: a bad line, labels of another task, no label in `dev` that `train` has, or text
            in a script that the base's vocabulary cannot read.
        BaseMismatchError: `over` was trained on another base.
        TrainingError, UsageError, MethodError, HomeError: see the message.
    """
    chosen = (settings or TaskSettings()).changed(
        steps=steps, batch_size=batch_size, lr=lr, seed=seed
    )
    tag = languages.normalise(source)
    where = setup.place(home, base)
    setup.check_device(where.base, chosen)
    check_trackers(report_to)
    if dev is None:
        check_watched(chosen, "--dev FILE")
    fuses = method is not None and where.plugins.method(method).fuses
    below = underneath(where.home, over, tasks=fuses)
    stands_on = _by_digest(where.home, over)
    first = below[0][-1].manifest if below else None
    shape = where.shape(
        method or _method_on(where, first),
        config,
        leave_out if leave_out is not None else (first.leave_out if first else ()),
    )
    if fuses:
        fused = shape.method.for_members(shape.config, _members(stands_on))
        shape = replace(shape, config=fused)
    job = TaskRun(
        where,
        shape,
        chosen,
        read_data(
            where,
            task,
            task_type=task_type,
            train=train,
            dev=dev,
            columns=columns,
            format=format,
            tag=tag,
            settings=chosen,
            checks=Checks(allow_unsuitable),
        ),
        below,
        stands_on,
        tag,
        dataset,
        tuple(report_to),
    )
    name = name or setup.seeded(_name(task, tag, below), chosen)
    return job.run(name, output, licence, resume=resume, quiet=quiet)


def _method_on(where: setup.Place, below: Manifest | None) -> str:
    """Return the method of a task adapter on an adapter: its own, if it stacks."""
    if below is None:
        return setup.DEFAULT_METHOD
    method = where.plugins.method(below.method, below.provider)
    config = method.Config.from_mapping(below.config)
    return setup.DEFAULT_METHOD if method.follows(config, method, config) else method.name


def underneath(
    home: Home, over: str | Sequence[str] | None, *, tasks: bool = False
) -> list[tuple[Adapter, ...]]:
    """Return what is frozen underneath: for every member of a cycle its adapters, bottom first.

    Task adapters are allowed there with `tasks`, for a second stage that fuses them.
    """
    found = [
        tuple(home.registry.get(ref) for ref in refs(composition))
        for composition in _compositions(over)
    ]
    for adapters in found:
        for adapter in adapters:
            if adapter.manifest.kind is Kind.TASK and not tasks:
                raise UsageError(
                    f"`{adapter.name}` is a task adapter; a task adapter is trained over adapters "
                    "of languages",
                    hint=near(
                        adapter.name, [a.name for a in home.registry.find(kind=Kind.LANGUAGE)]
                    ),
                )
    return found


def _compositions(over: str | Sequence[str] | None) -> list[Composition]:
    if over is None:
        return []
    texts = [over] if isinstance(over, str) else list(over)
    if not texts:
        raise UsageError("`over` names no adapter")
    return [parse(text) for text in texts]


def _by_digest(home: Home, over: str | Sequence[str] | None) -> list[Composition]:
    def digest(ref: str) -> str:
        return home.registry.get(ref).digest

    return [rename(composition, digest) for composition in _compositions(over)]


def _members(stands_on: Sequence[Composition]) -> tuple[str, ...]:
    """Return what a second stage fuses: the members at the top of what it stands on."""
    if len(stands_on) != 1:
        raise UsageError("a fusion is trained over one composition: `stack(LANGUAGE, fuse(A, B))`")
    (top,) = stands_on
    if isinstance(top, Stack):
        top = top.parts[-1]
    if not isinstance(top, Fuse):
        raise UsageError(
            f"a fusion is trained over `fuse(...)`, found `{top}` on top",
            hint="`--over 'stack(LANGUAGE, fuse(A, B))'`",
        )
    return refs(top)


def _name(task: str, tag: str, below: Sequence[tuple[Adapter, ...]]) -> str:
    if len(below) > 1:
        return f"{task}-{tag}-ready"
    if not below:
        return f"{task}-{tag}-alone"
    return f"{task}-{tag}-over-{'-'.join(adapter.name for adapter in below[0])}"

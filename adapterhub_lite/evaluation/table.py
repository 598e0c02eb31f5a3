"""A whole table: targets by strategies, over all seeds that the home's adapters were trained with.

Which compositions there are follows from what the task adapters were trained over (`strategies`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import languages
from adapterhub_lite.errors import RefError, UsageError, near
from adapterhub_lite.evaluation.bootstrap import interval
from adapterhub_lite.evaluation.measure import Tuned, evaluate, head_of_topmost
from adapterhub_lite.evaluation.results import Result
from adapterhub_lite.evaluation.strategies import FULL_COLUMN, STRATEGIES, base_of, to_measure
from adapterhub_lite.foreign.text import command
from adapterhub_lite.tasks.inference import BATCH
from adapterhub_lite.tasks.reading import read_examples
from adapterhub_lite.tasks.suitability import Checks, UnknownLabels

if TYPE_CHECKING:
    from adapterhub_lite.adapter import HeadSpec
    from adapterhub_lite.home import Home
    from adapterhub_lite.model.base import Base
    from adapterhub_lite.tasks.base import Columns, Long


@dataclass(frozen=True, slots=True)
class Cell:
    """One strategy on one target: mean over seeds, their spread, and the interval over examples.

    `spread` is the standard deviation over seeds; with one seed it is `None`, and then nothing can
    be said on differences of the size that seeds make.
    """

    target: str
    strategy: str
    metric: str
    mean: float
    spread: float | None
    low: float
    high: float
    n: int
    values: Mapping[int, float]
    compositions: tuple[str, ...]
    unknown: UnknownLabels = field(default_factory=lambda: UnknownLabels(0), compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the cell as JSON values."""
        names = ("target", "strategy", "metric", "mean", "spread", "low", "high", "n")
        values = {name: getattr(self, name) for name in names}
        seeds = {str(seed): value for seed, value in self.values.items()}
        values |= {"seeds": seeds, "compositions": list(self.compositions)}
        return {**values, "unknown_labels": self.unknown.to_json()}


@dataclass(frozen=True, slots=True)
class Table:
    """Targets by strategies."""

    task: str
    source: str
    metric: str
    cells: tuple[Cell, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """The rows, in the order asked for."""
        return tuple(dict.fromkeys(cell.target for cell in self.cells))

    @property
    def strategies(self) -> tuple[str, ...]:
        """The columns that have something in them."""
        found = {cell.strategy for cell in self.cells}
        return tuple(name for name in (*STRATEGIES, FULL_COLUMN) if name in found)

    def cell(self, target: str, strategy: str) -> Cell | None:
        """Return a cell, `None` where there was nothing to measure."""
        wanted = (target, strategy)
        return next((c for c in self.cells if (c.target, c.strategy) == wanted), None)

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        return {
            "task": self.task,
            "source": self.source,
            "metric": self.metric,
            "targets": list(self.targets),
            "strategies": list(self.strategies),
            "cells": [cell.to_json() for cell in self.cells],
        }


def evaluate_table(
    task: str,
    data: Mapping[str, str | Path],
    *,
    source: str,
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    full: Sequence[Tuned] = (),
    strategies: Sequence[str] | None = None,
    dataset: str | None = None,
    split: str = "test",
    columns: Columns | None = None,
    format: str | None = None,
    long: Long = "cut",
    limit: int | None = None,
    record: bool = True,
    batch_size: int = BATCH,
    allow_unsuitable: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Table:
    """Score everything that the home has for a task, on every target.

    Args:
        data: labelled file by target language.
        full: fully fine-tuned models (`train_full`), for the last column.
        strategies: names of columns; left out, all.
        progress: called with a line before every measurement.

    The other arguments and errors are those of `evaluate`.

    Raises:
        RefError: the home has no task adapter for this.
        UsageError: an unknown strategy.
    """
    from adapterhub_lite.home import Home
    from adapterhub_lite.model.base import Base, load_base

    home = home if isinstance(home, Home) else Home.find(home)
    for name in strategies or ():
        if name not in (*STRATEGIES, FULL_COLUMN):
            raise UsageError(f"no strategy `{name}`", hint=near(name, (*STRATEGIES, FULL_COLUMN)))
    tag = languages.normalise(source)
    if not isinstance(base, Base):
        base = load_base(base if base is not None else base_of(home, task, tag), home=home)
    files = {languages.normalise(target): path for target, path in data.items()}
    cells = []
    checks = Checks(allow_unsuitable)
    plans = {}
    for target, path in files.items():
        plan = to_measure(home, base, task=task, source=tag, target=target, full=full)
        plans[target] = {s: c for s, c in plan.items() if s in (strategies or plan)}
        heads = _heads(home, chain(*plans[target].values()))
        _check_gold(
            home, heads, Path(path), columns=columns, format=format, limit=limit, checks=checks
        )
    for target, path in files.items():
        for strategy, found in plans[target].items():
            results = []
            for what in found:
                if progress is not None:
                    progress(f"{target}: {strategy}")
                results.append(
                    evaluate(
                        what,
                        path,
                        language=target,
                        source=tag,
                        task=task,
                        dataset=dataset,
                        split=split,
                        columns=columns,
                        format=format,
                        long=long,
                        base=base,
                        home=home,
                        limit=limit,
                        record=record,
                        batch_size=batch_size,
                        checks=checks,
                    )
                )
            cells.append(_cell(home, target, strategy, results))
    if not cells:
        raise RefError(
            f"nothing to measure for `{task}` with labels in `{tag}` on `{base.identity.name}`",
            hint=command("ahl", "train", "task", task, "--source", tag, "--train", "FILE"),
        )
    return Table(task, tag, cells[0].metric, tuple(cells))


def _check_gold(
    home: Home,
    heads: Iterable[HeadSpec],
    path: Path,
    *,
    columns: Columns | None,
    format: str | None,
    limit: int | None,
    checks: Checks,
) -> None:
    """Compare a file's labels with those of all heads, before any of them is measured."""
    for head in heads:
        task_type = home.plugins().task_type(head.type)
        examples = read_examples(task_type, path, columns, format=format)
        checks.gold(task_type, path, examples[:limit], head.labels)


def _heads(home: Home, compositions: Iterable[Any]) -> list[HeadSpec]:
    """Return the heads on top of compositions, one for each task type and list of labels."""
    heads = (head_of_topmost(composition, home) for composition in compositions)
    return list({(head.type, head.labels): head for head in heads}.values())


def _cell(home: Home, target: str, strategy: str, results: Sequence[Result]) -> Cell:
    values = [result.value for result in results]
    first = results[0]
    task_type = home.plugins().task_type(first.task_type)
    low, high = interval([result.tallies for result in results], task_type, first.labels)
    return Cell(
        target=target,
        strategy=strategy,
        metric=first.metric,
        mean=statistics.fmean(values),
        spread=statistics.stdev(values) if len(values) > 1 else None,
        low=low,
        high=high,
        n=first.n,
        values={result.seed: result.value for result in results},
        compositions=tuple(result.composition for result in results),
        unknown=first.unknown,
    )

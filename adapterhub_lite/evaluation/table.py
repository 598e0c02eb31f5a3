"""A whole table: targets by strategies, over all seeds that the home's adapters were trained with.

Which compositions there are, `strategies` says.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import languages
from adapterhub_lite.errors import RefError
from adapterhub_lite.evaluation.bootstrap import Difference, difference, interval
from adapterhub_lite.evaluation.measure import FULL, Tuned, evaluate, head_of_topmost
from adapterhub_lite.evaluation.results import Result
from adapterhub_lite.evaluation.strategies import (
    STRATEGIES,
    base_of,
    canonical,
    checked,
    known,
    to_measure,
)
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
    be said on differences of the size that seeds make.  `resolved` marks what `ahl resolve` answers
    without these measurements.  `difference` is from the target's cell of the strategy `against`,
    over the same examples; that cell itself has none.
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
    resolved: bool = False
    against: str = ""
    difference: Difference | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the cell as JSON values."""
        names = ("target", "strategy", "metric", "mean", "spread", "low", "high", "n", "resolved")
        values = {name: getattr(self, name) for name in names}
        return {
            **values,
            "seeds": {str(seed): value for seed, value in self.values.items()},
            "compositions": list(self.compositions),
            "against": self.against or None,
            "difference": self.difference.to_json() if self.difference else None,
            "unknown_labels": self.unknown.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Table:
    """Targets by strategies; `order` has the names of all strategies as columns go."""

    task: str
    source: str
    metric: str
    cells: tuple[Cell, ...]
    order: tuple[str, ...] = (*STRATEGIES, FULL)

    @property
    def targets(self) -> tuple[str, ...]:
        """The rows, in the order asked for."""
        return tuple(dict.fromkeys(cell.target for cell in self.cells))

    @property
    def strategies(self) -> tuple[str, ...]:
        """The columns that have something in them."""
        present = {cell.strategy for cell in self.cells}
        return tuple(name for name in self.order if name in present)

    def cell(self, target: str, strategy: str) -> Cell | None:
        """Return a cell, `None` where there was nothing to measure."""
        key = (target, canonical(strategy))
        return next((c for c in self.cells if (c.target, c.strategy) == key), None)

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
    against: str | None = None,
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
        strategies: names of columns; left out, those of the papers, what `ahl resolve` answers,
            and its fallbacks for targets without an adapter.
        against: the strategy that others are compared with; left out, that of what `ahl resolve`
            answers, else the first column.
        progress: called with a line before every measurement.

    The other arguments and errors are those of `evaluate`.

    Raises:
        RefError: the home has nothing for this.
        UsageError: an unknown strategy.
    """
    from adapterhub_lite.home import Home
    from adapterhub_lite.model.base import Base, load_base

    home = home if isinstance(home, Home) else Home.find(home)
    names = None if strategies is None else checked(strategies, home)
    reference = None if against is None else checked([against], home)[0]
    tag = languages.normalise(source)
    if not isinstance(base, Base):
        base = load_base(base if base is not None else base_of(home, task, tag), home=home)
    files = {languages.normalise(target): path for target, path in data.items()}
    # all rows before any score is recorded: what one target scores can change what is resolved
    rows = {
        target: to_measure(
            home, base, task=task, source=tag, target=target, full=full, strategies=names
        )
        for target in files
    }
    checks = Checks(allow_unsuitable)
    for target, row in rows.items():
        heads = _heads(home, chain(*row.columns.values()))
        path = Path(files[target])
        _check_gold(home, heads, path, columns=columns, format=format, limit=limit, checks=checks)
    cells: list[Cell] = []
    for target, row in rows.items():
        results: dict[str, list[Result]] = {}
        for strategy, compositions in row.columns.items():
            for composition in compositions:
                if progress is not None:
                    progress(f"{target}: {strategy}")
                result = evaluate(
                    composition,
                    files[target],
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
                results.setdefault(strategy, []).append(result)
        cells += _row(home, target, results, row.resolved, reference)
    if not cells:
        asked = f" by {', '.join(f'`{name}`' for name in names)}" if names else ""
        raise RefError(
            f"nothing to measure for `{task}` with labels in `{tag}` on "
            f"`{base.identity.name}`{asked}",
            hint=command("ahl", "train", "task", task, "--source", tag, "--train", "FILE"),
        )
    return Table(task, tag, cells[0].metric, tuple(cells), known(home))


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


def _row(
    home: Home,
    target: str,
    results: Mapping[str, Sequence[Result]],
    resolved: str,
    against: str | None,
) -> list[Cell]:
    """Return the cells of a target, each with its difference from one of them."""
    answered = [
        strategy
        for strategy, runs in results.items()
        if any(resolved == result.composition for result in runs)
    ]
    first = (name for name in (*STRATEGIES, *results) if name in results)
    reference = against or ""
    if reference not in results:
        reference = next(iter((*answered, *first)), "")
    return [
        _cell(home, target, strategy, results, reference, resolved=strategy in answered)
        for strategy in results
    ]


def _cell(
    home: Home,
    target: str,
    strategy: str,
    results: Mapping[str, Sequence[Result]],
    against: str,
    *,
    resolved: bool,
) -> Cell:
    runs, others = results[strategy], results[against]
    values = [result.value for result in runs]
    first = runs[0]
    task_type = home.plugins().task_type(first.task_type)
    tallies = [result.tallies for result in runs]
    low, high = interval(tallies, task_type, first.labels)
    compared = strategy != against and first.metric == others[0].metric
    return Cell(
        target=target,
        strategy=strategy,
        metric=first.metric,
        mean=statistics.fmean(values),
        spread=statistics.stdev(values) if len(values) > 1 else None,
        low=low,
        high=high,
        n=first.n,
        values={result.seed: result.value for result in runs},
        compositions=tuple(result.composition for result in runs),
        unknown=first.unknown,
        resolved=resolved,
        against=against if compared else "",
        difference=difference(
            tallies,
            [result.tallies for result in others],
            task_type,
            first.labels,
            others[0].labels,
        )
        if compared
        else None,
    )

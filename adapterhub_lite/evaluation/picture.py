"""Pictures: a table (targets by strategies), and a confusion matrix (gold by predicted labels)."""

from __future__ import annotations

import math
from pathlib import Path

from adapterhub_lite.drawing import figure_class, save
from adapterhub_lite.evaluation.report import Report
from adapterhub_lite.evaluation.table import Table

_CELL = (1.5, 0.45)
"""Width and height of a table's cell in inches."""

_CONFUSION_CELL = 0.4
"""Side of a confusion matrix's cell in inches."""

_DARK = 0.5
"""Share of a row from which on black numbers cannot be read."""


def picture(table: Table, path: str | Path) -> Path:
    """Draw a table as a heat map; each row's best is bold.  The format follows from the extension.

    Raises:
        UsageError: matplotlib is not installed, or it does not know the extension.
        HomeError: the file cannot be written.
    """
    targets, strategies = table.targets, table.strategies
    figure = figure_class()(
        figsize=(1.2 + _CELL[0] * len(strategies), 1.6 + _CELL[1] * len(targets)),
        layout="constrained",
    )
    axes = figure.subplots()
    values = [[_mean(table, t, s) for s in strategies] for t in targets]
    image = axes.imshow(values, aspect="auto", cmap="viridis")
    middle = sum(image.get_clim()) / 2
    for row, target in enumerate(targets):
        best = max(value for value in values[row] if not math.isnan(value))
        for column, strategy in enumerate(strategies):
            value = values[row][column]
            axes.text(
                column,
                row,
                _text(table, target, strategy),
                ha="center",
                va="center",
                fontsize=8,
                color="black" if value > middle else "white",
                fontweight="bold" if value == best else "normal",
            )
    axes.set_xticks(
        range(len(strategies)), [s.replace(", ", ",\n") for s in strategies], fontsize=8
    )
    axes.set_yticks(range(len(targets)), targets)
    axes.xaxis.tick_top()
    axes.set_title(f"{table.task}, labels in {table.source}: {table.metric} (%)", fontsize=10)
    return save(figure, path)


def confusion_picture(report: Report, path: str | Path, title: str = "") -> Path:
    """Draw a confusion matrix: gold labels down, predicted ones across.

    Colour is the share of the gold label's row, so that rare labels can be read too; numbers are
    counts.

    Raises:
        UsageError: matplotlib is not installed, or it does not know the extension.
        HomeError: the file cannot be written.
    """
    names, counts = report.confused, report.matrix()
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    side = _CONFUSION_CELL * len(names)
    figure = figure_class()(figsize=(2.4 + side, 2.0 + side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in ((r, c) for r in range(len(names)) for c in range(len(names))):
        if counts[row][column]:
            axes.text(
                column,
                row,
                str(counts[row][column]),
                ha="center",
                va="center",
                fontsize=6,
                color="white" if shares[row][column] > _DARK else "black",
            )
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("gold")
    axes.set_title(title, fontsize=10)
    return save(figure, path)


def _mean(table: Table, target: str, strategy: str) -> float:
    cell = table.cell(target, strategy)
    return cell.mean * 100 if cell is not None else float("nan")


def _text(table: Table, target: str, strategy: str) -> str:
    cell = table.cell(target, strategy)
    if cell is None:
        return ""
    mean = f"{cell.mean * 100:.1f}"
    return mean if cell.spread is None else f"{mean} ± {cell.spread * 100:.1f}"

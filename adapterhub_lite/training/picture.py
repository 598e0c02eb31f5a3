"""A picture of a run's curves: the losses above, other measurements below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapterhub_lite.drawing import figure_class, save
from adapterhub_lite.training.curves import Record

_SIZE = (6.4, 2.6)
"""Width of the picture and height of one part, in inches."""
_WINDOW = 20
"""Steps in the running mean of the loss are a so-manieth part of all steps."""


def picture(records: Sequence[Record], path: str | Path, *, title: str) -> Path:
    """Draw a run's curves.  The format follows from the extension.

    Raises:
        UsageError: matplotlib is not installed, or it does not know the extension.
        HomeError: the file cannot be written.
    """
    curves = _curves(records)
    losses = {name: points for name, points in curves.items() if _is_loss(name)}
    others = {name: points for name, points in curves.items() if not _is_loss(name)}
    parts = [part for part in (losses, others) if part] or [{}]
    figure = figure_class()(figsize=(_SIZE[0], _SIZE[1] * len(parts) + 0.6), layout="constrained")
    grid = figure.subplots(len(parts), 1, sharex=True, squeeze=False)
    for (axes,), part in zip(grid, parts, strict=True):
        for name, points in part.items():
            _draw(axes, name, points)
        if part:
            axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    grid[-1][0].set_xlabel("step", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return save(figure, path)


def _is_loss(name: str) -> bool:
    return name.partition(",")[0].endswith("loss")


def _curves(records: Sequence[Record]) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) by name; the rounds of a run are curves of their own."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        suffix = f", round {record['round']}" if "round" in record else ""
        for name, value in record.items():
            if name not in ("step", "round") and isinstance(value, int | float):
                curves.setdefault(name + suffix, []).append((record["step"], value))
    return curves


def _draw(axes: Any, name: str, points: Sequence[tuple[int, float]]) -> None:
    steps, values = zip(*points, strict=True)
    window = len(points) // _WINDOW
    if name.startswith("loss") and window > 1:
        (line,) = axes.plot(steps, values, linewidth=0.5, alpha=0.3)
        means = [
            sum(values[max(0, n - window) : n + 1]) / (n + 1 - max(0, n - window))
            for n in range(len(values))
        ]
        axes.plot(steps, means, color=line.get_color(), linewidth=1.5, label=f"{name} (mean)")
        return
    axes.plot(steps, values, marker="o", markersize=3, linewidth=1.2, label=name)

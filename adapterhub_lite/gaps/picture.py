"""A picture of gaps: sources down, targets across, a colour a strategy; one panel a task."""

from __future__ import annotations

from pathlib import Path

from adapterhub_lite.drawing import figure_class, save
from adapterhub_lite.gaps.survey import Gaps

NOTHING = "nothing"
_CELL = 0.42
"""Width and height of a cell in inches."""


def picture(gaps: Gaps, path: str | Path, strategies: tuple[str, ...]) -> Path:
    """Draw a survey; `strategies` are all there are, most preferred first: dark is better.

    Raises:
        UsageError: matplotlib is not installed, or it does not know the extension.
        HomeError: the file cannot be written.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    tasks = tuple(dict.fromkeys(cell.task for cell in gaps.cells))
    sources = tuple(dict.fromkeys(cell.source for cell in gaps.cells))
    targets = tuple(dict.fromkeys(cell.target for cell in gaps.cells))
    found = {cell.strategy or NOTHING for cell in gaps.cells}
    scale = [name for name in (*strategies, NOTHING) if name in found]
    colours = _colours(scale)
    figure = figure_class()(
        figsize=(3.2 + _CELL * len(targets), len(tasks) * (1.1 + _CELL * len(sources))),
        layout="constrained",
    )
    panels = figure.subplots(len(tasks), 1, squeeze=False)[:, 0]
    for axes, task in zip(panels, tasks, strict=True):
        rows = [
            [scale.index(gaps.cell(s, t, task).strategy or NOTHING) for t in targets]
            for s in sources
        ]
        axes.imshow(rows, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(scale) - 0.5)
        axes.set_xticks(range(len(targets)), targets, fontsize=8, rotation=90)
        axes.set_yticks(range(len(sources)), sources, fontsize=8)
        axes.set_xticks([x - 0.5 for x in range(1, len(targets))], minor=True)
        axes.set_yticks([y - 0.5 for y in range(1, len(sources))], minor=True)
        axes.grid(which="minor", color="white")
        axes.tick_params(which="minor", length=0)
        axes.set_title(f"{task} on {gaps.base.name}", fontsize=10)
    handles = [Patch(color=c, label=n) for c, n in zip(colours, scale, strict=True)]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8)
    return save(figure, path)


def _colours(scale: list[str]) -> list[str]:
    """Return a colour a strategy: viridis from dark (preferred) to light, and grey for nothing."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    named = [name for name in scale if name != NOTHING]
    steps = [number / max(1, len(named) - 1) for number in range(len(named))]
    colours = [to_hex(colormaps["viridis"](0.1 + 0.85 * step)) for step in steps]
    return [*colours, *(["#d9d9d9"] if NOTHING in scale else [])]

"""Where pictures meet matplotlib: found or named as missing, saved or said why not.

`check` comes before the work whose result is drawn, which may have taken hours.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.disk import UNFINISHED, refusing
from adapterhub_lite.errors import UsageError
from adapterhub_lite.foreign.text import lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_class() -> type[Figure]:
    """Return matplotlib's `Figure`; raises `UsageError` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "pictures need matplotlib", hint="`pip install 'adapterhub_lite[plots]'`"
        ) from None
    return Figure


def check(path: Path) -> Path:
    """Return `path` if a picture can be drawn to it.

    Raises:
        UsageError: no matplotlib, an extension that it does not know, or no such folder.
    """
    kinds = figure_class()().canvas.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in kinds:
        raise UsageError(
            f"cannot draw to `{path}`: `{path.suffix}` is no kind of picture that matplotlib has",
            hint="for example `.svg`, `.png` or `.pdf`",
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot draw to `{path}`: there is no folder `{path.parent}`")
    return path


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format of the path's extension; the same figure gives the same bytes.

    Raises:
        UsageError: an extension that matplotlib does not know.
        HomeError: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # names of tasks and bases: no formulas, nothing obeyed
        text.set_parse_math(False)
        text.set_text(lines(text.get_text()))
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    dated = {"Date": None} if kind == "svg" else None
    beside = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        with mpl.rc_context({"svg.hashsalt": "adapterhub_lite"}), refusing(path):
            figure.savefig(beside, dpi=150, metadata=dated, format=kind)
            beside.replace(path)
    except ValueError as error:
        raise UsageError(f"cannot draw to `{path}`: {error}") from None
    finally:
        beside.unlink(missing_ok=True)
    return path

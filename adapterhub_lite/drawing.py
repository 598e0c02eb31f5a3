"""Where pictures meet matplotlib: found or named as missing, saved or said why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.errors import HomeError, UsageError

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


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format of the path's extension; the same figure gives the same bytes.

    Raises:
        UsageError: an extension that matplotlib does not know.
        HomeError: the file cannot be written.
    """
    import matplotlib as mpl

    dated = {"Date": None} if Path(path).suffix == ".svg" else None
    try:
        with mpl.rc_context({"svg.hashsalt": "adapterhub_lite"}):
            figure.savefig(path, dpi=150, metadata=dated)
    except ValueError as error:
        raise UsageError(f"cannot draw to `{path}`: {error}") from None
    except OSError as error:
        raise HomeError(f"cannot write `{path}`: {error.strerror}") from None
    return Path(path)

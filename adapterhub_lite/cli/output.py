"""Printing tables, for eyes on a terminal and for other programs through a pipe; and pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click


class Picture(click.Path):
    """A file to draw to, looked at before the work begins."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, or say why nothing can be drawn there."""
        from adapterhub_lite.drawing import check

        path = super().convert(value, param, ctx)
        assert isinstance(path, Path)
        return check(path)


PICTURE = Picture()


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, head_through_pipe: bool = False
) -> None:
    """Print rows: a table with a head on a terminal, else one line a row, tabs between cells.

    `head_through_pipe` is for tables whose columns are not always the same.
    """
    if sys.stdout.isatty():
        _for_eyes(head, rows)
        return
    for row in [head, *rows] if head_through_pipe else rows:
        click.echo("\t".join(row))


def _for_eyes(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value}")

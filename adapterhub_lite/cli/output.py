"""Everything that a command prints goes through here; and pictures.

On a terminal and through a pipe a table has the same columns and words, in the same order, under a
head.  What people copy (refs, compositions, files) is never cut or broken: a table too wide for the
terminal folds its prose at blanks, and if that is not enough, each row becomes a block with a line
for each cell.

Most of what is printed was written by others: names, bases, licences, labels.  So each function
makes its text fit to be printed (`foreign.text`), and no other file of this folder writes to stdout
or stderr, or hands data to rich as markup; a test looks for that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.foreign import text

if TYPE_CHECKING:
    from rich.console import Console


GAP = 3
"""What is between two columns: a blank of padding for each, and one for the line."""


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


def echo(
    line: object = "", *, err: bool = False, bold: bool = False, colour: str | None = None
) -> None:
    """Print one line."""
    printable = text.one_line(line)
    styled = click.style(printable, fg=colour, bold=True) if bold or colour else printable
    click.echo(styled, err=err)


def cells(row: Iterable[object]) -> None:
    """Print one line of cells, with tabs between them."""
    click.echo("\t".join(map(text.one_line, row)))


def print_json(values: Any) -> None:
    """Print values as one JSON document."""
    click.echo(to_json(values))


def to_json(values: Any) -> str:
    """Return the JSON text of values; frozen types of other rooms say themselves how they look."""
    return text.in_json(json.dumps(values, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def console(*, err: bool = False) -> Console:
    """Return a rich console that takes text as text: no markup, no emoji names."""
    from rich.console import Console

    return Console(stderr=err, markup=False, emoji=False, highlight=False)


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, prose: Collection[str] = ()
) -> None:
    """Print rows under a head: aligned on a terminal, else with tabs between cells.

    `prose` names the columns that may be folded at blanks.
    """
    lines = [[text.one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _for_eyes(head, lines, prose)
        return
    for line in [head, *lines]:
        cells(line)


def fits(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table of these rows is no wider than the terminal; a pipe has any width."""
    from rich.cells import cell_len

    if not sys.stdout.isatty():
        return True
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + GAP * (len(widths) - 1) <= console().width


def _for_eyes(head: Sequence[str], rows: Sequence[Sequence[str]], prose: Collection[str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    terminal = console()
    widths = _widths(head, rows, prose, terminal.width)
    if widths is None:
        _in_blocks(head, rows)
        return
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name, width in zip(head, widths, strict=True):
        grid.add_column(Text(name), width=width)
    for row in rows:
        grid.add_row(*map(Text, row))
    terminal.print(grid)


def _widths(
    head: Sequence[str], rows: Sequence[Sequence[str]], prose: Collection[str], available: int
) -> list[int] | None:
    """Return the columns' widths in which no word is broken, or `None` if the terminal has less.

    Rich would cut or break words instead.
    """
    from rich.cells import cell_len

    columns = [[name, *(row[i] for row in rows)] for i, name in enumerate(head)]
    whole = [max(map(cell_len, column)) for column in columns]
    least = [
        max(cell_len(word) for cell in column for word in cell.split() or [""])
        if column[0] in prose
        else width
        for column, width in zip(columns, whole, strict=True)
    ]
    spare = available - GAP * (len(head) - 1) - sum(least)
    if spare < 0:
        return None
    share = min(1.0, spare / max(1, sum(whole) - sum(least)))
    return [low + int((high - low) * share) for low, high in zip(least, whole, strict=True)]


def _in_blocks(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a block for each row; only the terminal itself breaks a line, so it copies whole."""
    width = max(map(len, head))
    for number, row in enumerate(rows):
        if number:
            echo()
        for name, cell in zip(head, row, strict=True):
            echo(f"{name:<{width}}  {cell}")


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        echo(f"{name:<{width}}  {value}")

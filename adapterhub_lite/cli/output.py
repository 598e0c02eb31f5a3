"""Everything that a command prints goes through here; and pictures.

Most of what is printed was written by others: names, bases, licences, labels.  So each function
makes its text fit to be printed (`foreign.text`), and no other file of this folder writes to stdout
or stderr, or hands data to rich as markup; a test looks for that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.foreign import text

if TYPE_CHECKING:
    from rich.console import Console


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


def echo(line: object = "", *, err: bool = False) -> None:
    """Print one line."""
    click.echo(text.one_line(line), err=err)


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
    head: Sequence[str], rows: Iterable[Sequence[str]], *, head_through_pipe: bool = False
) -> None:
    """Print rows: a table with a head on a terminal, else one line a row, tabs between cells.

    `head_through_pipe` is for tables whose columns are not always the same.
    """
    if sys.stdout.isatty():
        _for_eyes(head, rows)
        return
    for row in [head, *rows] if head_through_pipe else rows:
        cells(row)


def _for_eyes(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in head:
        shown.add_column(Text(text.one_line(title)))
    for row in rows:
        shown.add_row(*(Text(text.one_line(cell)) for cell in row))
    console().print(shown)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        echo(f"{name:<{width}}  {value}")

"""Options of every command that reads labelled data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("conllu", "columns", "tsv", "csv", "jsonl", "json", "text")
"""`tasks.formats.FORMATS`, which is not imported for a help page."""
LONG = ("cut", "split", "refuse")
PARAMETERS = ("columns", "format")
"""Names of what `data_options` adds, for a command's modes."""


def data_options(function: F) -> F:
    """Add how a file of labelled data is read: `columns` and `format`."""
    for option in (
        click.option(
            "--format",
            type=click.Choice(FORMATS),
            help="Format of FILE [default: told from its content].",
        ),
        click.option(
            "--column",
            "--columns",
            "columns",
            multiple=True,
            metavar="FIELD=COLUMN",
            help="Column of FILE that holds a field (text, label, words, tags, ...), by name or "
            "number: `tags=4`; may be repeated, or have commas between.",
        ),
    ):
        function = option(function)
    return function


long_option = click.option(
    "--long",
    type=click.Choice(LONG),
    default="cut",
    show_default=True,
    help="A text that the base cannot read at once: leave its end out, read it in parts, or stop.",
)


def columns_of(texts: tuple[str, ...]) -> dict[str, str] | None:
    """Return `field=column` texts as a mapping, `None` if there are none."""
    columns = {}
    for text in texts:
        for pair in re.split(r",(?=\w+=)", text):
            field, equals, column = pair.partition("=")
            if not (field and equals and column):
                raise click.BadParameter(
                    f"expected FIELD=COLUMN, found `{pair}`", param_hint="--column"
                )
            columns[field] = column
    return columns or None

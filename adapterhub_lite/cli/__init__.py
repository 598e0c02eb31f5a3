"""The command line: `ahl`.

A command parses, calls one function of another room, and prints.  Data goes to stdout, words go
to stderr.  Nothing here may import torch, transformers, the Hub client or the database at the top
of a file: `ahl --help` loads every file in this folder.  Plugins add commands (`extending.py`).
"""

from __future__ import annotations

import click

from adapterhub_lite.cli import (
    attaching,
    catalog,
    evaluating,
    exchange,
    gaps,
    homes,
    hub,
    languages,
    merging,
    plugins,
    predicting,
    records,
    resolving,
    scores,
    training,
)
from adapterhub_lite.cli.extending import ExtendedGroup
from adapterhub_lite.version import VERSION

__all__ = ["main"]


@click.group(
    cls=ExtendedGroup,
    examples=(
        "ahl list --kind language",
        "ahl resolve en gv --task pos",
        'ahl predict en gv --task pos "Ta ny paitchyn lhaih shenn lioaryn."',
    ),
)
@click.version_option(VERSION, "--version", prog_name="ahl")
def main() -> None:
    """Find, combine, run and train adapters for many languages.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing fits the request.
    """


for _room in (
    homes,
    records,
    languages,
    catalog,
    resolving,
    gaps,
    attaching,
    predicting,
    evaluating,
    scores,
    training,
    merging,
    exchange,
    hub,
    plugins,
):
    for _command in _room.COMMANDS:
        main.add_command(_command)

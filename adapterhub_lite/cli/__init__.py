"""The command line: `ahl`.

A command parses, calls one function of another room, and prints.  Data goes to stdout, words go
to stderr.  Nothing here may import torch, transformers, the Hub client or the database at the top
of a file: `ahl --help` loads every file in this folder.  Any other call loads the file of its own
command only.  Plugins add commands (`extending.py`).
"""

from __future__ import annotations

import click

from adapterhub_lite.cli.extending import ExtendedGroup
from adapterhub_lite.version import VERSION

__all__ = ["main"]

ROOMS = {
    "homes": ("init", "verify", "gc", "rebuild"),
    "records": ("add", "list", "show", "remove", "alias"),
    "languages": ("lang",),
    "catalog": ("search", "catalog"),
    "resolving": ("resolve",),
    "gaps": ("gaps",),
    "attaching": ("attach",),
    "predicting": ("predict",),
    "evaluating": ("evaluate",),
    "scores": ("scores",),
    "training": ("train",),
    "merging": ("merge",),
    "exchange": ("import", "export"),
    "hub": ("push", "pull"),
    "plugins": ("methods", "plugins", "trust"),
}
"""The files of this folder and the commands in them, in the order of `ahl --help`."""


@click.group(
    "ahl",
    cls=ExtendedGroup,
    rooms={command: f"{__name__}.{room}" for room, names in ROOMS.items() for command in names},
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

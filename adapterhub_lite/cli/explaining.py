"""An answer of the resolver on a terminal: the plain text, with colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapterhub_lite.cli.output import echo

if TYPE_CHECKING:
    from adapterhub_lite.resolver import Resolution


def show(resolution: Resolution, *, everything: bool = False) -> None:
    """Print an answer: through a pipe and on a terminal the same lines.

    Long lines are left to the terminal to fold, so a composition or command copies whole.
    """
    composition = f"  {resolution.composition}"
    for number, line in enumerate(resolution.explain(everything=everything).split("\n")):
        if number == 0:
            echo(line, bold=True)
        elif line == composition:
            echo(line, colour="green")
        elif line.startswith("warning: "):
            echo(line, colour="yellow")
        else:
            echo(line)

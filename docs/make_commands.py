"""Write docs/commands.md from the commands' own help.

    python docs/make_commands.py

A test compares the two, so the page is never behind the program.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from adapterhub_lite.cli import main
from adapterhub_lite.cli.extending import ExtendedGroup

PAGE = Path(__file__).with_name("commands.md")
WIDTH = 90


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a group and everything in it, with the words that call it."""
    yield name, group
    inside = group.built_in() if isinstance(group, ExtendedGroup) else group.commands
    for word, command in inside.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def page() -> str:
    """Return the page: one section a command, its help as printed."""
    parts = ["# Commands\n\nWritten by `python docs/make_commands.py` from `ahl ... --help`.\n"]
    for name, command in commands(main, "ahl"):
        settings = {**command.context_settings, "terminal_width": WIDTH}
        context = click.Context(command, info_name=name, **settings)
        parts.append(f"## {name}\n\n```text\n{command.get_help(context).strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""An answer of the resolver on a terminal: a tree with colours, of what the plain text says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapterhub_lite.foreign import text
from adapterhub_lite.resolver.explain import SHOWN, headline, refused

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    from adapterhub_lite.resolver import Resolution


def show(
    resolution: Resolution, *, everything: bool = False, console: Console | None = None
) -> None:
    """Print an answer as a tree, the top of the stack first, as it stands on what is below."""
    from adapterhub_lite.cli.output import console as stdout

    (console or stdout()).print(tree(resolution, everything=everything))


def tree(resolution: Resolution, *, everything: bool = False) -> Tree:
    """Return the tree of an answer."""
    from rich.tree import Tree

    root = Tree(_text(headline(resolution), "bold"), guide_style="dim")
    root.add(_text(resolution.why))
    stack = root.add(_text(resolution.composition, "bold green"))
    for choice in reversed(resolution.choices):
        name = stack.add(_text(f"{choice.slot} ") + _text(choice.ref, "cyan"))
        name.add(_text(choice.reason, "dim"))
    for warning in resolution.warnings:
        root.add(_text("warning:", "yellow") + _text(f" {warning}"))
    for note in resolution.notes:
        root.add(_text("note:", "blue") + _text(f" {note}"))
    for title, lines in _branches(resolution, None if everything else SHOWN):
        branch = root.add(_text(title, "bold"))
        for line in lines:
            branch.add(_text(line))
    return root


def _text(value: object, style: str = "") -> Text:
    """Return text for one line of the tree; rich takes none of it as markup."""
    from rich.text import Text

    return Text(text.one_line(value), style)


def _branches(resolution: Resolution, shown: int | None) -> Iterator[tuple[str, list[str]]]:
    """Yield what comes after the answer: titles, and the lines under them."""
    others = [f"{other.composition}: {other.lost}" for other in resolution.alternatives[:shown]]
    hidden = len(resolution.alternatives) - len(others)
    if others:
        yield "after it", [*others, *([f"and {hidden} more (--all lists them)"] if hidden else [])]
    if shown is None and resolution.rejections:
        yield "not allowed", [refused(rejection) for rejection in resolution.rejections]
    for missing in resolution.missing[:shown]:
        yield f"for {missing.strategy}: {missing.what}", list(missing.commands)

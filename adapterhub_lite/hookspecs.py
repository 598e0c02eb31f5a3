"""Extension points: everything a plugin can add, on one page.

A plugin is a module.  It offers what it adds through functions marked `@hookimpl`:

    from adapterhub_lite.hookspecs import hookimpl

    AHL_HOOKS = 1

    @hookimpl
    def ahl_methods():
        return [MyMethod()]

Every hook takes nothing and returns a list (a generator will do).  It is called at most once in a
process and home, when the first command needs what it offers, and by itself: one that fails is
reported by `ahl plugins` and disturbs nothing else.  What comes with the package arrives through
the same hooks, and its names cannot be taken.  A name that two plugins use is refused, naming both.

Keep heavy imports (torch, transformers, sqlalchemy) inside functions: a plugin is imported by
`ahl --help`.  `AHL_HOOKS` says which version of this page a plugin was written for; it may be left
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from adapterhub_lite.exchange.converter import Converter
    from adapterhub_lite.families import Family
    from adapterhub_lite.methods.base import Method
    from adapterhub_lite.resolver.strategies import Strategy
    from adapterhub_lite.tasks.base import TaskType

PROJECT = "adapterhub_lite"
"""Name of the hooks, and the entry point group of installed plugins."""

HOOKS = 1
"""Version of this page.  It grows when a plugin written for an earlier one would not work."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def ahl_methods() -> Sequence[Method]:  # type: ignore[empty-body]  # a specification has no body
    """Return PEFT methods: instances of `methods.base.Method`, mostly of `SiteMethod`.

    Called when a method is looked up (training, attaching, resolving, `ahl methods`), before any
    model is loaded.

        return [IA3()]
    """


@hookspec
def ahl_families() -> Sequence[Family]:  # type: ignore[empty-body]  # a specification has no body
    """Return rows of the anatomy table: where the parts are in a family of models.

    Called when something is attached to a model.  Each `model_type` is a name.

        return [Family(model_types=("my-bert",), layers="encoder.layer", ...)]
    """


@hookspec
def ahl_tasks() -> Sequence[TaskType]:  # type: ignore[empty-body]  # a specification has no body
    """Return task types: how examples are read, encoded and scored, and what the head computes.

    Called when a task type is looked up, before any model is loaded.

        return [DependencyParsing()]
    """


@hookspec
def ahl_strategies() -> Sequence[Strategy]:  # type: ignore[empty-body]  # as above
    """Return resolver strategies: further ways to put adapters together for a pair.

    Called by `resolve`, without torch or network; a strategy proposes stacks from the candidates
    in the pool.  Its `rank` says where it stands before any measurement; smaller is preferred, and
    those that come with the package have 20 to 63 (`resolver/strategies.py`).

        return [NearestRelative()]
    """


@hookspec
def ahl_converters() -> Sequence[Converter]:  # type: ignore[empty-body]  # as above
    """Return converters: how a method is spelt in the files of `peft` or `adapters`.

    Called by import, export, push and pull.  Without one, adapters of a method still travel in this
    package's own form, but no other library reads them.

        return [PeftIA3()]
    """


@hookspec
def ahl_commands() -> Sequence[click.Command]:  # type: ignore[empty-body]  # as above
    """Return commands of `ahl`: click commands, best made with `cli.command.command`.

    Called by `ahl --help`, and for a command that does not come with the package.

        return [coverage]
    """

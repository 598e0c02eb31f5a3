"""Extension points: everything a plugin can add, on one page.

A plugin is a module.  It offers what it adds through functions marked `@hookimpl`:

    from adapterhub_lite.hookspecs import hookimpl

    @hookimpl
    def ahl_methods():
        return [MyMethod()]

Each function is called once, when the first command needs what it offers; by itself, so that one
that fails is reported by `ahl plugins` and disturbs nothing else.  Keep heavy imports (torch,
transformers) inside methods: a plugin is imported by `ahl --help`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from adapterhub_lite.families import Family
    from adapterhub_lite.methods.base import Method
    from adapterhub_lite.tasks.base import TaskType

PROJECT = "adapterhub_lite"
"""Name of the hooks, and the entry point group of installed plugins."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def ahl_methods() -> Sequence[Method]:  # type: ignore[empty-body]  # a specification has no body
    """Return PEFT methods.

    Called when a method is looked up, before any model is loaded.  A name that two plugins use is
    refused, naming both.
    """


@hookspec
def ahl_families() -> Sequence[Family]:  # type: ignore[empty-body]  # a specification has no body
    """Return rows of the anatomy table: where the parts are in a family of models.

    Called when a model is attached to.  Rows for the same `model_type` are refused.
    """


@hookspec
def ahl_tasks() -> Sequence[TaskType]:  # type: ignore[empty-body]  # a specification has no body
    """Return task types: how examples are read, encoded and scored, and what the head computes.

    Called when a task type is looked up, before any model is loaded.
    """

"""`generate` with beams or several sequences: each row of its input becomes several.

transformers repeats every row `expand_size` times, next to each other, before the first forward
pass.  How often, it says to one method; while attached, that is noted for the time of `generate`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from adapterhub_lite.model.calls import thread

_EXPAND = "_expand_inputs_for_generation"


def watch_generation(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Note into how many rows `generate` makes each; yield what undoes that."""
    if not (hasattr(model, "generate") and hasattr(model, _EXPAND)):
        return
    yield _replace(model, "generate", _whole(model.generate))
    yield _replace(model, _EXPAND, _noting(getattr(model, _EXPAND)))


def _whole(generate: Any) -> Callable[..., Any]:
    @functools.wraps(generate)
    def run(*inputs: Any, **settings: Any) -> Any:
        before, thread.expansion = thread.expansion, 1
        try:
            return generate(*inputs, **settings)
        finally:
            thread.expansion = before

    return run


def _noting(expand: Any) -> Callable[..., Any]:
    @functools.wraps(expand)
    def run(expand_size: int = 1, *inputs: Any, **named: Any) -> Any:
        if thread.expansion:  # else nothing would set it back
            thread.expansion = expand_size
        return expand(expand_size, *inputs, **named)

    return run


def _replace(model: nn.Module, name: str, function: Callable[..., Any]) -> Callable[[], None]:
    """Set an attribute of this one model; return what takes it away again."""
    attributes = model.__dict__
    missing = object()
    before = attributes.get(name, missing)
    attributes[name] = function

    def undo() -> None:
        if before is missing:
            del attributes[name]
        else:
            attributes[name] = before

    return undo

"""For those who test: the conformance kit for methods, and tiny models of every family."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterhub_lite.testing.suite import MethodSuite

__all__ = ["MethodSuite"]


def __getattr__(name: str) -> Any:
    if name == "MethodSuite":
        return importlib.import_module("adapterhub_lite.testing.suite").MethodSuite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

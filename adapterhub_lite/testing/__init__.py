"""For those who test: conformance kits for methods and families, and tiny models of each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterhub_lite.methods.base import Method
    from adapterhub_lite.testing.family import FamilySuite
    from adapterhub_lite.testing.suite import MethodSuite

__all__ = ["FamilySuite", "MethodSuite", "load_method"]

_SUITES = {"FamilySuite": "family", "MethodSuite": "suite"}


def load_method(path: str | Path, name: str | None = None) -> Method:
    """Return the method of a plugin file, loaded as a home loads it; `name` if it has several.

    Raises:
        PluginError: the file or a hook of it fails, or has a name that is taken.
    """
    from adapterhub_lite.errors import PluginError, near
    from adapterhub_lite.plugins import load_file

    plugins = load_file(Path(path))
    offers = [offer.partition("method ")[2] for offer in plugins.infos[Path(path).stem].offers]
    names = [offered for offered in offers if offered and name in (None, offered)]
    if len(names) == 1:
        return plugins.method(names[0])
    found = "several methods" if names else f"no method {f'`{name}`' if name else ''}".rstrip()
    raise PluginError(f"plugin file `{path}` has {found}", hint=near(name or "", offers))


def __getattr__(name: str) -> Any:
    if name in _SUITES:
        return getattr(importlib.import_module(f"{__name__}.{_SUITES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Plugins: found, loaded one by one, and offered to the rest as plain mappings.

The only file that knows pluggy.  What pluggy does not do is done here: each hook function is called
by itself, so a failing one is remembered and shown instead of failing everything; a generator is
emptied inside the guard; a misspelt hook and a name taken twice are reported; order is by name.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from adapterhub_lite import hookspecs
from adapterhub_lite.adapter import Provider
from adapterhub_lite.errors import MethodError, PluginError, TaskTypeError, near
from adapterhub_lite.version import VERSION

if TYPE_CHECKING:
    from adapterhub_lite.families import Family
    from adapterhub_lite.methods.base import Method
    from adapterhub_lite.tasks.base import TaskType

BUILT_IN = ("adapterhub_lite.methods", "adapterhub_lite.tasks")
_HEAVY = ("torch", "transformers")


@dataclass(slots=True)
class PluginInfo:
    """One plugin: where it is from, what it offers, and what went wrong with it."""

    name: str
    version: str
    origin: str
    offers: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Plugins:
    """All plugins of one process and home, with what they offer by name."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.infos: dict[str, PluginInfo] = {}
        self.methods: dict[str, Method] = {}
        self.families: dict[str, Family] = {}
        self.task_types: dict[str, TaskType] = {}
        self._owner: dict[tuple[str, str], str] = {}

    def register(self, info: PluginInfo, load: Callable[[], ModuleType]) -> None:
        """Load one plugin and note what it offers, or why it cannot be loaded."""
        self.infos[info.name] = info
        heavy = [name for name in _HEAVY if name not in sys.modules]
        try:
            module = load()
            self._manager.register(module, name=info.name)
            self._manager.check_pending()
        except Exception as error:  # a plugin may fail in any way, and must only harm itself
            info.problems.append(f"{type(error).__name__}: {error}")
            self._manager.unregister(name=info.name)
            return
        slow = [name for name in heavy if name in sys.modules]
        if slow:
            info.problems.append(
                f"slow: imports {', '.join(slow)} at its top; import it inside functions"
            )
        self._collect(info, "ahl_methods", "method", self.methods, lambda m: (m.name,))
        self._collect(info, "ahl_families", "family", self.families, lambda f: f.model_types)
        self._collect(info, "ahl_tasks", "task type", self.task_types, lambda t: (t.name,))

    def _collect(
        self,
        info: PluginInfo,
        hook: str,
        what: str,
        table: dict[str, Any],
        names: Callable[[Any], tuple[str, ...]],
    ) -> None:
        for item in self._offered(info, hook):
            for name in names(item):
                owner = self._owner.get((what, name))
                if owner is not None:
                    other = self.infos[owner]
                    info.problems.append(
                        f"{what} `{name}` is already provided by "
                        f"{other.name} {other.version} ({other.origin})"
                    )
                    continue
                self._owner[what, name] = info.name
                table[name] = item
                info.offers.append(f"{what} {name}")

    def _offered(self, info: PluginInfo, hook: str) -> list[Any]:
        module = self._manager.get_plugin(info.name)
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin is module:
                try:
                    return list(implementation.function())
                except Exception as error:  # as above: reported, not raised
                    info.problems.append(f"{hook} failed: {type(error).__name__}: {error}")
        return []

    def method(self, name: str, provider: Provider | None = None) -> Method:
        """Return the method `name`; `provider` is what an adapter's manifest says provides it.

        Raises:
            MethodError: no plugin provides it; the message names plugins that failed to load.
        """
        if name in self.methods:
            return self.methods[name]
        raise MethodError(
            f"no plugin provides method `{name}`{self._failed()}",
            hint=f"{_wanted(provider)}; {near(name, self.methods)}",
            method=name,
        )

    def task_type(self, name: str) -> TaskType:
        """Return the task type `name`; raises `TaskTypeError` where no plugin provides it."""
        if name in self.task_types:
            return self.task_types[name]
        raise TaskTypeError(
            f"no plugin provides task type `{name}`{self._failed()}",
            hint=near(name, self.task_types),
            task_type=name,
        )

    def provider(self, method: str) -> Provider:
        """Return which plugin provides a method, for the manifest."""
        self.method(method)
        info = self.infos[self._owner["method", method]]
        return Provider(info.name, info.version)

    def _failed(self) -> str:
        broken = [i for i in self.infos.values() if i.problems and not i.offers]
        if not broken:
            return ""
        return "; failed to load: " + ", ".join(f"{i.name} ({i.problems[0]})" for i in broken)


def _wanted(provider: Provider | None) -> str:
    if provider is None:
        return "install or add the plugin that provides it"
    return f"install the plugin `{provider.plugin}` ({provider.version}), which provided it"


def load(folder: Path | None = None, *, entry_points: bool = True) -> Plugins:
    """Load built-ins, installed plugins and the files of `folder` (a trusted home's `plugins/`)."""
    plugins = Plugins()
    for name in BUILT_IN:
        plugins.register(
            PluginInfo(name, VERSION, "built in"), partial(importlib.import_module, name)
        )
    if entry_points:
        for point in sorted(
            importlib.metadata.entry_points(group=hookspecs.PROJECT), key=lambda p: p.name
        ):
            version = point.dist.version if point.dist else "unknown"
            origin = point.dist.name if point.dist else point.value
            plugins.register(PluginInfo(point.name, version, f"installed: {origin}"), point.load)
    for path in sorted(folder.glob("*.py")) if folder and folder.is_dir() else ():
        if path.name.startswith("_"):
            continue
        info = PluginInfo(path.stem, "file", str(path))
        if info.name in plugins.infos:
            raise PluginError(
                f"plugin file `{path}` has the name of an installed plugin; rename it"
            )
        plugins.register(info, partial(_from_file, path))
    return plugins


class _FromSource(SourceFileLoader):
    """Runs the file itself, never compiled code beside it, which nobody trusted."""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _from_file(path: Path) -> ModuleType:
    name = f"adapterhub_lite_plugin_{path.stem}"
    loader = _FromSource(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None or spec.loader is None:
        raise PluginError(f"`{path}` is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def problems(plugins: Plugins) -> Mapping[str, list[str]]:
    """Return what is wrong with which plugin."""
    return {name: info.problems for name, info in plugins.infos.items() if info.problems}

"""Plugins: loaded one by one, and what they offer given to the rest as plain mappings.

The only file that knows pluggy.  What pluggy does not do is done here: each hook function is called
by itself and only when its table is first needed, so a failing one is remembered and shown instead
of failing everything; a generator is emptied inside the guard; a misspelt or unmarked hook and a
name taken twice are reported; order is by name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from adapterhub_lite import hookspecs, plugin_offers, plugin_sources
from adapterhub_lite.adapter import Provider
from adapterhub_lite.errors import MethodError, PluginError, TaskTypeError, near
from adapterhub_lite.plugin_offers import HARMLESS, OFFERS, Offer, in_words
from adapterhub_lite.plugin_sources import Found, PluginInfo
from adapterhub_lite.version import VERSION

if TYPE_CHECKING:
    import click

    from adapterhub_lite.exchange.converter import Converter
    from adapterhub_lite.families import Family
    from adapterhub_lite.methods.base import Method
    from adapterhub_lite.resolver.strategies import Strategy
    from adapterhub_lite.tasks.base import TaskType

__all__ = ["PluginInfo", "Plugins", "load", "load_file"]

HEAVY = ("torch", "transformers", "accelerate", "datasets", "sqlalchemy", "huggingface_hub")
"""Libraries that cost `ahl --help` more than all else together."""


class Plugins:
    """All plugins of one process and home, with what they offer by name."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._tables: dict[str, dict[str, Any]] = {}
        self._owners: dict[tuple[str, str], list[PluginInfo]] = {}
        self.infos: dict[str, PluginInfo] = {}
        self.refused: list[PluginInfo] = []
        """Files that may not run, or whose plugin's name is taken; `failures` say why."""
        self.untrusted: frozenset[str] = frozenset()
        """Names of the plugins whose files may not run until they are trusted."""

    def register(self, found: Found) -> None:
        """Load one plugin, or note why it cannot be loaded.  None of its hooks is called."""
        info = found.info
        if info.name in self.infos:
            info.failures.append(f"the name is taken by {self.infos[info.name]}; rename one")
            self.refused.append(info)
            return
        self.infos[info.name] = info
        before = set(sys.modules)
        try:
            with redirect_stdout(sys.stderr):  # stdout is for what a command answers
                module = found.load()
            stated = str(getattr(module, "__version__", info.version))
            info.version = plugin_sources.one_line(stated)
            _check_hooks(module)
            self._manager.register(module, name=info.name)
        except HARMLESS as error:
            info.failures.append(in_words(error))
        else:
            info.slow = _heavy(module, before)

    def _table(self, hook: str) -> dict[str, Any]:
        if hook not in self._tables:
            self._tables[hook] = {}
            self._collect(OFFERS[hook], self._tables[hook])
        return self._tables[hook]

    def _collect(self, offer: Offer, table: dict[str, Any]) -> None:
        items: dict[str, list[tuple[PluginInfo, Any]]] = {}
        for info in self.infos.values():
            for item in self._offered(info, offer):
                for name in offer.names(item):
                    items.setdefault(name, []).append((info, item))
        for name, found in sorted(items.items()):
            owners = [info for info, _ in found]
            self._owners[offer.what, name] = owners
            if len(owners) == 1 or owners[0].built_in:
                table[name] = found[0][1]
                owners[0].offers.append(f"{offer.what} {name}")
            _note_clash(f"{offer.what} `{name}`", owners)

    def _offered(self, info: PluginInfo, offer: Offer) -> list[Any]:
        """Return what one plugin's hook returns, as far as it is what the hook asks for."""
        module = self._manager.get_plugin(info.name)
        for implementation in getattr(self._manager.hook, offer.hook).get_hookimpls():
            if module is not None and implementation.plugin is module:
                try:
                    with redirect_stdout(sys.stderr):
                        answer = implementation.function()
                        good, bad = plugin_offers.checked(offer, answer, trusted=info.built_in)
                except HARMLESS as error:
                    info.failures.append(f"{offer.hook} failed: {in_words(error)}")
                    return []
                info.failures.extend(bad)
                return good
        return []

    @cached_property
    def methods(self) -> Mapping[str, Method]:
        """The methods by name."""
        return self._table("ahl_methods")

    @cached_property
    def families(self) -> Mapping[str, Family]:
        """The rows of the anatomy table by model type."""
        return self._table("ahl_families")

    @cached_property
    def task_types(self) -> Mapping[str, TaskType]:
        """The task types by name."""
        return self._table("ahl_tasks")

    @cached_property
    def commands(self) -> Mapping[str, click.Command]:
        """The commands of `ahl` by name, built-in ones included."""
        return self._table("ahl_commands")

    @cached_property
    def converters(self) -> tuple[Converter, ...]:
        """The converters to and from other libraries' files, by name."""
        return tuple(self._table("ahl_converters").values())

    @cached_property
    def strategies(self) -> tuple[Strategy, ...]:
        """The resolver's strategies, most preferred first."""
        found: Iterable[Strategy] = self._table("ahl_strategies").values()
        return tuple(sorted(found, key=lambda strategy: (strategy.rank, strategy.name)))

    def report(self) -> list[PluginInfo]:
        """Call all hooks, and return every plugin with what it offers and what is wrong."""
        for hook in OFFERS:
            self._table(hook)
        return sorted([*self.infos.values(), *self.refused], key=lambda info: info.name)

    def method(self, name: str, provider: Provider | None = None) -> Method:
        """Return the method `name`; `provider` is what an adapter's manifest says provides it.

        Raises:
            MethodError: no plugin provides it, or several do; the message names them, or those
                that failed to load.
        """
        if name in self.methods:
            return self.methods[name]
        message, hint = self._absent("method", name, self.methods)
        if provider is not None and ("method", name) not in self._owners:
            hint = f"{_wanted(provider)}; {hint}"
        raise MethodError(message, hint=hint, method=name)

    def awaits_trust(self, method: str, provider: Provider) -> bool:
        """Whether a method is missing only because its plugin's file may not run yet."""
        return method not in self.methods and provider.plugin in self.untrusted

    def task_type(self, name: str) -> TaskType:
        """Return the task type `name`; raises `TaskTypeError` where no plugin provides it."""
        if name in self.task_types:
            return self.task_types[name]
        message, hint = self._absent("task type", name, self.task_types)
        raise TaskTypeError(message, hint=hint, task_type=name)

    def owner(self, what: str, name: str) -> PluginInfo | None:
        """Return the plugin that offers something (`strategy`, `method`, ...) by its name."""
        owners = self._owners.get((what, name), [])
        return owners[0] if owners else None

    def provider(self, method: str) -> Provider:
        """Return which plugin provides a method, for the manifest."""
        self.method(method)
        info = self._owners["method", method][0]
        return Provider(info.name, info.version)

    def _absent(self, what: str, name: str, known: Iterable[str]) -> tuple[str, str]:
        """Return a sentence about a name that gives nothing, and what to do."""
        owners = self._owners.get((what, name), [])
        if owners:
            both = " and ".join(str(info) for info in owners)
            return f"{what} `{name}` is provided by {both}", "remove one, or rename what it offers"
        broken = [i for i in (*self.infos.values(), *self.refused) if i.failures]
        failed = ", ".join(f"`{i.name}` ({i.failures[0]})" for i in broken)
        return (
            f"no plugin provides {what} `{name}`"
            + (f"; failed to load: {failed}" if failed else ""),
            near(name, known),
        )


def load(
    folder: Path | None = None,
    *,
    entry_points: bool = True,
    untrusted: tuple[Path, str] | None = None,
) -> Plugins:
    """Load built-ins, installed plugins and the files of `folder` (a trusted home's `plugins/`).

    `untrusted` is a folder whose files may not run, and why: they are only listed.
    """
    plugins = Plugins()
    for found in plugin_sources.built_in():
        plugins.register(found)
    for found in plugin_sources.installed() if entry_points else ():
        plugins.register(found)
    for found in (*plugin_sources.shipped(), *plugin_sources.files_of(folder)):
        plugins.register(found)
    if untrusted is not None:
        waiting = _not_run(*untrusted)
        plugins.refused += waiting
        plugins.untrusted = frozenset(info.name for info in waiting) - plugins.infos.keys()
    return plugins


def load_file(path: Path) -> Plugins:
    """Load built-ins and one plugin file, as a home would; for tests of plugins.

    Raises:
        PluginError: the file, or one of its hooks, fails.
    """
    plugins = load(entry_points=False)
    info = PluginInfo(path.stem, "unknown", str(path))
    plugins.register(Found(info, lambda: plugin_sources.load_file(path)))
    plugins.report()
    if info.failures:
        raise PluginError(f"plugin file `{path}` fails: {info.failures[0]}")
    return plugins


def _not_run(folder: Path, reason: str) -> list[PluginInfo]:
    infos = [found.info for found in plugin_sources.files_of(folder)]
    for info in infos:
        info.version = plugin_sources.stated_version(Path(info.origin))
        info.failures.append(f"not run: {reason}; read it, then `ahl plugins trust`")
    return infos


def _check_hooks(module: Any) -> None:
    """Raise `PluginError` for another version of the hooks, and for a hook never to be called."""
    if not isinstance(module, ModuleType):
        raise PluginError(f"its entry point names a `{type(module).__name__}`; name the module")
    version = getattr(module, "AHL_HOOKS", hookspecs.HOOKS)
    if version != hookspecs.HOOKS:
        raise PluginError(
            f"made for version {version} of the hooks, adapterhub_lite {VERSION} has version "
            f"{hookspecs.HOOKS}: update the one that is behind"
        )
    functions = {n: f for n, f in vars(module).items() if isinstance(f, FunctionType)}
    marked = {n for n, f in functions.items() if hasattr(f, f"{hookspecs.PROJECT}_impl")}
    for name in sorted(marked - OFFERS.keys()):
        close = get_close_matches(name, OFFERS, n=1)
        meant = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(OFFERS)}"
        raise PluginError(f"there is no hook `{name}`; {meant}")
    for name in sorted((functions.keys() & OFFERS.keys()) - marked):
        raise PluginError(f"`{name}` is not marked with `@hookimpl`, so it is never called")
    if not marked:
        raise PluginError("it offers nothing: no function is marked with `@hookimpl`")


def _note_clash(what: str, owners: list[PluginInfo]) -> None:
    first, *others = owners
    for info in others if first.built_in else owners if others else ():
        rivals = [str(owner) for owner in owners if owner is not info]
        end = "" if first.built_in else ", so neither is used"
        by = " and ".join(rivals) or "the same plugin"
        info.failures.append(f"{what} is already provided by {by}{end}")


def _heavy(module: ModuleType, before: set[str]) -> list[str]:
    """Return the heavy libraries that loading a plugin imported, or that it names at its top."""
    named = {_package(value) for value in vars(module).values()}
    return [n for n in HEAVY if n in named or (n in sys.modules and n not in before)]


def _package(value: Any) -> str:
    home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return home.partition(".")[0] if isinstance(home, str) else ""


def _wanted(provider: Provider) -> str:
    return f"install the plugin `{provider.plugin}` ({provider.version}), which provided it"

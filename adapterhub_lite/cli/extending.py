"""The outermost group: built-in commands, loaded when asked for, and those that plugins add.

Plugins are looked at only where the built-in commands do not answer.  So a built-in command never
waits for a plugin or breaks with it; and with no plugin anywhere, the plugin machinery is not even
imported.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.cli.command import AhlCommand, AhlGroup, Settings, before_dashes
from adapterhub_lite.errors import AhlError, UsageError

if TYPE_CHECKING:
    import click

    from adapterhub_lite.home import Home

KEY = f"{__name__}.added"


@dataclass(frozen=True, slots=True)
class Added:
    """What plugins add to `ahl`, and the names of those that failed."""

    commands: dict[str, click.Command] = field(default_factory=dict)
    failed: tuple[str, ...] = ()


class ExtendedGroup(AhlGroup):
    """The outermost group: built-in commands first, then those of plugins, by name.

    `rooms` names the module of each built-in command, which has it in its `COMMANDS`.
    """

    def __init__(self, *args: Any, rooms: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rooms = rooms

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note a `--home` behind the command first: it says where further commands are."""
        named = _home_in(args)
        if named is not None:
            ctx.ensure_object(Settings).home = Path(named)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the built-in commands in their order, then the plugins' by name."""
        return [*self.rooms, *sorted(added(ctx, self.rooms).commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; plugins are loaded only if it is not a built-in one."""
        if cmd_name not in self.rooms:
            return added(ctx, self.rooms).commands.get(cmd_name)
        return self._built_in(cmd_name)

    def built_in(self) -> dict[str, click.Command]:
        """Return all built-in commands by name, in their order; this loads them."""
        return {name: self._built_in(name) for name in self.rooms}

    def _built_in(self, name: str) -> click.Command:
        room = import_module(self.rooms[name])
        found: click.Command = next(made for made in room.COMMANDS if made.name == name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for.

        What works for long, so any command of a plugin, gets its garbage collected from here on.
        """
        name, command, rest = super().resolve_command(ctx, args)
        if not (isinstance(command, AhlCommand) and command.brief):
            gc.enable()
        return name, command, rest

    def unknown(self, ctx: click.Context, name: str) -> UsageError:
        """Return the error for a command that is not there; it may be that of a failed plugin."""
        error = super().unknown(ctx, name)
        failed = ", ".join(f"`{plugin}`" for plugin in added(ctx, self.rooms).failed)
        if failed and "did you mean" not in str(error.hint):
            hint = f"`ahl plugins` says why these plugins do not run: {failed}"
            return UsageError(error.message, hint=hint)
        return error


def added(context: click.Context, built_in: Mapping[str, str]) -> Added:
    """Return what plugins add to the built-in commands."""
    if KEY not in context.meta:
        context.meta[KEY] = _load(context.ensure_object(Settings), built_in)
    found: Added = context.meta[KEY]
    return found


def _load(settings: Settings, built_in: Mapping[str, str]) -> Added:
    from adapterhub_lite import plugin_sources

    home = _home(settings)
    folder = home.path / "plugins" if home else None
    if not any((*plugin_sources.installed(), *plugin_sources.files(folder))):
        return Added()
    from adapterhub_lite import plugins

    loaded = home.plugins() if home else plugins.load()
    commands = {n: c for n, c in loaded.commands.items() if n not in built_in}
    infos = (*loaded.infos.values(), *loaded.refused)
    return Added(commands, tuple(info.name for info in infos if info.failures))


def _home(settings: Settings) -> Home | None:
    """Return the home, or `None` where it is missing or unusable: the command asked for says so."""
    try:
        return settings.open_home()
    except AhlError:
        return None


def _home_in(args: Sequence[str]) -> str | None:
    for word, following in pairwise([*before_dashes(args), None]):
        if word == "--home":
            return following
        if word is not None and word.startswith("--home="):
            return word.partition("=")[2]
    return None

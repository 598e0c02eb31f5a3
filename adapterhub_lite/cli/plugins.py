"""Commands about what can be used: `methods`, `plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.command import AhlGroup, command, settings
from adapterhub_lite.cli.output import echo, facts, print_json, table

if TYPE_CHECKING:
    from adapterhub_lite.methods.base import Method
    from adapterhub_lite.plugins import PluginInfo, Plugins


def _plugins() -> Plugins:
    """Return the plugins of the home, or without a home the built-in and installed ones."""
    from adapterhub_lite import plugins
    from adapterhub_lite.errors import HomeError

    run = settings()
    if run.home is not None:
        return run.open_home().plugins()
    try:
        home = run.open_home()
    except HomeError:
        return plugins.load()
    return home.plugins()


@command("methods", examples=("ahl methods", "ahl methods bottleneck", "ahl methods --json"))
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List methods, or the config of method NAME.

    The list shows every field with its default; `ahl train ... --set FIELD=VALUE` sets one.
    """
    plugins = _plugins()
    shown = (
        [plugins.method(name)] if name else [plugins.methods[n] for n in sorted(plugins.methods)]
    )
    if settings().json:
        values = [_method(plugins, method) for method in shown]
        print_json(values[0] if name else values)
    elif name:
        rows = (_field(field) for field in shown[0].Config.describe())
        table(("field", "type", "default", "meaning"), rows, prose=("meaning",))
    else:
        rows = ((m.name, plugins.provider(m.name).plugin, _summary(m), _defaults(m)) for m in shown)
        table(("method", "plugin", "what it is", "config"), rows, prose=("what it is", "config"))


def _method(plugins: Plugins, method: Method) -> dict[str, Any]:
    fields = [
        {"name": f.name, "type": f.type, "default": f.default, "help": f.help}
        for f in method.Config.describe()
    ]
    provider = plugins.provider(method.name)
    return {
        "name": method.name,
        "plugin": provider.plugin,
        "version": provider.version,
        "summary": _summary(method),
        "config": fields,
    }


def _field(field: Any) -> tuple[str, ...]:
    return (field.name, field.type, str(field.default), field.help)


def _defaults(method: Method) -> str:
    """Return a method's config at its defaults, as `--set` takes them.

    Fields for rare cases are left out; `ahl methods NAME` has all.
    """
    pairs = method.Config().to_mapping().items()
    return " ".join(f"{name}={_as_set(value)}" for name, value in pairs)


def _as_set(value: Any) -> str:
    from json import dumps

    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else dumps(value)


def _summary(method: Method) -> str:
    """Return the first line of the file that has the method: paper first."""
    import sys

    module = sys.modules[type(method).__module__]
    return (module.__doc__ or type(method).__doc__ or "").strip().splitlines()[0]


@click.group(
    "plugins",
    cls=AhlGroup,
    invoke_without_command=True,
    examples=(
        "ahl plugins",
        "ahl plugins --json",
        "ahl plugins new bitfit",
        "ahl plugins trust",
    ),
)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List plugins: what each offers, and what is wrong with it.

    A plugin is a file in `plugins/` of a home, or an installed package with an entry point of the
    group `adapterhub_lite`.
    """
    if context.invoked_subcommand is not None:
        return
    infos = _plugins().report()
    if settings().json:
        print_json([_info(info) for info in infos])
        return
    rows = ((i.name, i.version, i.origin, ", ".join(i.offers), _problems(i)) for i in infos)
    table(("plugin", "version", "from", "offers", "problems"), rows, prose=("offers", "problems"))


def _info(info: PluginInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "version": info.version,
        "origin": info.origin,
        "offers": info.offers,
        "problems": info.problems,
    }


def _problems(info: PluginInfo) -> str:
    return "; ".join(info.problems) or "-"


@command("new", examples=("ahl plugins new bitfit", "ahl --home team plugins new scaled_parallel"))
@click.argument("name")
def new(name: str) -> None:
    """Write a plugin with a method NAME, and its test.

    Both work as they are: `plugins/NAME.py` explains each step where you will change it, and
    `plugins/tests/test_NAME.py` puts it through the kit.
    """
    from adapterhub_lite import plugin_template

    run = settings()
    home = run.open_home()
    files = plugin_template.write(home.path / "plugins", name, home.plugins())
    if run.json:
        print_json({"home": home.path, "written": files})
        return
    for path in files:
        echo(str(path))
    run.say(f"next: `python -m pytest {files[1]}`, then `ahl plugins trust`")


@command("trust", examples=("ahl trust", "ahl plugins trust", "ahl --home team trust"))
def trust() -> None:
    """Let a home that was found act as it is now.

    The files in `plugins/` run, and a database or objects that `home.toml` or a symbolic link puts
    outside the home's folder are used. A file that changes later asks again. Read them first:
    plugins are programs, and settings say who is contacted with your credentials. A home that is
    named (`--home`, AHL_HOME) needs no such word.
    """
    run = settings()
    home = run.open_home()
    files = home.trust()
    if run.json:
        print_json({"home": home.path, "trusted": files})
        return
    facts((path.name, str(path)) for path in files)
    run.say(f"trusted {len(files)} files in `{home.path}`")


plugins.add_command(new)
plugins.add_command(trust)

COMMANDS = (methods, plugins, trust)

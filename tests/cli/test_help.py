"""Help: short, with examples that parse."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from adapterhub_lite import cli
from adapterhub_lite.cli import main
from adapterhub_lite.cli.command import AhlCommand, AhlGroup
from adapterhub_lite.cli.extending import ExtendedGroup

NAMED = (
    "init add list show remove alias verify gc rebuild resolve predict evaluate train methods "
    "plugins"
)


def commands(
    group: click.Group = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its path, groups too."""
    yield path, group
    inside = group.built_in() if isinstance(group, ExtendedGroup) else group.commands
    for name, command in inside.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = list(commands())
IDS = [" ".join(("ahl", *path)) for path, _ in ALL]


def test_the_commands_of_the_design_are_there() -> None:
    found = main.built_in()
    assert set(found) >= set(NAMED.split())
    train = found["train"]
    assert isinstance(train, click.Group)
    assert set(train.commands) == {"language", "bilingual", "task"}


def test_every_command_of_every_file_can_be_called() -> None:
    files = {path.stem for path in Path(str(cli.__file__)).parent.glob("*.py")} - {"__init__"}
    rooms = {name: import_module(f"adapterhub_lite.cli.{name}") for name in sorted(files)}
    there = {
        name: tuple(command.name for command in room.COMMANDS)
        for name, room in rooms.items()
        if hasattr(room, "COMMANDS")
    }
    assert there == cli.ROOMS


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_help_has_examples_and_the_shared_options(
    path: tuple[str, ...], command: click.Command
) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    for option in ("--json", "--home", "--quiet"):
        assert option in result.stdout
    assert isinstance(command, (AhlCommand, AhlGroup))
    for example in command.examples:
        assert example in result.stdout
    assert len(result.stdout.splitlines()) < 70


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_options_and_commands_are_described(path: tuple[str, ...], command: click.Command) -> None:
    short = command.get_short_help_str(limit=60)
    assert short
    assert not short.endswith("..."), "the first line is cut off in `ahl --help`"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path} {parameter.name}"


EXAMPLES = [
    (path, example)
    for path, command in ALL
    if isinstance(command, (AhlCommand, AhlGroup))
    for example in command.examples
]


@pytest.mark.parametrize(("path", "example"), EXAMPLES, ids=[e for _, e in EXAMPLES])
def test_every_example_parses(path: tuple[str, ...], example: str) -> None:
    """Every word of an example is accepted, as far as that shows without running it."""
    program, *words = shlex.split(example, comments=True)
    assert program == "ahl"
    name: str | None = "ahl"
    command: click.Command | None = main
    while isinstance(command, click.Group):
        context = command.make_context(name, list(words))
        words = [*context._protected_args, *context.args]
        if not words:
            break
        name, command, words = command.resolve_command(context, words)
    else:
        assert command is not None
        command.make_context(name, list(words))


def test_wrong_examples_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        test_every_example_parses((), "ahl list --kynd language")
    with pytest.raises(click.UsageError):
        test_every_example_parses((), "ahl resolve en")

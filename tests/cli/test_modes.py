"""An option that a command's mode does not use is refused: nothing that was typed is dropped."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import click
import pytest

from adapterhub_lite.cli.command import AhlCommand
from adapterhub_lite.cli.modes import Mode
from adapterhub_lite.cli.output import Picture
from adapterhub_lite.errors import UsageError
from tests.cli.conftest import Ahl
from tests.cli.test_help import ALL

WITH_MODES = [
    (path, command) for path, command in ALL if isinstance(command, AhlCommand) and command.modes
]
SAMPLES = {"SOURCE": "en", "TARGET": "gv", "LANG": "gv", "LANGUAGE": "gv", "REPO": "lab/gv-wiki"}


def typed(usage: str) -> list[str]:
    """Return a mode's usage with a value instead of each placeholder."""
    return [
        re.sub(r"[A-Z]+", lambda match: SAMPLES.get(match[0], match[0].lower()), word)
        for word in re.sub(r"[\[\]]|\.\.\.", "", usage).split()
    ]


def option_typed(option: click.Option) -> list[str]:
    """Return an option as it is typed, with a value that its type takes."""
    if option.is_flag:
        return [option.opts[-1]]
    if isinstance(option.type, click.Choice):
        return [option.opts[-1], str(option.type.choices[0])]
    if isinstance(option.type, Picture):
        return [option.opts[-1], "drawn.svg"]
    number = isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType))
    return [option.opts[-1], "1" if number else "gv"]


CASES = [
    pytest.param(command, mode, option, id=" ".join((*path, mode.usage, option.opts[-1])))
    for path, command in WITH_MODES
    for mode in (command.modes.modes if command.modes else ())
    for option in command.params
    if isinstance(option, click.Option) and option.expose_value
]


@pytest.mark.parametrize(("path", "command"), WITH_MODES, ids=[" ".join(p) for p, _ in WITH_MODES])
def test_every_parameter_is_used_in_some_mode(path: tuple[str, ...], command: AhlCommand) -> None:
    assert command.modes is not None
    used = set(command.modes.always).union(*(mode.parameters for mode in command.modes.modes))
    assert used == {parameter.name for parameter in command.params if parameter.expose_value}
    for mode in command.modes.modes:
        context = command.make_context(path[-1], typed(mode.usage))
        assert command.modes.check(context) is mode


@pytest.mark.parametrize(("command", "mode", "option"), CASES)
def test_an_option_is_used_or_refused(
    command: AhlCommand, mode: Mode, option: click.Option
) -> None:
    """The option is used in this mode, turns it into a mode that uses it, or is refused by name."""
    assert command.modes is not None
    problem = None
    try:
        context = command.make_context("ahl", [*typed(mode.usage), *option_typed(option)])
    except UsageError as error:
        problem = error
    if problem is None:
        used = command.modes.check(context).parameters
        assert option.name in used | {*command.modes.always}
    else:
        assert f"`{option.opts[-1]}`" in problem.message
        assert "used" in problem.message or "missing" in problem.message


@pytest.mark.parametrize(
    "words",
    [
        "predict --composition stack(gv-wiki,pos-en) --file texts.txt text",
        "predict --lock gv.lock --file texts.txt --task pos",
        'predict --composition stack(gv-wiki,pos-en) --task pos --column text=a "Ta mee"',
        "predict en gv --task pos --composition gv-wiki --file texts.txt",
        "predict --lock gv.lock --file texts.txt --lang-column lang",
        "predict en gv --task pos --lang-column lang text",
        "predict en gv --task pos --column text=a text",
        "evaluate en gv test.conllu --task pos --full-seed 7",
        "evaluate en gv=test.conllu --task pos --full-seed 7",
    ],
)
def test_nothing_is_dropped_in_silence(words: str, ahl: Ahl) -> None:
    result = ahl(*shlex.split(words), code=2)
    assert "used" in result.stderr


def test_modes_that_exclude_each_other_are_both_named(ahl_json: Callable[..., Any]) -> None:
    refused = ahl_json("predict", "--lock", "a.lock", "--composition", "gv-wiki", "text", code=2)
    assert refused["error"] == "`--lock` cannot be used with `--composition`"
    assert "ahl predict --lock LOCK TEXT..." in refused["hint"]


def test_an_argument_that_a_mode_does_not_use_is_named(ahl: Ahl) -> None:
    result = ahl("predict", "--composition", "gv-wiki", "--file", "texts.txt", "Ta mee", code=2)
    assert "argument `Ta mee` cannot be used with `--composition` and `--file`" in result.stderr


def test_a_table_and_a_composition_exclude_each_other(ahl: Ahl) -> None:
    result = ahl("evaluate", "en", "gv=a.conllu", "--composition", "gv-wiki", code=2)
    assert "`--composition` cannot be used with a table (SOURCE TARGET=FILE...)" in result.stderr

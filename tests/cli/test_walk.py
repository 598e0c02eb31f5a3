"""Every command, with whatever a slip of the hand makes of it: help or one clear error.

The calls are made from the tree of commands, so a new command or option is walked too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from adapterhub_lite.cli import main
from adapterhub_lite.cli.command import ExitCode
from tests.cli.test_help import ALL, IDS

NOWHERE = "http://127.0.0.1:9"
"""Port 9 (discard): nothing listens there, so what asks the Hub fails at once."""

SLIP = "no-such-thing"


@pytest.fixture(autouse=True)
def _apart(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on a copy of a home, in a folder of its own, with no Hub in reach."""
    monkeypatch.setenv("AHL_HOME", str(home))
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    monkeypatch.setattr("adapterhub_lite.hub.connection.WAITS", ())  # do not ask again
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)


def check(words: Sequence[str]) -> tuple[Result, Result]:
    """Call with and without `--json`: no traceback, a known exit code, one error or none."""
    plain = CliRunner().invoke(main, words)
    as_json = CliRunner().invoke(main, [*words, "--json"])
    for result in (plain, as_json):
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.exit_code in {0, 1, 2, 3}, result.output
        assert "Traceback" not in result.output
    errors = [line for line in plain.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == (plain.exit_code != ExitCode.DONE), plain.output
    if as_json.exit_code != ExitCode.DONE:
        values = json.loads(as_json.stdout)
        assert set(values) == {"error", "hint", "facts"}
        assert values["error"]
        assert "error: " not in as_json.stderr
    return plain, as_json


def parameters(command: click.Command, kind: type[click.Parameter]) -> list[click.Parameter]:
    return [p for p in command.params if isinstance(p, kind) and p.expose_value]


def slips(command: click.Command) -> Iterator[tuple[str, ...]]:
    """Yield words that are wrong after a command's name: arguments, and each option's value."""
    arguments = parameters(command, click.Argument)
    yield tuple(SLIP for _ in arguments)
    yield tuple("" for _ in arguments)
    yield (*(SLIP for _ in arguments), SLIP)
    right = tuple(
        {"source": "en", "target": "gv", "language": "gv"}.get(str(a.name), SLIP) for a in arguments
    )
    for option in parameters(command, click.Option):
        assert isinstance(option, click.Option)
        name = option.opts[-1]
        yield (*right, name) if option.is_flag else (*right, name, SLIP)
        yield (*right, name) if option.is_flag else (*right, name, "")


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_nothing_and_help(path: tuple[str, ...], command: click.Command) -> None:
    plain, as_json = check(path)
    if isinstance(command, click.Group) and path != ("plugins",):
        assert plain.exit_code == ExitCode.DONE
        assert plain.stdout.startswith(f"Usage: {' '.join(('ahl', *path))}")
        assert as_json.exit_code == ExitCode.USAGE
    plain, _ = check((*path, "--help"))
    assert plain.exit_code == ExitCode.DONE
    assert plain.stdout.startswith(f"Usage: {' '.join(('ahl', *path))}")


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_wrong_options_and_surplus_words(path: tuple[str, ...], command: click.Command) -> None:
    plain, _ = check((*path, "--no-such-option"))
    assert plain.exit_code == ExitCode.USAGE
    assert "`--no-such-option`" in plain.stderr
    plain, _ = check((*path, "--hlep"))
    assert plain.exit_code == ExitCode.USAGE
    assert "hint: did you mean `--help`?" in plain.stderr


@pytest.mark.parametrize("path", [path for path, _ in ALL if path], ids=IDS[1:])
def test_misspelt_commands(path: tuple[str, ...]) -> None:
    *group, name = path
    swapped = name[:-2] + name[-1] + name[-2]
    plain, as_json = check((*group, name + name[-1] if swapped == name else swapped))
    assert plain.exit_code == as_json.exit_code == ExitCode.USAGE
    assert f"`ahl {' '.join(path)}`" in json.loads(as_json.stdout)["hint"]


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_wrong_values(path: tuple[str, ...], command: click.Command) -> None:
    if isinstance(command, click.Group):
        return
    for words in slips(command):
        check((*path, *words))

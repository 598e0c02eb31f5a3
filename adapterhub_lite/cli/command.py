"""What all commands share: the options `--home --json --quiet`, examples in the help, exit codes.

The shared options may stand before or after a command's name, because both are what people type.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from adapterhub_lite.cli.output import echo, print_json
from adapterhub_lite.errors import AhlError, UsageError

if TYPE_CHECKING:
    from adapterhub_lite.cli.modes import Modes
    from adapterhub_lite.home import Home

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class ExitCode(IntEnum):
    """What the process returns."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_RESOLUTION = 3
    INTERRUPTED = 130


@dataclass(slots=True)
class Settings:
    """The shared options of one call."""

    home: Path | None = None
    json: bool = False
    quiet: bool = False

    def open_home(self) -> Home:
        """Return the home that this call is about (`--home`, `AHL_HOME`, or found)."""
        from adapterhub_lite.home import Home

        return Home.find(self.home)

    def say(self, words: str) -> None:
        """Print words for people on stderr, unless `--quiet` is given."""
        if not self.quiet:
            echo(words, err=True)


def settings() -> Settings:
    """Return the shared options of the call that is running."""
    return click.get_current_context().find_object(Settings) or Settings()


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(Settings), name, value)

    return callback


def _shared_options() -> list[click.Parameter]:
    def option(*names: str, help: str, **kwargs: Any) -> click.Option:
        callback = _remember(names[-1].lstrip("-"))
        return click.Option(
            names, expose_value=False, is_eager=True, callback=callback, help=help, **kwargs
        )

    return [
        option(
            "--home",
            type=click.Path(path_type=Path),
            help="Home to work in [default: AHL_HOME, or found].",
        ),
        option("--json", is_flag=True, help="Print one JSON document, also for an error."),
        option("-q", "--quiet", is_flag=True, help="No words and no progress on stderr."),
    ]


class _Shared(click.Command):
    """Mixin: the shared options, and a section `Examples:` at the end of the help."""

    examples: tuple[str, ...] = ()

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _shared_options()
        self.examples = tuple(examples)
        self.context_settings = {**CONTEXT, **self.context_settings}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are typed."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class AhlCommand(_Shared):
    """A command with examples.

    A `brief` one only looks things up: it is done before garbage could matter.  One with `modes`
    refuses options that the chosen mode does not use.
    """

    def __init__(
        self, *args: Any, brief: bool = False, modes: Modes | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.brief = brief
        self.modes = modes

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and check that every option goes with the mode that was chosen."""
        rest = super().parse_args(ctx, args)
        if self.modes is not None and not ctx.resilient_parsing:
            self.modes.check(ctx)
        return rest


class AhlGroup(_Shared, click.Group):
    """A group with examples; the outermost one turns errors into words and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the commands in the order in which they were added."""
        return list(self.commands)

    def main(  # type: ignore[override]  # always exits: click's standalone mode is the only one
        self, args: Sequence[str] | None = None, prog_name: str | None = "ahl", **_extra: Any
    ) -> NoReturn:
        """Run, and exit with a code of `ExitCode`."""
        arguments = list(sys.argv[1:] if args is None else args)
        sys.exit(self._run(arguments, prog_name))

    def _run(self, arguments: list[str], prog_name: str | None) -> int:
        as_json = "--json" in arguments
        try:
            code = super().main(arguments, prog_name=prog_name, standalone_mode=False)
        except click.ClickException as error:
            return _failed(_in_our_words(error), as_json=as_json)
        except AhlError as error:
            return _failed(error, as_json=as_json)
        except (click.Abort, KeyboardInterrupt):
            echo("interrupted", err=True)
            return ExitCode.INTERRUPTED
        return code if isinstance(code, int) else ExitCode.DONE


def command(
    name: str, *, examples: Sequence[str], **kwargs: Any
) -> Callable[[Callable[..., Any]], AhlCommand]:
    """Return a decorator that makes a command with examples and the shared options."""

    def decorate(function: Callable[..., Any]) -> AhlCommand:
        made = click.command(name, cls=AhlCommand, examples=examples, **kwargs)
        return made(function)

    return decorate


def _in_our_words(error: click.ClickException) -> UsageError:
    """Return click's complaint as one of ours: lower case, no full stop, a hint."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "ahl"
    return UsageError(message[:1].lower() + message[1:], hint=f"`{path} --help` shows how")


def _failed(error: AhlError, *, as_json: bool) -> int:
    if as_json:
        print_json(error_values(error))
    else:
        for line in f"error: {error.message}".split("\n"):  # one, but for a refusal
            echo(line, err=True)
        for line in f"hint: {error.hint}".split("\n") if error.hint else ():
            echo(line, err=True)
    return error.exit_code


def error_values(error: AhlError) -> dict[str, Any]:
    """Return what `--json` prints of an error."""
    return {"error": error.message, "hint": error.hint, "facts": error.facts}

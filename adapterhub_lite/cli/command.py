"""What all commands share: the options `--home --json --quiet`, examples in the help, exit codes.

The shared options may stand before or after a command's name, because both are what people type.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from adapterhub_lite.cli.output import echo, print_json
from adapterhub_lite.errors import AhlError, AhlWarning, UsageError, close, near
from adapterhub_lite.model.placement import DTYPES, Placement, placed

if TYPE_CHECKING:
    from adapterhub_lite.cli.modes import Modes
    from adapterhub_lite.home import Home

F = TypeVar("F", bound=Callable[..., Any])

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
    device: str | None = None
    dtype: str | None = None
    _opened: dict[Path | None, Home] = field(default_factory=dict)

    def open_home(self) -> Home:
        """Return the home that this call is about (`--home`, `AHL_HOME`, or found).

        It is opened once a call, and its registry is closed at the end.
        """
        if self.home not in self._opened:
            from adapterhub_lite.home import Home

            home = self._opened[self.home] = Home.find(self.home)
            context = click.get_current_context(silent=True)
            if context is not None:
                context.find_root().call_on_close(home.close)
        return self._opened[self.home]

    def say(self, words: str) -> None:
        """Print words for people on stderr, unless `--quiet` is given."""
        if not self.quiet:
            echo(words, err=True)


def settings() -> Settings:
    """Return the shared options of the call that is running."""
    return click.get_current_context().find_object(Settings) or Settings()


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value not in (None, False):
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


def model_options(function: F) -> F:
    """Add `--device` and `--dtype`, for a command that loads a base model.

    They hold for every base that is loaded while the command runs (`model.placement`).
    """
    dtype = click.option(
        "--dtype",
        type=click.Choice(DTYPES),
        callback=_remember("dtype"),
        expose_value=False,
        help=f"Number format of the base model [default: {DTYPES[0]}].",
    )
    device = click.option(
        "--device",
        metavar="NAME",
        callback=_remember("device"),
        expose_value=False,
        help="Device, such as `cpu`, `cuda` or `cuda:1` [default: cpu; training: a GPU if any].",
    )
    return device(dtype(function))


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

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command's function, with bases loaded as `--device` and `--dtype` say."""
        run = ctx.find_object(Settings) or Settings()
        if run.device is None and run.dtype is None:
            return super().invoke(ctx)
        with placed(Placement(run.device, run.dtype)):
            return super().invoke(ctx)


class AhlGroup(_Shared, click.Group):
    """A group with examples; the outermost one turns errors into words and exit codes.

    Without a subcommand it shows its help, unless it does something of its own then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not kwargs.get("invoke_without_command"):
            kwargs["invoke_without_command"] = True
            kwargs.setdefault("subcommand_metavar", "COMMAND [ARGS]...")
            kwargs["callback"] = _help_or(kwargs.get("callback"))
        super().__init__(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the commands in the order in which they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for, or say which may have been meant."""
        command = self.get_command(ctx, args[0])
        if command is None:
            raise self.unknown(ctx, args[0])
        return args[0], command, args[1:]

    def unknown(self, ctx: click.Context, name: str) -> UsageError:
        """Return the error for a command that is not there."""
        paths = {sub: f"{ctx.command_path} {sub}" for sub in self.list_commands(ctx)}
        similar = [*self._deeper(ctx, name), *(paths[sub] for sub in close(name, paths))]
        hint = f"`{ctx.command_path} --help` lists the commands"
        if similar:
            hint = "did you mean " + " or ".join(f"`{path}`" for path in similar) + "?"
        return UsageError(f"`{ctx.command_path}` has no command `{name}`", hint=hint)

    def _deeper(self, ctx: click.Context, name: str) -> list[str]:
        """Return the paths of commands of that name inside the groups of this one."""
        groups = {sub: self.get_command(ctx, sub) for sub in self.list_commands(ctx)}
        return [
            f"{ctx.command_path} {sub} {name}"
            for sub, group in groups.items()
            if isinstance(group, click.Group) and group.get_command(ctx, name)
        ]

    def main(  # type: ignore[override]  # always exits: click's standalone mode is the only one
        self, args: Sequence[str] | None = None, prog_name: str | None = "ahl", **_extra: Any
    ) -> NoReturn:
        """Run, and exit with a code of `ExitCode`."""
        arguments = list(sys.argv[1:] if args is None else args)
        sys.exit(self._run(arguments, prog_name))

    def _run(self, arguments: list[str], prog_name: str | None) -> int:
        as_json = "--json" in before_dashes(arguments)
        try:
            with _warnings_in_a_line(quiet=not {"-q", "--quiet"}.isdisjoint(arguments)):
                code = super().main(arguments, prog_name=prog_name, standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as error:  # a plugin's group of click's own class
            return _show_help(error.ctx)
        except click.ClickException as error:
            return _failed(_in_our_words(error), as_json=as_json)
        except AhlError as error:
            return _failed(error, as_json=as_json)
        except (click.Abort, KeyboardInterrupt):
            echo("interrupted", err=True)
            return ExitCode.INTERRUPTED
        except Exception as error:  # a fault of ours: the traceback follows
            if as_json:
                _failed(AhlError(f"unexpected {type(error).__name__}: {error}"), as_json=True)
            raise
        return code if isinstance(code, int) else ExitCode.DONE


@contextmanager
def _warnings_in_a_line(*, quiet: bool) -> Iterator[None]:
    """Print our own warnings as words for people, each once; a library's stay as they are."""
    import warnings

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, AhlWarning):
            other(message, category, *rest, **more)
        elif not quiet and str(message) not in shown:
            shown.add(str(message))
            echo(f"warning: {message}", err=True)

    shown: set[str] = set()
    with warnings.catch_warnings():
        other = warnings.showwarning
        warnings.simplefilter("always", AhlWarning)
        warnings.showwarning = show
        yield


def command(
    name: str, *, examples: Sequence[str], **kwargs: Any
) -> Callable[[Callable[..., Any]], AhlCommand]:
    """Return a decorator that makes a command with examples and the shared options."""

    def decorate(function: Callable[..., Any]) -> AhlCommand:
        made = click.command(name, cls=AhlCommand, examples=examples, **kwargs)
        return made(function)

    return decorate


def before_dashes(arguments: Sequence[str]) -> list[str]:
    """Return the words that may be options: those before `--`."""
    words = list(arguments)
    return words[: words.index("--")] if "--" in words else words


def _help_or(callback: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return a group's function that shows the help if no subcommand follows."""

    def run(*args: Any, **kwargs: Any) -> Any:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            context.exit(_show_help(context))
        return callback(*args, **kwargs) if callback else None

    return run


def _show_help(context: click.Context) -> int:
    """Print a group's help, as it was called without a subcommand; a program gets an error."""
    if (context.find_object(Settings) or Settings()).json:
        raise UsageError(
            f"missing a command after `{context.command_path}`",
            hint=f"`{context.command_path} --help` lists the commands",
        )
    for line in context.get_help().split("\n"):
        echo(line)
    return ExitCode.DONE


def _in_our_words(error: click.ClickException) -> UsageError:
    """Return click's complaint as one of ours: lower case, no full stop, a hint."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "ahl"
    message = _in_backticks(" ".join(error.format_message().split()).rstrip("."))
    hint = f"`{path} --help` shows how"
    if isinstance(error, click.NoSuchOption):
        message = f"`{path}` has no option `{error.option_name}`"
        hint = _near_option(error.option_name, context) or hint
    elif isinstance(error, click.MissingParameter) and context is not None:
        hint += _for_example(context.command)
    elif isinstance(error, click.BadParameter) and error.param is not None:
        hint = _near_choice(error.message, error.param.type) or hint
    return UsageError(message[:1].lower() + message[1:], hint=hint)


def _in_backticks(message: str) -> str:
    """Return click's message with literals marked as everywhere here."""
    return re.sub(r"(?<!\w)'([^']+)'(?!\w)", r"`\1`", message)


def _for_example(command: click.Command) -> str:
    examples = command.examples if isinstance(command, _Shared) else ()
    plain = [example for example in examples if "#" not in example]
    return f", for example `{plain[0]}`" if plain else ""


def _near_option(name: str, context: click.Context | None) -> str | None:
    if context is None:
        return None
    options = [
        option
        for parameter in context.command.get_params(context)
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    ]
    return near(name, options) if close(name, options) else None


def _near_choice(message: str, kind: click.ParamType[Any]) -> str | None:
    value = re.match(r"'(.*)' is not one of", message)
    if not (isinstance(kind, click.Choice) and value):
        return None
    choices = [str(choice) for choice in kind.choices]
    return near(value[1], choices) if close(value[1], choices) else None


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

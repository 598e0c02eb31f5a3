"""The commands `train language`, `train bilingual`, `train task`.

Each ends with an adapter in the registry, its provenance recorded, and its ref on stdout.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import click

from adapterhub_lite.cli.command import AhlGroup, command, model_options, settings
from adapterhub_lite.cli.data import columns_of, data_options
from adapterhub_lite.cli.languages import LANGUAGE
from adapterhub_lite.cli.output import PICTURE, echo, print_json
from adapterhub_lite.cli.records import summary
from adapterhub_lite.errors import UsageError, near
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.training.settings import LanguageSettings, Settings, TaskSettings, options

if TYPE_CHECKING:
    from adapterhub_lite.adapter import Adapter

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)


def _setting_options() -> list[Callable[[F], F]]:
    """Return the options of settings that have one, as the list of settings describes them."""
    types = get_type_hints(Settings)
    made = []
    for name, option, words in options(Settings):
        (kind,) = {*(get_args(types[name]) or (types[name],))} - {type(None)}
        if kind is bool:
            made.append(click.option(option, name, is_flag=True, default=None, help=words))
        else:
            made.append(click.option(option, name, type=kind, help=words))
    return made


ALLOW = click.option(
    "--allow-unsuitable",
    is_flag=True,
    help="Only warn if data do not look suitable.",
)


def text_options(function: F) -> F:
    """Add what the commands that read files of text take."""
    for option in reversed(
        (
            click.option(
                "--skip-bad",
                is_flag=True,
                help="Leave out lines that cannot be read, and say which.",
            ),
            click.option(
                "--extract-text",
                is_flag=True,
                help="Take the sentences out of CoNLL-U, columns of words, JSON lines or CSV.",
            ),
        )
    ):
        function = option(function)
    return function


def training_options(function: F) -> F:
    """Add what all three commands take: base, method, and the settings of a run."""
    for option in reversed(
        (
            click.option("--base", help="Base model [default: the home's, if it has just one]."),
            click.option("--name", help="Name in the registry [default: made from the rest]."),
            click.option("--method", help="Method [default: as its neighbours, or bottleneck]."),
            click.option(
                "--set",
                "config",
                multiple=True,
                metavar="FIELD=VALUE",
                help="Config of the method (`ahl methods NAME` lists it); may be repeated.",
            ),
            click.option(
                "--leave-out",
                multiple=True,
                type=click.IntRange(min=0),
                metavar="LAYER",
                help="Layer without adapter, counted from 0; may be repeated.",
            ),
            *_setting_options(),
            ALLOW,
            click.option(
                "--setting",
                "more",
                multiple=True,
                metavar="NAME=VALUE",
                help="Any other setting of the run, as warmup=0.2; may be repeated.",
            ),
            click.option(
                "--report-to",
                multiple=True,
                type=click.Choice(("tensorboard", "wandb")),
                metavar="TRACKER",
                help="`tensorboard`, `wandb`: report it there.",
            ),
            click.option("--picture", type=PICTURE, help="Draw the curves (.svg, .png)."),
            click.option("--licence", help="Licence of the weights, for the manifest."),
            click.option("--output", type=FILE, help="Run folder [default: HOME/runs/NAME]."),
            click.option(
                "--resume/--no-resume",
                default=True,
                show_default=True,
                help="Go on with this run where it was interrupted, or start afresh.",
            ),
        )
    ):
        function = option(function)
    return model_options(function)


@click.group(
    "train",
    cls=AhlGroup,
    examples=(
        "ahl train language fo --text fo.txt",
        "ahl train task pos --train en.conllu --source en --over en-wiki",
    ),
)
def train() -> None:
    """Train an adapter.

    It ends in the registry, with all that made it recorded.
    """


@command(
    "language",
    examples=(
        "ahl train language fo --text fo.txt",
        "ahl train language fo --text news.txt --text web.txt --steps 600 --set reduction=2",
        "ahl train language fo --text fo.txt --parallel en-fo.tsv",
    ),
)
@click.argument("lang", type=LANGUAGE)
@click.option("--text", multiple=True, required=True, type=FILE, help="Text; may be repeated.")
@click.option(
    "--parallel",
    multiple=True,
    type=FILE,
    help="Lines `translation TAB sentence`, the translation in a language the base knows.",
)
@text_options
@training_options
def language(lang: str, text: tuple[Path, ...], parallel: tuple[Path, ...], **more: Any) -> None:
    """Train a language adapter for LANG (a tag or name) on text.

    For a language that the base has never seen, a few thousand translated sentences help more than
    any amount of text alone: `--parallel`.
    """
    from adapterhub_lite.training import train_language

    _run(train_language, lang, text, more, LanguageSettings(), parallel=parallel or None)


@command(
    "bilingual",
    examples=("ahl train bilingual en fo --text en=en.txt --text fo=fo.txt --ratio 1:2",),
)
@click.argument("source", type=LANGUAGE)
@click.argument("target", type=LANGUAGE)
@click.option(
    "--text", multiple=True, required=True, metavar="LANG=FILE", help="Text; may be repeated."
)
@click.option("--ratio", default="1:1", show_default=True, help="Batches of source to target.")
@text_options
@training_options
def bilingual(source: str, target: str, text: tuple[str, ...], ratio: str, **more: Any) -> None:
    """Train a bilingual adapter on text of two languages."""
    from adapterhub_lite.training import train_bilingual

    files, shares = _by_language(text), _ratio(ratio)
    _run(train_bilingual, source, target, more, LanguageSettings(), text=files, ratio=shares)


@command(
    "task",
    examples=(
        "ahl train task pos --train en.conllu --source en --over en-wiki",
        "ahl train task pos --train en.conllu --source en --over en-wiki --over de-wiki",
        "ahl train task topic --type sequence-classification --train en.csv --source en",
    ),
)
@click.argument("task")
@click.option(
    "--train",
    "train_files",
    multiple=True,
    required=True,
    type=FILE,
    help="Labelled file; may be repeated.",
)
@click.option("--dev", type=FILE, help="Labelled file; the best weights on it stay.")
@click.option("--source", required=True, type=LANGUAGE, help="Language of the examples.")
@click.option(
    "--over",
    multiple=True,
    metavar="REF",
    help="Language or bilingual adapter underneath; several are cycled through (target-ready).",
)
@click.option("--type", "task_type", help="Task type [default: told from TASK].")
@click.option("--dataset", help="Name of the data, for scores.")
@data_options
@training_options
def task(
    task: str,
    train_files: tuple[Path, ...],
    over: tuple[str, ...],
    columns: tuple[str, ...],
    **more: Any,
) -> None:
    """Train a task adapter with its head.

    It stands over a frozen language adapter, over a bilingual one, or over the base alone.
    """
    from adapterhub_lite.training import train_task

    named = columns_of(columns)
    arguments = {"train": train_files, "over": over or None, "columns": named}
    _run(train_task, task, more, TaskSettings(), **arguments)


def pairs(texts: tuple[str, ...], option: str, form: str) -> dict[str, str]:
    """Return `name=value` texts as a mapping; a usage error names the option."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise click.BadParameter(f"expected {form}, found `{text}`", param_hint=option)
        found[name] = value
    return found


def _by_language(texts: tuple[str, ...]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for text in texts:
        for tag, path in pairs((text,), "--text", "LANG=FILE").items():
            files.setdefault(tag, []).append(Path(path))
    return files


def _ratio(text: str) -> tuple[int, int]:
    first, _, second = text.partition(":")
    if not (first.isdigit() and second.isdigit() and int(first) + int(second)):
        raise click.BadParameter(f"expected two numbers as in 1:2, found `{text}`")
    return int(first), int(second)


def _run(function: Callable[..., Adapter], /, *arguments: Any, **named: Any) -> None:
    """Train with a function, and print what came of it.

    Args:
        arguments: those of the function, the options of the call, and the default settings.
        named: keyword arguments of the function.
    """
    *positional, options, defaults = arguments
    picture = options.pop("picture")
    given = _given(options, defaults)
    adapter = function(*positional, **named, **given)
    _done(adapter, given, picture)


def _given(values: dict[str, Any], defaults: Settings) -> dict[str, Any]:
    """Return keyword arguments for training: what the user did not leave out, and where."""
    from adapterhub_lite.cli.progress import show_log

    run = settings()
    show_log(quiet=run.quiet)
    home = run.open_home()
    config, more = values.pop("config"), values.pop("more")
    given = {name: value for name, value in values.items() if value not in (None, ())}
    if config:
        method = home.plugins().method(given.get("method") or "bottleneck")
        given |= {"method": method.name, "config": method.Config.from_settings(config)}
    given["settings"] = _settings(given, more, defaults)
    return given | {"home": home, "quiet": run.quiet}


def _settings(given: dict[str, Any], more: tuple[str, ...], defaults: Settings) -> Settings:
    """Return the settings, taken out of what was given: by their options and by `--setting`."""
    values = _typed(more, defaults)
    for name, option, _ in options(type(defaults)):
        if name in given:
            if name in values:
                raise UsageError(
                    f"`{option}` and `--setting {name}=...` say the same: leave one out"
                )
            values[name] = given.pop(name)
    return defaults.changed(**values)


def _typed(texts: tuple[str, ...], defaults: Settings) -> dict[str, Any]:
    """Return `name=value` texts as settings, each of the type that its annotation asks for."""
    hints = get_type_hints(type(defaults))
    found = {}
    for name, text in pairs(texts, "--setting", "NAME=VALUE").items():
        if name not in hints:
            raise UsageError(f"there is no setting `{name}`", hint=near(name, hints))
        types = get_args(hints[name]) or (hints[name],)
        found[name] = _value(name, text, types)
    return found


def _value(name: str, text: str, types: tuple[type, ...]) -> Any:
    try:
        value = Reader(UsageError).json(text, f"`{text}`")
    except UsageError:
        value = text
    if float in types and type(value) is int:
        return float(value)
    if type(value) not in types:
        wanted = " or ".join(t.__name__ for t in types if t is not type(None))
        raise UsageError(f"setting `{name}` must be {wanted}, found `{text}`")
    return value


def _done(adapter: Adapter, given: dict[str, Any], picture: Path | None) -> None:
    from adapterhub_lite.cli.progress import warnings
    from adapterhub_lite.training import curves
    from adapterhub_lite.training.runs import run_folder

    run = settings()
    name = given.get("name") or adapter.name
    folder = run_folder(given["home"], name, given.get("output"))
    records = curves.read(folder)
    if picture is not None:
        from adapterhub_lite.training import picture as drawing

        run.say(f"drew `{drawing.picture(records, picture, title=name)}`")
    if run.json:
        curve = {"file": str(folder / curves.FILE), "records": records}
        training = {**_record(adapter), "curve": curve, "warnings": warnings()}
        print_json({**summary(adapter), "training": training})
    else:
        echo(adapter.ref)
    run.say(f"trained {adapter.manifest.kind} adapter `{adapter.name}`")


def _record(adapter: Adapter) -> dict[str, Any]:
    """Return what the manifest says of the run."""
    training = adapter.manifest.training
    if training is None:
        return {}
    values = {"steps": training.steps, "metrics": dict(training.metrics)}
    names = ("best_step", "stopped_early", "skipped_lines", "extracted")
    return values | {n: training.settings[n] for n in names if n in training.settings}


for _command in (language, bilingual, task):
    train.add_command(_command)

COMMANDS = (train,)

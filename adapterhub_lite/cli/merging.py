"""The command `merge`: the average of adapters, saved as an adapter."""

from __future__ import annotations

import click

from adapterhub_lite.cli.command import command, settings
from adapterhub_lite.cli.languages import LANGUAGE
from adapterhub_lite.cli.output import echo, print_json
from adapterhub_lite.cli.records import summary
from adapterhub_lite.errors import UsageError


@command(
    "merge",
    examples=(
        "ahl merge zu-wiki xh-wiki rw-wiki --name nguni",
        "ahl merge gv cy --weights 0.6,0.4 --name celtic --language br",
        'ahl merge "average(0.5*en-wiki, 0.5*cy-wiki)" --name half',
    ),
)
@click.argument("refs", nargs=-1, required=True, metavar="REF...")
@click.option("--weights", metavar="W,W,...", help="One a member [default: equal, sum 1].")
@click.option("--name", required=True, help="Name in this registry.")
@click.option("--language", type=LANGUAGE, help="Language to serve [default: the members'].")
@click.option("--licence", help="Licence of the result [default: the members'].")
def merge(
    refs: tuple[str, ...],
    weights: str | None,
    name: str,
    language: str | None,
    licence: str | None,
) -> None:
    """Save the weighted mean of adapters as an adapter.

    The members need equal method, config, left-out layers and base. One REF may also be a whole
    `average(...)`, such as `ahl resolve` answers. The result's parents are recorded.
    """
    from adapterhub_lite.composition import Average, Composition, parse
    from adapterhub_lite.merged import merge as save

    given: Composition = parse(refs[0])
    if len(refs) > 1 or not isinstance(given, Average):
        given = Average(*refs, weights=_weights(weights, len(refs)))
    elif weights is not None:
        raise UsageError(f"`{given}` has weights of its own", hint="leave out `--weights`")
    run = settings()
    home = run.open_home()
    adapter = save(given, name=name, home=home, language=language, licence=licence)
    if run.json:
        print_json(summary(adapter))
    else:
        echo(adapter.ref)
    run.say(f"merged {len(given.parts)} adapters into `{name}`")


def _weights(text: str | None, count: int) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count or any(not 0 <= weight < float("inf") for weight in found):
        raise UsageError(
            f"`--weights {text}` is not {count} numbers from 0 on, with commas between them"
        )
    return found


COMMANDS = (merge,)

"""The command `attach`: put a composition, or a lock, on its base, and say what is where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.command import command, model_options, settings
from adapterhub_lite.cli.modes import Mode, Modes
from adapterhub_lite.cli.output import print_json, table

if TYPE_CHECKING:
    from adapterhub_lite.home import Home
    from adapterhub_lite.model.attach import Attachment


MODES = Modes(
    (
        Mode("COMPOSITION", needs=("composition",)),
        Mode("--lock FILE", when=("path",)),
    ),
    always=("base",),
)


@command(
    "attach",
    modes=MODES,
    examples=(
        'ahl attach "stack(gv-wiki, pos-en)"',
        "ahl attach --lock gv-pos.lock",
    ),
)
@click.argument("composition", required=False)
@click.option(
    "--lock", "path", type=click.Path(path_type=Path), help="Attach what this lock file names."
)
@click.option("--base", help="Base model [default: as the adapters or the lock have it].")
@model_options
def attach(composition: str | None, path: Path | None, base: str | None) -> None:
    """Attach a composition to its base, as a check.

    Everything is loaded and compared: base, weights, shapes, methods. With `--lock` the first
    difference from what was locked ends in an error. Printed is what each adapter adds and where.
    """
    home = settings().open_home()
    attached = _locked(path, base, home) if path else _composed(str(composition), base, home)
    adapters = [_summary(attached, adapter.ref) for adapter in _adapters(attached)]
    if settings().json:
        notes = [note for adapter in adapters if (note := _note(home, adapter["ref"]))]
        found = {"base": attached.base.identity, "adapters": adapters, "warnings": notes}
        print_json(found)
    else:
        table(
            ("adapter", "method", "sites", "parameters", "head"),
            ([str(value or "") for value in row.values()] for row in adapters),
        )


def _locked(path: Path, base: str | None, home: Home) -> Attachment:
    from adapterhub_lite import lock
    from adapterhub_lite.prediction import attach_locked

    found = lock.read(path)
    for note in (*lock.uncovered(found), *lock.drift(found)):
        settings().say(f"warning: {note}")
    return attach_locked(found, base, home)


def _composed(composition: str, base: str | None, home: Home) -> Attachment:
    from adapterhub_lite.prediction import attach_all

    return attach_all({"default": composition}, base, home)


def _adapters(attached: Attachment) -> list[Any]:
    return [a for compiled in attached.compositions.values() for a in compiled.adapters]


def _note(home: Home, ref: str) -> str | None:
    return home.registry.get(ref).base_note()


def _summary(attached: Attachment, ref: str) -> dict[str, Any]:
    adapter = attached.adapter(ref)
    places = {key.rpartition(".")[0] for key in adapter.weights if not key.startswith("head.")}
    return {
        "ref": adapter.ref,
        "method": adapter.method.name,
        "sites": len(places),
        "parameters": sum(tensor.numel() for tensor in adapter.weights.values()),
        "head": adapter.head.type if adapter.head else None,
    }


COMMANDS = (attach,)

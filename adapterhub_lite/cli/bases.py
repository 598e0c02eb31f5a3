"""Base models on the command line: what `ahl add` and `ahl list --bases` do with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.cli.command import settings
from adapterhub_lite.cli.output import echo, print_json, table
from adapterhub_lite.errors import HomeError, UsageError
from adapterhub_lite.modular import modules_of

if TYPE_CHECKING:
    from adapterhub_lite.home import Home
    from adapterhub_lite.registry import BaseEntry


def add_base(
    home: Home,
    place: Path | str,
    name: str,
    aliases: tuple[str, ...],
    *,
    trust_remote_code: bool = False,
) -> None:
    """Add the base in a folder, or of a Hub id, and what is built into it."""
    from dataclasses import replace

    from adapterhub_lite.model.base import read_base
    from adapterhub_lite.model.base_modules import add_modules

    if aliases:
        raise UsageError(f"`{place}` is a base model, which has no aliases")
    loaded = read_base(place, trust_remote_code=trust_remote_code)
    if loaded.files is None:
        raise HomeError(f"the files of base `{place}` are not in the Hub client's cache")
    identity = replace(loaded.identity, name=name)
    modules = add_modules(home, replace(loaded, identity=identity))
    entry = home.registry.add_base(identity, _location(home, place), loaded.files.digests())
    run = settings()
    if run.json:
        print_json(entry)
    else:
        echo(name)
    more = f", {len(modules)} language modules" if modules else ""
    run.say(f"added base model `{name}` ({identity.layers} layers × {identity.hidden_size}{more})")


def _location(home: Home, place: Path | str) -> str:
    if isinstance(place, str):
        return place
    full = place.resolve()
    below = full.is_relative_to(home.path.resolve())
    return str(full.relative_to(home.path.resolve()) if below else full)


def list_bases(home: Home) -> None:
    """Print the base models, and how many languages are built into them."""
    entries = home.registry.bases()
    if settings().json:
        print_json(
            [
                {
                    "identity": entry.identity,
                    "location": entry.location,
                    "modules": _modules(home, entry),
                }
                for entry in entries
            ]
        )
        return
    rows = (
        (
            entry.identity.name,
            _architecture(entry, _modules(home, entry)),
            f"{entry.identity.layers} × {entry.identity.hidden_size}",
            entry.identity.fingerprint[:12] or "-",
            entry.location or "-",
        )
        for entry in entries
    )
    table(("base", "architecture", "layers × width", "fingerprint", "where"), rows)


def _modules(home: Home, entry: BaseEntry) -> list[str]:
    """Return the languages of the modules that are built into a base, as registered."""
    family = home.plugins().families.get(entry.identity.architecture)
    if family is None or modules_of(family) is None:
        return []
    found = home.registry.find(kind="language", base=entry.identity)
    return [tag for a in found if a.manifest.built_in for tag in a.manifest.tags()]


def _architecture(entry: BaseEntry, modules: list[str]) -> str:
    more = f" ({len(modules)} language modules)" if modules else ""
    return entry.identity.architecture + more

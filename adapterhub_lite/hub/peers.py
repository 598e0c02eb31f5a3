"""The one place where this room meets the exchange with other libraries' formats."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.adapter import Adapter, Manifest, Source
from adapterhub_lite.errors import AhlError, ExchangeError

if TYPE_CHECKING:
    from adapterhub_lite.exchange import Details
    from adapterhub_lite.home import Home


@dataclass(frozen=True, slots=True)
class PeerFiles:
    """What was written of an adapter for another library.

    `layout` is the format, and `None` where nothing was written; then the notes say why, and
    `lacking` says it as well where the reason lies in this home and not in the adapter: a base that
    is not at hand, a plugin that is not here.
    """

    layout: str | None
    notes: tuple[str, ...]
    lacking: str | None = None


def write_files(adapter: Adapter, home: Home, folder: Path) -> PeerFiles:
    """Write another library's files of an adapter to a new folder, if there is an exact form."""
    from adapterhub_lite import exchange

    method = adapter.manifest.method
    layout = exchange.layout_for(adapter, home)
    if layout is None:
        if method not in home.plugins().methods:
            lacking = f"no plugin here provides method `{method}`"
            return PeerFiles(None, (f"without files for other libraries: {lacking}",), lacking)
        note = f"no other library reads method `{method}`: only `ahl` can use this one"
        return PeerFiles(None, (note,))
    try:
        written = exchange.export(adapter.ref, folder, home=home, to=layout)
    except ExchangeError as error:
        return PeerFiles(None, (f"without files for `{layout}`: {error.message}",))
    except AhlError as error:  # a base that is not at hand, whose module names are needed
        note = f"without files for `{layout}`: {error.message}"
        return PeerFiles(None, (note,), error.message)
    return PeerFiles(layout, written.notes)


def check_readable(known: Adapter) -> None:
    """Refuse a layout that the catalogue knows and no format here reads.

    Raises:
        ExchangeError: with its name.
    """
    from adapterhub_lite.exchange import formats

    source = known.manifest.source
    if source is not None and source.format not in {"ahl", *formats.known()}:
        raise ExchangeError(
            f"`{source.hub_id}` is in the layout `{source.format}`, which nothing here reads",
            hint=f"known: {', '.join(formats.known())}; `ahl resolve --method` asks for others",
        )


def take(
    folder: Path,
    *,
    home: Home,
    name: str,
    source: Source,
    details: Details | None = None,
    known: Adapter | None = None,
    base: str | None = None,
    allow_pickle: bool = False,
) -> tuple[Adapter, tuple[str, ...]]:
    """Add a pulled folder in another library's layout, and return it with notes.

    Args:
        source: repository and commit that it came from.
        details: what the user says of it.
        known: what the registry knows of the repository: a remote adapter, whose facts fill gaps.
            What it was trained over is kept as recorded: by Hub id where that is all there is.
    """
    from adapterhub_lite.exchange import Details, formats
    from adapterhub_lite.exchange.importing import convert

    format = formats.recognise(folder)
    said = replace(details or Details(), source=replace(source, format=format or source.format))
    if known is not None:
        said = said.or_else(_facts(known.manifest))
    foreign = convert(
        folder,
        home=home,
        name=name,
        details=said,
        base=base or (known.manifest.base.name if known else None),
        allow_pickle=allow_pickle,
    )
    manifest = foreign.manifest
    if known is not None and not (said.over or said.seen):
        under = known.manifest
        manifest = replace(manifest, trained_over=under.trained_over, seen=under.seen)
    with tempfile.TemporaryDirectory() as staging:
        foreign.loaded.save(Path(staging), manifest)
        return home.add(Path(staging), name=name), foreign.notes


def _facts(manifest: Manifest) -> Details:
    """Return what the catalogue says of an adapter that its files may not."""
    from adapterhub_lite.exchange import Details

    return Details(
        kind=manifest.kind,
        languages=manifest.languages,
        task=manifest.task,
        dataset=manifest.dataset,
        labels=manifest.head.labels if manifest.head else (),
        licence=manifest.licence,
        authors=manifest.authors,
        citation=manifest.citation,
    )

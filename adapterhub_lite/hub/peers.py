"""The one place where this room meets the exchange with other libraries' formats."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.adapter import Adapter, Manifest, Source
from adapterhub_lite.errors import AhlError, ExchangeError

if TYPE_CHECKING:
    from adapterhub_lite.exchange import Details
    from adapterhub_lite.home import Home


def write_files(adapter: Adapter, home: Home, folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """Write another library's files of an adapter to a new folder.

    Returns the format and notes on what that library will not know; no format where the method, or
    this config of it, has no exact form there, and then the note says why.
    """
    from adapterhub_lite import exchange

    layout = exchange.layout_for(adapter, home)
    if layout is None:
        method = adapter.manifest.method
        return None, (f"no other library reads method `{method}`: only `ahl` can use this one",)
    try:
        written = exchange.export(adapter.ref, folder, home=home, to=layout)
    except AhlError as error:  # also a base that is not at hand, whose module names are needed
        return None, (f"without files for `{layout}`: {error.message}",)
    return layout, written.notes


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

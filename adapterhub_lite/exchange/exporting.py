"""Export: an adapter of the registry becomes a folder that another library's own loader takes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite import disk
from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import bases, formats
from adapterhub_lite.exchange.converter import Converter, Writing
from adapterhub_lite.foreign.text import command
from adapterhub_lite.model.loaded import HEAD, expected_shapes, read_weights

if TYPE_CHECKING:
    from adapterhub_lite.adapter import Adapter
    from adapterhub_lite.home import Home

PREFERRED = ("peft", "adapterhub")
"""Where a method has a form in several formats, a push takes the first."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the folder, its files by name, and what the library will not know."""

    folder: Path
    format: str
    files: tuple[str, ...]
    notes: tuple[str, ...]


def layout_for(adapter: Adapter, home: Home) -> str | None:
    """Return the format that an adapter's method can be written in, or `None`."""
    forms = {c.format for c in _converters(home, adapter.manifest.method)}
    return next((name for name in PREFERRED if name in forms), None)


def export(
    ref: str, folder: Path, *, home: Home | str | Path, to: str, with_head: bool = True
) -> Exported:
    """Write an adapter to a folder in another library's format, all of it or nothing.

    Args:
        ref: the adapter.
        folder: a new or empty folder.
        home: the home that has it, or the home's folder.
        to: the format's name: `peft`, `adapterhub` or `lt-sft`.
        with_head: write the head too; without it, what has no form there can stay behind, such as
            the bias over the vocabulary that training a language adapter adds.

    Raises:
        ExchangeError: the method or its config has no exact form there; or the folder holds files.
    """
    from adapterhub_lite.home import Home

    home = Home.find(home)
    format = formats.format_named(to)
    adapter = home.registry.get(ref)
    manifest = adapter.manifest
    converter = _converter(home, adapter, to)
    method = home.plugins().method(manifest.method, manifest.provider)
    shape = bases.describe(manifest.base.name, home)
    config = method.Config.from_mapping(manifest.config)
    expected = expected_shapes(shape.anatomy, method, config, manifest, home.plugins())
    weights = read_weights(home.folder_of(adapter), manifest, expected)
    own = {key: tensor for key, tensor in weights.items() if not key.startswith(HEAD)}
    head = {key[len(HEAD) :]: t for key, t in weights.items() if key.startswith(HEAD)}
    written = converter.write(Writing(config, own, manifest.leave_out, shape))
    if folder.exists() and any(folder.iterdir()):
        raise ExchangeError(f"`{folder}` is not empty", hint="name a new folder")
    notes: tuple[str, ...] = ()
    if manifest.head is not None and not with_head:
        notes = (f"the head for {manifest.head.type} was left out: only `ahl push` keeps it",)
        manifest, head = dataclasses.replace(manifest, head=None), {}
    try:
        with disk.whole_folder(folder) as part:
            notes += format.write(
                part, manifest=manifest, written=written, head_weights=head, base=shape
            )
    except ExchangeError as error:  # a head that the library cannot hold
        if manifest.head is None:
            raise
        alone = command("ahl", "export", ref, folder, "--to", to, "--without-head")
        raise ExchangeError(
            error.message,
            hint=f"{alone} writes the adapter alone; `ahl push` keeps the head, in our own form",
        ) from error
    return Exported(folder, to, tuple(sorted(p.name for p in folder.iterdir())), notes)


def _converters(home: Home, method: str) -> list[Converter]:
    return [
        converter
        for converter in home.plugins().converters
        if converter.method == method and type(converter).write is not Converter.write
    ]


def _converter(home: Home, adapter: Adapter, to: str) -> Converter:
    method = adapter.manifest.method
    found = [c for c in _converters(home, method) if c.format == to]
    if not found:
        others = sorted({c.format for c in _converters(home, method)})
        raise ExchangeError(
            f"`{adapter.ref}` is of method `{method}`, which {to} folders cannot hold",
            hint=f"`--to {others[0]}`" if others else "push it: this package's own form holds all",
        )
    return found[0]

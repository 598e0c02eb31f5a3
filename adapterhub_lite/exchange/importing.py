"""Import: a folder of another library becomes an adapter in the registry.

Everything is checked before anything is written: each tensor of the folder is used exactly once,
and what comes out has exactly the tensors that the method has on this base.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.adapter import Adapter, Manifest, Source, Underneath
from adapterhub_lite.errors import ExchangeError, UsageError
from adapterhub_lite.exchange import bases, formats
from adapterhub_lite.exchange.converter import Reading, fitting
from adapterhub_lite.foreign.text import command
from adapterhub_lite.model.loaded import (
    HEAD,
    LoadedAdapter,
    check_weights,
    expected_shapes,
)

if TYPE_CHECKING:
    from adapterhub_lite.exchange.details import Details
    from adapterhub_lite.home import Home


@dataclass(frozen=True, slots=True)
class Foreign:
    """A foreign adapter in this package's form, not yet in any registry."""

    manifest: Manifest
    loaded: LoadedAdapter
    notes: tuple[str, ...]


def import_folder(
    folder: Path,
    *,
    home: Home | str | Path,
    name: str,
    details: Details,
    base: str | None = None,
    allow_pickle: bool = False,
    with_head: bool = True,
    aliases: Sequence[str] = (),
) -> tuple[Adapter, tuple[str, ...]]:
    """Add the adapter in a folder of another library; return it, and notes on differences.

    Args:
        folder: in any format of `formats.known()`, found by its files.
        details: what the user says of it; the folder's own words fill the gaps.
        base: the base's name, where the folder has none or a useless one (a local path).
        allow_pickle: read old `.bin` weights, through torch's restricted loader.
        with_head: take in the head as well, where the folder has one.

    Raises:
        ExchangeError: not a known format, or something in it has no exact form here.
        UsageError: the kind, a language, the task or the base is not said.
    """
    from adapterhub_lite.home import Home

    home = Home.find(home)
    home.registry.check_writable()
    foreign = convert(
        folder,
        home=home,
        name=name,
        details=details,
        base=base,
        allow_pickle=allow_pickle,
        with_head=with_head,
    )
    with tempfile.TemporaryDirectory() as staging:
        foreign.loaded.save(Path(staging), foreign.manifest)
        return home.add(Path(staging), name=name, aliases=aliases), foreign.notes


def convert(
    folder: Path,
    *,
    home: Home,
    name: str,
    details: Details,
    base: str | None = None,
    allow_pickle: bool = False,
    with_head: bool = True,
) -> Foreign:
    """Return a folder's adapter in this package's form; see `import_folder`."""
    format = formats.format_named(_format_of(folder))
    with _understood(folder):
        opened = format.open(folder, allow_pickle=allow_pickle)
    if not with_head:
        opened = replace(opened, head=None, head_tensors={})
    details = details.or_else(opened.stated)
    details.check(f"`{folder}`")
    shape = bases.describe(_base_of(opened, base), home, revision=opened.revision)
    plugins = home.plugins()
    what = f"method `{opened.method}`" if opened.method else "the method"
    converter = fitting(plugins.converters, format.name, opened.config, f"{what} in `{folder}`")
    method = plugins.method(converter.method)
    over = tuple(home.registry.get(ref) for ref in details.over)
    with _understood(folder):
        parts = format.parts(opened, shape, details)
        reading = Reading(opened.config, parts.tensors, shape, parts.prefix, over)
        converted = converter.read(reading)
        parts.tensors.finish()
    assert details.kind is not None
    manifest = Manifest(
        kind=details.kind,
        languages=details.languages,
        base=shape.identity,
        method=method.name,
        config=converted.config.to_mapping(),
        provider=plugins.provider(method.name),
        leave_out=converted.leave_out,
        task=details.task,
        dataset=details.dataset,
        head=parts.head,
        trained_over=tuple(adapter.underneath() for adapter in over),
        seen=_underneath(home, details.seen),
        licence=details.licence,
        authors=details.authors,
        citation=details.citation,
        source=details.source or Source(hub_id="", format=format.name),
    )
    head = {HEAD + key: tensor for key, tensor in parts.head_weights.items()}
    weights = {key: tensor.float() for key, tensor in {**converted.weights, **head}.items()}
    expected = expected_shapes(shape.anatomy, method, converted.config, manifest, plugins)
    check_weights(name, weights, expected)
    loaded = LoadedAdapter(
        ref=name,
        kind=manifest.kind,
        method=method,
        config=converted.config,
        weights=weights,
        leave_out=converted.leave_out,
        head=parts.head,
        base=shape.identity,
    )
    return Foreign(manifest, loaded, (*opened.notes, *parts.notes, *converted.notes))


@contextmanager
def _understood(folder: Path) -> Iterator[None]:
    """Say it in one line where a folder holds what no converter, a plugin's too, reckons with."""
    try:
        yield
    except KeyError as error:
        raise ExchangeError(f"`{folder}` lacks {error}, which its format needs") from error
    except (
        ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise ExchangeError(
            f"`{folder}` holds a value that cannot be read ({type(error).__name__}: {error})"
        ) from error


def _format_of(folder: Path) -> str:
    if not folder.is_dir():
        raise ExchangeError(f"no folder `{folder}`", hint="a Hub repository comes with `ahl pull`")
    if (folder / "adapter.json").exists():
        raise UsageError(
            f"`{folder}` is in this package's own form",
            hint=command("ahl", "add", folder, "--name", "NAME"),
        )
    found = formats.recognise(folder)
    if found is None:
        raise ExchangeError(
            f"`{folder}` is in none of the formats {', '.join(formats.known())}",
            hint="a folder of these has a file `adapter_config.json`, or `pytorch_diff.bin`",
        )
    return found


def _base_of(opened: formats.Opened, given: str | None) -> str:
    name = given or opened.base
    if not name:
        raise UsageError(
            f"`{opened.folder}` does not say which base model it is for", hint="`--base NAME`"
        )
    return name


def _underneath(home: Home, refs: Sequence[str]) -> tuple[Underneath, ...]:
    return tuple(home.registry.get(ref).underneath() for ref in refs)

"""The formats that folders come in: a table, asked one after the other.

A format knows a library's file names, how it prefixes keys, and how it spells heads.  What a
method's config and tensors mean is the converters' part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from adapterhub_lite.errors import ExchangeError, near
from adapterhub_lite.exchange.details import Details
from adapterhub_lite.foreign.reading import Reader

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.adapter import HeadSpec, Manifest
    from adapterhub_lite.exchange.bases import BaseShape
    from adapterhub_lite.exchange.converter import Tensors, Written


@dataclass(frozen=True, slots=True)
class Opened:
    """A foreign folder, read and checked to be well formed, before the base is known.

    `config` is the method's, and `method` the library's own name of it; `tensors` have the
    library's own keys; `head` is what the library keeps of its head; `stated` is what the folder
    says about languages, task and the like; `revision` is the base's commit, where it is named.
    """

    folder: Path
    base: str | None
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    head: Mapping[str, Any] | None = None
    head_tensors: Mapping[str, Tensor] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    stated: Details = field(default_factory=Details)
    notes: tuple[str, ...] = ()
    method: str = ""
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """An opened folder taken apart: the method's tensors from the trunk on, and the head.

    `prefix` is what stood before the trunk in module names; see `converter.Reading`.
    """

    tensors: Tensors
    head: HeadSpec | None = None
    head_weights: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    prefix: str = ""


class Format(ABC):
    """One library's layout."""

    name: ClassVar[str]

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether a folder is in this layout, by the names of its files."""

    @abstractmethod
    def open(self, folder: Path, *, allow_pickle: bool = False) -> Opened:
        """Read a folder.

        Raises:
            ExchangeError: unreadable, ill-typed, or pickled weights without `allow_pickle`.
        """

    @abstractmethod
    def parts(self, opened: Opened, base: BaseShape, details: Details) -> Parts:
        """Take a folder apart for its base; raises `ExchangeError` where it does not fit it."""

    @abstractmethod
    def write(
        self,
        folder: Path,
        *,
        manifest: Manifest,
        written: Written,
        head_weights: Mapping[str, Tensor],
        base: BaseShape,
    ) -> tuple[str, ...]:
        """Write the library's files; return notes on what the library will not know.

        Raises:
            ExchangeError: the head has no form there.
        """


_PLACES = {
    "peft": "adapterhub_lite.exchange.peft:Peft",
    "adapterhub": "adapterhub_lite.exchange.adapterhub:AdapterHub",
    "lt-sft": "adapterhub_lite.exchange.ltsft:LTSFT",
}
"""The formats by name, imported when they are asked."""


def known() -> tuple[str, ...]:
    """Return the names of the formats."""
    return tuple(sorted(_PLACES))


def format_named(name: str) -> Format:
    """Return the format called `name`; raises `ExchangeError` where there is none."""
    if name not in _PLACES:
        raise ExchangeError(f"no format `{name}`", hint=near(name, _PLACES))
    module, _, kind = _PLACES[name].partition(":")
    made: Format = getattr(import_module(module), kind)()
    return made


def recognise(folder: Path) -> str | None:
    """Return the name of the format that a folder is in, or `None`.

    Raises:
        ExchangeError: its config cannot be read.
    """
    for name in known():
        if format_named(name).recognises(folder):
            return name
    config = folder / "adapter_config.json"
    if config.exists():
        Reader(ExchangeError).json_object_file(config)  # a damaged one is why it was not recognised
    return None

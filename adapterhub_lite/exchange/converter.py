"""How one method is spelt in another library's files: the class that plugins extend.

A format (`formats.py`) knows the files of a library, its key prefixes and its heads; a converter
knows one method's config and tensors in that format.  A method that comes in a plugin brings its
converters along, through the hook `ahl_converters`.

This module must stay free of torch at import, as plugins import it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from adapterhub_lite.errors import ExchangeError, near

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.adapter import Adapter
    from adapterhub_lite.exchange.bases import BaseShape
    from adapterhub_lite.methods.config import MethodConfig


class Tensors:
    """A folder's tensors by key, each to be taken exactly once: what is left over is an error."""

    def __init__(self, tensors: Mapping[str, Tensor], where: str) -> None:
        self._tensors = dict(tensors)
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self._tensors

    def keys(self) -> list[str]:
        """Return the keys that were not taken yet."""
        return list(self._tensors)

    def take(self, key: str) -> Tensor:
        """Return a tensor, which is used up by that.

        Raises:
            ExchangeError: there is none (any more).
        """
        if key not in self._tensors:
            raise ExchangeError(
                f"{self.where} lacks tensor `{key}`", hint=near(key, self._tensors), key=key
            )
        return self._tensors.pop(key)

    def finish(self) -> None:
        """Raise `ExchangeError` where tensors are left that nothing asked for."""
        left = sorted(self._tensors)
        if left:
            shown = ", ".join(f"`{key}`" for key in left[:3])
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            raise ExchangeError(
                f"{self.where} has {shown}{more}, which its config does not name", keys=left
            )


@dataclass(frozen=True, slots=True)
class Reading:
    """An adapter as another library's folder holds it, and the base it is for.

    `tensors` have keys that start at the trunk (`encoder.layer.0...`): the format takes off what
    the library and the head class put in front.  `prefix` is what the head class put there
    (`roberta.`; empty where the adapter was made on a bare trunk): patterns in configs see it.
    """

    config: Mapping[str, Any]
    tensors: Tensors
    base: BaseShape
    prefix: str = ""
    over: tuple[Adapter, ...] = ()
    """What the user says is underneath, bottom first: the members of a fusion come last."""


@dataclass(frozen=True, slots=True)
class Converted:
    """The same adapter in this package's form; `notes` say where results differ from the peer's."""

    config: MethodConfig
    weights: dict[str, Tensor]
    leave_out: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Writing:
    """An adapter of this package that is to be spelt for another library; no head weights in it."""

    config: Any
    weights: Mapping[str, Tensor]
    leave_out: tuple[int, ...]
    base: BaseShape


@dataclass(frozen=True, slots=True)
class Written:
    """The library's config values and tensors (keys start at the trunk)."""

    config: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)


class Converter(ABC):
    """One method in one format, both ways, exactly; what cannot be exact is refused by name."""

    name: ClassVar[str]
    """Unique; by custom `FORMAT-METHOD`, such as `peft-lora`."""
    format: ClassVar[str]
    method: ClassVar[str]

    @abstractmethod
    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a folder's config is of this method."""

    @abstractmethod
    def read(self, reading: Reading) -> Converted:
        """Return the adapter in this package's form.

        Raises:
            ExchangeError: a config value or tensor that has no exact form here; names it.
        """

    def write(self, writing: Writing) -> Written:
        """Return the adapter in the library's form.

        Raises:
            ExchangeError: a config that the library cannot express; names the field.
        """
        raise ExchangeError(
            f"{self.format} folders of method `{self.method}` can be read but not written",
            config=writing.config.to_mapping(),
        )


def fitting(
    converters: Iterable[Converter], format: str, config: Mapping[str, Any], what: str
) -> Converter:
    """Return the one converter of `format` that takes a config; `what` names it in the error."""
    known = [converter for converter in converters if converter.format == format]
    found = [converter for converter in known if converter.fits(config)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"`{converter.name}`" for converter in found)
        raise ExchangeError(f"{what} is claimed by several converters: {names}")
    raise ExchangeError(
        f"nothing here reads {what}",
        hint=f"{format} folders of these methods come in: "
        f"{', '.join(sorted({c.method for c in known}))}; a plugin can add more",
    )

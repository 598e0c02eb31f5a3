"""Device and number format of the base models that a command loads, without importing torch.

A command's `--device` and `--dtype` hold for every base that is loaded while it runs.  So functions
on the way need not hand them on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterhub_lite.errors import AttachError, near

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a base is put and in which number format; `None` is the default of whoever loads it."""

    device: str | None = None
    dtype: str | None = None


_DEFAULT = Placement()
_CURRENT: ContextVar[Placement] = ContextVar("placement", default=_DEFAULT)


def current() -> Placement:
    """Return what holds for bases that are loaded without saying more."""
    return _CURRENT.get()


@contextmanager
def placed(placement: Placement) -> Iterator[None]:
    """Load bases in this way inside the block."""
    token = _CURRENT.set(placement)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def dtype_of(name: str | torch.dtype | None) -> torch.dtype:
    """Return the number format of that name, `torch.float32` if none is asked for.

    Raises:
        AttachError: not one of `DTYPES`.
    """
    import torch

    name = name or current().dtype or DTYPES[0]
    text = str(name).removeprefix("torch.")
    if text not in DTYPES:
        raise AttachError(f"no dtype `{text}` for base models", hint=near(text, DTYPES))
    dtype: torch.dtype = getattr(torch, text)
    return dtype


def device_of(name: str | int | torch.device | None) -> torch.device:
    """Return the device of that name, the CPU if none is asked for.

    Raises:
        AttachError: no such device, or not on this machine.
    """
    import torch

    name = current().device if name is None else name
    if name is None:
        return torch.device("cpu")
    names = devices()
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    here = ", ".join(f"`{device}`" for device in names)
    if device is None:
        raise AttachError(f"no device `{name}`", hint=f"this machine has {here}")
    if str(device) not in {*names, *(full.partition(":")[0] for full in names)}:
        raise AttachError(f"device `{device}` is not on this machine", hint=f"it has {here}")
    return device


def devices() -> list[str]:
    """Return the names of the devices of this machine that torch can compute on."""
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ["cpu"]
    count = torch.accelerator.device_count()
    return ["cpu", *(f"{accelerator.type}:{number}" for number in range(count))]

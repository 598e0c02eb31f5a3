"""Old weight files are pickles, which can run code: read them as tensors only, within bounds.

torch's restricted loader builds nothing but tensors.  What it does not do is bound memory: an
archive may inflate to anything, and a tensor may claim a size that no file has behind it.  Both are
looked at first.  Nothing that is read here is ever written as a pickle again.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.foreign.text import command

LIMIT = 4 * 2**30
"""Most bytes that a weight file may hold, packed or not: four times any public adapter."""


def read_pickle(path: Path, *, allowed: bool, limit: int = LIMIT) -> dict[str, Tensor]:
    """Return the tensors of a `.bin` file, by name.

    Raises:
        ExchangeError: not `allowed`; too large; not a mapping from names to tensors; anything in it
            that is no tensor.
    """
    if not allowed:
        raise ExchangeError(
            f"`{path.name}` is a pickle, an old format that can carry code",
            hint=f"{command('ahl', 'import', path.parent, '--allow-pickle')} reads it through "
            "torch's restricted loader and keeps it as safetensors",
        )
    _check_size(path, limit)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "damaged"
        raise ExchangeError(f"`{path}` is not a plain file of tensors: {reason}") from None
    return _tensors(loaded, path, limit)


def _check_size(path: Path, limit: int) -> None:
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                size = max(size, sum(entry.file_size for entry in archive.infolist()))
        except zipfile.BadZipFile as error:
            raise ExchangeError(f"`{path}` is a damaged archive: {error}") from None
    else:
        _check_claims(path, size, limit)
    if size > limit:
        raise ExchangeError(
            f"`{path}` holds {size} bytes, more than the {limit} that an adapter may have"
        )


def _check_claims(path: Path, size: int, limit: int) -> None:
    """Refuse a file of the first format in which a storage is said to be larger than the file.

    Three short pickles stand before the one with the tensors.  Storages are allocated by the number
    of elements that the pickle states, before a byte of them is read.
    """
    if size > limit:
        return
    with path.open("rb") as file:
        try:
            for number in range(4):
                for _, value, _ in pickletools.genops(file):
                    if number == 3 and isinstance(value, int) and value > size:
                        raise ExchangeError(f"`{path}` claims {value} elements in {size} bytes")
        except ValueError as error:
            raise ExchangeError(f"`{path}` is not a file of tensors: {error}") from None


def _tensors(loaded: Any, path: Path, limit: int) -> dict[str, Tensor]:
    if not isinstance(loaded, dict):
        raise ExchangeError(f"`{path}` holds a {type(loaded).__name__}, expected tensors by name")
    total = 0
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ExchangeError(f"`{path}` holds something other than tensors by name: `{key}`")
        if value.layout is not torch.strided or value.is_quantized or value.is_complex():
            raise ExchangeError(f"`{path}`: tensor `{key}` is not a plain one")
        total += value.numel() * value.element_size()  # a tensor may repeat one value many times
    if total > limit:
        raise ExchangeError(f"`{path}` unfolds to {total} bytes, more than {limit}")
    return {key: value.detach().contiguous().clone() for key, value in loaded.items()}

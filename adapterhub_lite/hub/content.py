"""Files that were downloaded, looked at before any library opens them.

The hash says that a file is the one that was published, not that it is harmless.  Headers of
safetensors are checked here for what the library lets pass (one name twice, blanks in front, a
flood of empty tensors), JSON for depth and for one key twice, where two readers may differ.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any

from adapterhub_lite.errors import HubError
from adapterhub_lite.foreign.reading import Bounds, Reader

LARGEST_HEADER = 16 << 20
MOST_TENSORS = 100_000
LARGEST_TEXT = 4 << 20
"""Bytes of a config, manifest or card."""

_CONFIG = Reader(HubError, bounds=Bounds(bytes=LARGEST_TEXT), controls=False)
_HEADER = Reader(HubError, bounds=Bounds(bytes=LARGEST_HEADER, items=20 * MOST_TENSORS))

_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
}


def check_file(path: Path, shown: str) -> None:
    """Check a file by its name's ending; `shown` is what messages call it."""
    if path.suffix == ".safetensors":
        check_safetensors(path, shown)
    elif path.suffix == ".json":
        read_json(path, shown)


def read_json(path: Path, shown: str) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        HubError: not JSON, not an object, out of bounds (`foreign.reading`), or with text that a
            terminal would obey.
    """
    size = path.stat().st_size
    if size > LARGEST_TEXT:
        raise HubError(f"`{shown}` has {size} bytes, at most {LARGEST_TEXT} are read")
    return _CONFIG.json_object(path.read_bytes(), f"cannot read `{shown}`")


def check_safetensors(path: Path, shown: str) -> None:
    """Refuse a file that is not exactly a header and the tensors that it describes.

    Raises:
        HubError: with what is wrong.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if not 2 <= length <= min(LARGEST_HEADER, size - 8):
            raise HubError(f"`{shown}` has no sound header: it announces {length} bytes of it")
        header = stream.read(length)
    if not header.startswith(b"{"):
        raise HubError(f"`{shown}` has no sound header: it does not start with `{{`")
    tensors = _HEADER.json_object(header, f"cannot read the header of `{shown}`")
    tensors.pop("__metadata__", None)
    if len(tensors) > MOST_TENSORS:
        raise HubError(f"`{shown}` has {len(tensors)} tensors, at most {MOST_TENSORS} are read")
    _check_places(tensors, size - 8 - length, shown)


def _check_places(tensors: dict[str, Any], size: int, shown: str) -> None:
    """Each tensor has the bytes that its shape needs, and together they fill the file."""
    places = sorted(_place(name, values, shown) for name, values in tensors.items())
    end = 0
    for start, stop, name in places:
        if start != end:
            raise HubError(f"`{shown}`: tensor `{_short(name)}` does not start where the last ends")
        end = stop
    if end != size:
        raise HubError(f"`{shown}`: its tensors have {end} bytes, the file has {size} for them")


def _place(name: str, values: Any, shown: str) -> tuple[int, int, str]:
    try:
        dtype, shape, (start, stop) = values["dtype"], values["shape"], values["data_offsets"]
        numbers = [*shape, start, stop]
        sound = all(type(number) is int and 0 <= number < 1 << 48 for number in numbers)
        needed = prod(shape) * _BITS[dtype] // 8 if sound else -1
    except (KeyError, TypeError, ValueError):
        sound = False
        needed = start = stop = -1
    if not sound or stop - start != needed:
        raise HubError(f"`{shown}`: tensor `{_short(name)}` has no sound type, shape and place")
    return start, stop, name


def _short(name: str) -> str:
    return ascii(name)[1:-1][:80]

"""The files of an `adapters` folder: names, bounded and type-checked JSON, weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange.pickles import LIMIT, read_pickle
from adapterhub_lite.foreign.reading import Reader

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "adapter_config.json"
FUSION_CONFIG = "adapter_fusion_config.json"
HEAD_CONFIG = "head_config.json"
INTERFACE = "adapter_interface.json"
SETUP = "adapter_setup.json"
EMBEDDINGS = ("embedding.pt", "embeddings.pt")
READER = Reader(ExchangeError)


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The two names that weights may have."""

    safe: str
    pickled: str


ADAPTER = WeightFiles("adapter.safetensors", "pytorch_adapter.bin")
HEAD = WeightFiles("model_head.safetensors", "pytorch_model_head.bin")
FUSION = WeightFiles("model_adapter_fusion.safetensors", "pytorch_model_adapter_fusion.bin")


def is_layout(folder: Path) -> bool:
    """Whether a folder has the files of the library, as against other users of their names."""
    if (folder / SETUP).is_file() or (folder / FUSION_CONFIG).is_file():
        return True
    try:
        config = READER.json_object_file(folder / CONFIG)
    except (FileNotFoundError, ExchangeError):
        return False
    return "config" in config and "peft_type" not in config


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; raises `ExchangeError` where there is none."""
    try:
        return READER.json_object_file(path)
    except FileNotFoundError:
        raise ExchangeError(f"`{path}` is missing") from None


def text(values: Mapping[str, Any], key: str, where: Path) -> str | None:
    """Return a text, or `None` where there is none; raises `ExchangeError` for other types."""
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise ExchangeError(f"`{where}`: `{key}` must be a text, found `{value}`")
    return value


def read_weights(folder: Path, names: WeightFiles, *, allow_pickle: bool) -> dict[str, Tensor]:
    """Return a folder's tensors: safetensors where there are any, else the pickle.

    Raises:
        ExchangeError: neither is there, or it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    safe, pickled = folder / names.safe, folder / names.pickled
    if not safe.is_file():
        if not pickled.is_file():
            raise ExchangeError(f"`{folder}` has neither `{names.safe}` nor `{names.pickled}`")
        return read_pickle(pickled, allowed=allow_pickle)
    if safe.stat().st_size > LIMIT:
        raise ExchangeError(f"`{safe}` has {safe.stat().st_size} bytes, at most {LIMIT} come in")
    try:
        return load_file(safe)
    except (SafetensorError, OSError) as error:
        raise ExchangeError(f"cannot read `{safe}`: {error}") from None


def write_weights(folder: Path, names: WeightFiles, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors both ways: the library's loader takes the pickle unless it is told not to."""
    import torch
    from safetensors.torch import save_file

    plain = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    save_file(plain, folder / names.safe, metadata={"format": "pt"})
    torch.save(plain, folder / names.pickled)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object as the library does: indented, keys sorted."""
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")

"""How `adapters` names the tensors of an adapter, in each model family.

A key is `PREFIX path.CONTAINER.NAME.rest`: the prefix is the trunk's name in a model with head and
is missing where the adapter was saved without one; NAME is the adapter's name in that library.
Converters see `path.CONTAINER.rest`, which starts at the trunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError, near

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.exchange.bases import BaseShape

CONTAINERS = (
    "adapters",
    "loras",
    "prefix_tunings",
    "prefix_gates",
    "prompt_tunings",
    "refts",
    "invertible_adapters",
    "shared_parameters",
    "adapter_fusion_layer",
)
"""Names of the mappings in which the library keeps adapters by name."""

LEGACY = {
    "attention_text_task_adapters": "adapters",
    "attention_text_lang_adapters": "adapters",
    "layer_text_task_adapters": "adapters",
    "layer_text_lang_adapters": "adapters",
    "invertible_lang_adapters": "invertible_adapters",
}
"""What the containers were called before 2021."""

_INSIDE = {"attention_block": "attention.output", "ffn_block": "output"}
_BESIDE = {"attention_block": "attention_adapters", "ffn_block": "output_adapters"}
_BLOCKS = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra", "xmod", "deberta-v2"), _INSIDE),
    **dict.fromkeys(("distilbert", "gpt2", "llama", "mistral", "qwen2", "qwen3"), _BESIDE),
}
_ENCODER_LORA = {"intermediate": "ffn_up", "output": "ffn_down"}
_SWAPPED = {"intermediate": "ffn_down", "output": "ffn_up"}
"""In its own wrapping of these families the library has the two the other way round."""
_LORA = {"llama": _SWAPPED, "mistral": _SWAPPED}
_PREFIX = {
    **dict.fromkeys(
        ("bert", "roberta", "xlm-roberta", "electra", "xmod", "deberta-v2"), "self_prefix"
    ),
    **dict.fromkeys(("llama", "mistral", "gpt2"), "self_prefix"),
    "distilbert": "self",
}
ATTENTION = {"q": "query", "k": "key", "v": "value"}
"""The library's letters in `attn_matrices`, and our parts."""


def block_path(base: BaseShape, block: str, layer: int) -> str:
    """Return where a layer keeps bottlenecks of a block: `encoder.layer.0.output.adapters`."""
    inside: str = _of(base, _BLOCKS, "bottleneck adapters")[block]
    return f"{base.anatomy.family.layers}.{layer}.{inside}.adapters"


def fusion_path(base: BaseShape, block: str, layer: int) -> str:
    """Return where a layer keeps what fuses bottlenecks of a block."""
    return block_path(base, block, layer).removesuffix("adapters") + "adapter_fusion_layer"


def linear_part(base: BaseShape, name: str, *, interface: bool) -> str:
    """Return our part for the library's `intermediate` or `output`.

    `interface`: the model was wrapped through an interface description, which swaps nothing.
    """
    table = _ENCODER_LORA if interface else _LORA.get(base.identity.architecture, _ENCODER_LORA)
    return table[name]


def prefix_place(base: BaseShape) -> str:
    """Return the name under which a family's prefixes are kept."""
    place: str = _of(base, _PREFIX, "prefixes")
    return place


def _of(base: BaseShape, table: Mapping[str, Any], what: str) -> Any:
    model_type = base.identity.architecture
    if model_type not in table:
        raise ExchangeError(
            f"how `adapters` keeps {what} of `{model_type}` models is not known here",
            hint=f"known: {', '.join(sorted(table))}",
        )
    return table[model_type]


def from_trunk(
    tensors: Mapping[str, Tensor], name: str, base: BaseShape, where: str
) -> dict[str, Tensor]:
    """Return tensors by keys that start at the trunk and lack the adapter's name.

    Raises:
        ExchangeError: a key without the name, or outside the library's containers.
    """
    prefix = f"{base.prefix}."
    cut = len(prefix) if all(key.startswith(prefix) for key in tensors) else 0
    found: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if ".pool." in key:  # the same tensors again, under every layer
            continue
        short = _without(_present(key[cut:]), name)
        if short is None:
            raise ExchangeError(
                f"{where} has tensor `{key}`, which is not of the adapter `{name}` that its config "
                "names",
                hint=near(name, _names(tensors)),
                key=key,
            )
        found[short] = tensor
    return found


def with_name(tensors: Mapping[str, Tensor], name: str, base: BaseShape) -> dict[str, Tensor]:
    """Return tensors by the library's full keys: the reverse of `from_trunk`."""
    full = {}
    for key, tensor in tensors.items():
        parts = key.split(".")
        at = next(i for i, part in enumerate(parts) if part in CONTAINERS)
        full[".".join((base.prefix, *parts[: at + 1], name, *parts[at + 1 :]))] = tensor
    return full


def _present(key: str) -> str:
    return ".".join(LEGACY.get(part, part) for part in key.split("."))


def _without(key: str, name: str) -> str | None:
    """Return a key without the adapter's name, or `None` where it is not there."""
    for container in CONTAINERS:
        before, found, rest = f".{key}".partition(f".{container}.{name}.")
        if found:
            return f"{before}.{container}.{rest}"[1:]
    return None


def _names(tensors: Mapping[str, Tensor]) -> set[str]:
    names = set()
    for key in tensors:
        parts = _present(key).split(".")
        at = [i for i, part in enumerate(parts) if part in CONTAINERS]
        names |= {parts[at[0] + 1]} if at else set()
    return names

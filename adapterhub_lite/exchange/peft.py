"""Folders of the library peft: `adapter_config.json`, `adapter_model.safetensors`.

Keys start with `base_model.model.` and then name modules as the class does that the adapter was
made on: `roberta.encoder...` with a head class, `encoder...` on a bare trunk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import peft_heads, peft_lora
from adapterhub_lite.exchange.converter import Tensors, Written
from adapterhub_lite.exchange.details import Details
from adapterhub_lite.exchange.formats import Format, Opened, Parts
from adapterhub_lite.exchange.peft_prefix import TABLE
from adapterhub_lite.foreign.reading import Reader

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.adapter import Manifest
    from adapterhub_lite.exchange.bases import BaseShape

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
READER = Reader(ExchangeError)
_OUTER, _INNER = "base_model.", "base_model.model."


class Peft(Format):
    """peft's layout; see the module's docstring."""

    name = "peft"

    def recognises(self, folder: Path) -> bool:
        """Whether there is peft's config, which names a `peft_type`, or its weights."""
        if (folder / WEIGHTS).exists() or (folder / PICKLED).exists():
            return (folder / CONFIG).exists()
        try:
            return "peft_type" in READER.json_object_file(folder / CONFIG)
        except (FileNotFoundError, ExchangeError):
            return False

    def open(self, folder: Path, *, allow_pickle: bool = False) -> Opened:
        """Read config and tensors; see `Format.open`."""
        config = _config(folder / CONFIG)
        method, task_type = config.get("peft_type"), config.get("task_type")
        if not isinstance(method, str):
            raise ExchangeError(f"`{folder / CONFIG}` names no `peft_type`")
        base, revision = config.get("base_model_name_or_path"), config.get("revision")
        tensors = _without_start(_tensors(folder, allow_pickle=allow_pickle), f"`{folder}`")
        head = {k: t for k, t in tensors.items() if k.partition(".")[0] in peft_heads.NAMES}
        return Opened(
            folder=folder,
            base=base if isinstance(base, str) else None,
            config=config,
            tensors={key: tensor for key, tensor in tensors.items() if key not in head},
            head={"task_type": task_type},
            head_tensors=head,
            stated=Details(task_type=peft_heads.TASKS.get(str(task_type))),
            method=method,
            revision=revision if isinstance(revision, str) else None,
        )

    def parts(self, opened: Opened, base: BaseShape, details: Details) -> Parts:
        """Take method and head apart; see `Format.parts`."""
        where = f"`{opened.folder}`"
        headed = any(key.startswith(f"{base.prefix}.") for key in opened.tensors)
        prefix = f"{base.prefix}." if headed else ""
        own = _from_trunk(opened, prefix, base, where)
        pooler = {key: own.pop(key) for key in list(own) if key.startswith("pooler.")}
        head = _without_wrapper(opened.head_tensors)
        task_type = opened.head["task_type"] if opened.head else None
        found = peft_heads.read(Tensors(head, where), base, details, task_type)
        if found is None:
            return Parts(Tensors(own, where), prefix=prefix, notes=_pooler_notes(pooler))
        spec, weights, notes = found
        if pooler and "classifier.weight" in head and "0.weight" in weights:
            weights = _fold_pooler(weights, Tensors(pooler, where), opened.config, prefix)
            pooler = {}
        return Parts(
            Tensors(own, where),
            prefix=prefix,
            head=spec,
            head_weights=weights,
            notes=(*notes, *_pooler_notes(pooler)),
        )

    def write(
        self,
        folder: Path,
        *,
        manifest: Manifest,
        written: Written,
        head_weights: Mapping[str, Tensor],
        base: BaseShape,
    ) -> tuple[str, ...]:
        """Write config and tensors; see `Format.write`."""
        from safetensors.torch import save_file

        prompt = TABLE in written.tensors
        task_type = "CAUSAL_LM" if base.anatomy.rotary() is not None else None
        if prompt and task_type is None:
            task_type = "FEATURE_EXTRACTION"
        head: dict[str, Tensor] = {}
        notes: tuple[str, ...] = (_class_note(base, prompt=prompt),)
        if manifest.head is not None:
            task_type, head, notes = peft_heads.write(manifest.head, head_weights, base)
        prefix = f"{base.prefix}." if head or base.has_head else ""
        tensors = {_full(key, prefix, base): t for key, t in written.tensors.items()}
        tensors |= {(_OUTER if prompt else _INNER) + key: tensor for key, tensor in head.items()}
        config = {
            "base_model_name_or_path": manifest.base.name,
            "inference_mode": True,
            "modules_to_save": sorted({key.partition(".")[0] for key in head}) or None,
            "revision": manifest.base.revision,
            "task_type": task_type,
            **written.config,
        }
        contiguous = {key: tensor.detach().contiguous().clone() for key, tensor in tensors.items()}
        save_file(contiguous, folder / WEIGHTS, metadata={"format": "pt"})
        text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
        return notes


def _config(path: Path) -> dict[str, Any]:
    try:
        return READER.json_object_file(path)
    except FileNotFoundError:
        raise ExchangeError(f"`{path}` is missing") from None


def _tensors(folder: Path, *, allow_pickle: bool) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.exists():
        return _pickled(folder, allow_pickle=allow_pickle)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ExchangeError(f"cannot read `{path}`: {error}") from None


def _pickled(folder: Path, *, allow_pickle: bool) -> dict[str, Tensor]:
    path = folder / PICKLED
    if not path.exists():
        raise ExchangeError(f"`{folder}` has no `{WEIGHTS}`")
    from adapterhub_lite.exchange.pickles import read_pickle

    return read_pickle(path, allowed=allow_pickle)


def _without_start(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return the tensors without what peft puts before every name."""
    found = {}
    for key, tensor in tensors.items():
        start = _INNER if TABLE not in tensors and key.startswith(_INNER) else _OUTER
        if key != TABLE and not key.startswith(_OUTER):
            raise ExchangeError(f"{where}: tensor `{key}` does not start with `{_OUTER}`", key=key)
        found[key.removeprefix(start)] = tensor
    return found


def _without_wrapper(head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what `bias: all` saves of peft's wrapper around a head: the same bias again."""
    wrappers = ("modules_to_save", "original_module")
    return {key: tensor for key, tensor in head.items() if key.split(".")[1] not in wrappers}


def _from_trunk(opened: Opened, prefix: str, base: BaseShape, where: str) -> dict[str, Tensor]:
    """Return the method's tensors by their names from the trunk on."""
    trunk = {name for name, _ in base.anatomy.trunk.named_children()} | {"pooler"}
    outside = {path.partition(".")[0] for path in base.modules} - trunk
    own: dict[str, Tensor] = {}
    for key, tensor in opened.tensors.items():
        first = key.partition(".")[0]
        if prefix and key.startswith(prefix):
            own[key.removeprefix(prefix)] = tensor
        elif "." not in key or first in (outside if prefix else trunk | outside):
            own[key] = tensor
        else:
            raise ExchangeError(
                f"{where}: tensor `{key}` belongs to no module of base `{base.identity.name}`",
                hint=f"it calls its trunk `{base.prefix}`; was the adapter made on another model?",
                key=key,
            )
    saved = opened.config.get("modules_to_save") or ()
    for name in saved if isinstance(saved, list) else ():
        whole = [key for key in own if f".{key}".find(f".{name}.") >= 0]
        if whole:
            raise ExchangeError(
                f"{where} retrained `{name}` as a whole (`modules_to_save`); only heads have a "
                "form here",
                key=whole[0],
            )
    return own


def _pooler_notes(pooler: Mapping[str, Tensor]) -> tuple[str, ...]:
    if not pooler:
        return ()
    return (
        f"{len(pooler)} tensors that change the pooler are left out: nothing here reads the pooler",
    )


def _fold_pooler(
    weights: dict[str, Tensor], pooler: Tensors, config: Mapping[str, Any], prefix: str
) -> dict[str, Tensor]:
    """Return head weights with what LoRA changes in the pooler, which is part of this head."""
    key = "pooler.dense"
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("lora_bias"):
        raise ExchangeError(f"{pooler.where} changes `{key}`, which has no form here but for LoRA")
    peft_lora.check_config(config)
    weights = dict(weights)
    if f"{key}.lora_A.weight" in pooler:
        ((_, _, s),) = peft_lora.scalings(config, [prefix + key]).values()
        A, B = (pooler.take(f"{key}.lora_{name}.weight").float() for name in "AB")
        weights["0.weight"] = weights["0.weight"].float() + s * B @ A
    for name in (f"{key}.bias", f"{key}.base_layer.bias"):
        if name in pooler:
            weights["0.bias"] = pooler.take(name)
    pooler.finish()
    return weights


def _full(key: str, prefix: str, base: BaseShape) -> str:
    """Return peft's key of a tensor; keys without a dot are of no module."""
    if "." not in key:
        return key if key == TABLE else _OUTER + key
    trunk = dict(base.anatomy.trunk.named_children())
    return f"{_INNER}{prefix if key.partition('.')[0] in trunk else ''}{key}"


def _class_note(base: BaseShape, *, prompt: bool) -> str:
    if base.anatomy.rotary() is not None:
        return "load the base with `AutoModelForCausalLM`: the keys are those of that class"
    headed = base.has_head and not prompt
    name = "AutoModelForMaskedLM" if headed else "AutoModel"
    return f"load the base with `{name}`: the keys are those of that class"

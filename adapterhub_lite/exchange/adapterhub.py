"""The layout of `adapters`, AdapterHub's library, present and past.

Folders of all its versions come in: the keys and nested configs of the first ones, activations by
their old names, the scaling that LoRA had before 1.1.  What differs is settled here, so that
converters see one form.  Folders go out as version 1.3 writes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from adapterhub_lite.adapter import Kind, Role
from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import adapterhub_files as files
from adapterhub_lite.exchange import adapterhub_heads as heads
from adapterhub_lite.exchange import adapterhub_keys as keys
from adapterhub_lite.exchange import architectures
from adapterhub_lite.exchange.adapterhub_card import read_card
from adapterhub_lite.exchange.adapterhub_words import LIBRARY
from adapterhub_lite.exchange.converter import Tensors
from adapterhub_lite.exchange.formats import Format, Opened, Parts

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.adapter import HeadSpec, Manifest
    from adapterhub_lite.exchange.bases import BaseShape
    from adapterhub_lite.exchange.converter import Written
    from adapterhub_lite.exchange.details import Details

VERSION = "adapters.1.3.0"
"""The version whose form is written."""

FUSION = "fusion"
"""Our word in `architecture` for a folder that holds a fusion."""

_REFUSED = {
    "prompt_tuning": "vectors in the embeddings, which no method here has",
    "reft": "interventions at chosen positions, which no method here has",
    "mtl_lora": "one LoRA for several tasks, which no method here has",
    "union": "several methods in one adapter; here each is an adapter, and they stack",
}


class AdapterHub(Format):
    """Folders that `adapters` saves and loads."""

    name: ClassVar[str] = "adapterhub"

    def recognises(self, folder: Path) -> bool:
        """Whether a folder has the library's files."""
        return files.is_layout(folder)

    def open(self, folder: Path, *, allow_pickle: bool = False) -> Opened:
        """Read a folder; see `Format.open`."""
        _refuse_more(folder)
        fusion = not (folder / files.CONFIG).is_file()
        path = folder / (files.FUSION_CONFIG if fusion else files.CONFIG)
        outer = files.read_json(path)
        config, notes = _method_config(outer, path, fusion=fusion)
        config["interface"] = (folder / files.INTERFACE).is_file()
        names = files.FUSION if fusion else files.ADAPTER
        tensors = files.read_weights(folder, names, allow_pickle=allow_pickle)
        if outer.get("type") == "text_task" and not any("invertible" in key for key in tensors):
            config |= {"inv_adapter": None}  # first versions named one in task adapters as well
        head, head_tensors = _head_files(folder, allow_pickle=allow_pickle)
        stated, base = read_card(folder)
        model = files.text(outer, "model_name", path)
        return Opened(
            folder=folder,
            base=base if _is_path(model) else model,
            config=config,
            tensors=tensors,
            head=head,
            head_tensors=head_tensors,
            extra=outer,
            stated=stated,
            notes=notes,
            method=str(config.get("architecture") or "bottleneck"),
        )

    def parts(self, opened: Opened, base: BaseShape, details: Details) -> Parts:
        """Take a folder apart; see `Format.parts`."""
        where = f"`{opened.folder}`"
        _check_base(opened, base, where)
        name = str(opened.extra["name"])
        found = keys.from_trunk(opened.tensors, name, base, where)
        head: HeadSpec | None = None
        weights: dict[str, Tensor] = {}
        if opened.head is not None:
            inside = f"the head in {where}"
            head, weights = heads.read_head(
                opened.head, opened.head_tensors, details.labels, inside
            )
        return Parts(Tensors(found, where), head, weights)

    def write(
        self,
        folder: Path,
        *,
        manifest: Manifest,
        written: Written,
        head_weights: Mapping[str, Tensor],
        base: BaseShape,
    ) -> tuple[str, ...]:
        """Write a folder; see `Format.write`."""
        name = adapter_name(manifest)
        head = None
        if manifest.head is not None:
            head = heads.write_head(manifest.head, head_weights, name, base)
        outer = {
            "hidden_size": base.identity.hidden_size,
            "model_class": heads.model_class(base),
            "model_name": manifest.base.name,
            "model_type": base.identity.architecture,
            "name": name,
            "version": VERSION,
        }
        config = {**written.config, "leave_out": list(manifest.leave_out)}
        files.write_json(folder / files.CONFIG, {**outer, "config": config})
        tensors = keys.with_name(written.tensors, name, base)
        files.write_weights(folder, files.ADAPTER, tensors)
        if head is not None:
            files.write_json(folder / files.HEAD_CONFIG, {**outer, "config": head[0]})
            files.write_weights(folder, files.HEAD, head[1])
        return _unknown_there(manifest, config)


def adapter_name(manifest: Manifest) -> str:
    """Return the name that an adapter gets in the library: its language, pair or task."""
    if manifest.kind is Kind.LANGUAGE:
        name = "-".join(manifest.tags(Role.LANGUAGE))
    elif manifest.kind is Kind.BILINGUAL:
        name = "-".join(manifest.tags(Role.SOURCE, Role.TARGET))
    else:
        name = manifest.task or str(manifest.kind)
    return re.sub(r"[^\w-]+", "_", name) or "adapter"  # a dot in a name breaks the library


def _unknown_there(manifest: Manifest, config: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    if manifest.trained_over:
        notes.append(f"`{LIBRARY}` does not record what this was trained over")
        if "original_ln_before" in config and manifest.config.get("stacking") != "chained":
            notes.append(
                f"on an adapter below, `{LIBRARY}` computes this one otherwise than "
                "it was trained: alone it is the same"
            )
    if manifest.config.get("invertible"):
        notes.append(
            f"`{LIBRARY}` undoes the invertible part before its own language-model "
            "heads only, not before transformers' `...ForMaskedLM`"
        )
    return tuple(notes)


def _refuse_more(folder: Path) -> None:
    """Refuse folders that hold more than one adapter and its head."""
    if (folder / files.SETUP).is_file():
        raise ExchangeError(
            f"`{folder}` holds a set-up of several adapters", hint="import each of its folders"
        )
    for name in files.EMBEDDINGS:
        if (folder / name).exists():
            raise ExchangeError(
                f"`{folder}` holds embeddings of its own (`{name}`), which no adapter here has"
            )


def _method_config(
    outer: Mapping[str, Any], path: Path, *, fusion: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the method's config in the library's present words, and what was changed."""
    if not files.text(outer, "name", path):
        raise ExchangeError(f"`{path}` does not name the adapter")
    found = outer.get("config")
    version = files.text(outer, "version", path)
    if isinstance(found, str):
        return architectures.spelt_out(found), ()
    if not isinstance(found, dict):
        raise ExchangeError(f"`{path}`: `config` must be an object, found `{found}`")
    if fusion:
        return {**found, "architecture": FUSION, "members": _members(outer, path)}, ()
    kind = found.get("architecture")
    if kind in _REFUSED:
        raise ExchangeError(f"`{path.parent}` is of architecture `{kind}`: {_REFUSED[kind]}")
    if kind is None:
        return architectures.completed(found, old_names=version is None), ()
    if found.get("vera_d") is not None:
        raise ExchangeError(
            f"`{path.parent}` is VeRA as `{LIBRARY}` has it: whole matrices where "
            "the method has vectors"
        )
    return _right_scaling(found, version)


def _members(outer: Mapping[str, Any], path: Path) -> list[str]:
    """Return the names of a fusion's members, in order."""
    names = outer.get("adapter_names") or str(outer["name"]).split(",")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ExchangeError(f"`{path}`: `adapter_names` must be a list of names, found `{names}`")
    return names


def _right_scaling(
    config: dict[str, Any], version: str | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Versions 1.0.x scaled every LoRA by 1, whatever alpha the config had (adapters, PR 770)."""
    before = re.match(r"adapters\.(\d+)\.(\d+)", version or "")
    old = before is not None and (int(before[1]), int(before[2])) < (1, 1)
    rank, alpha = config.get("r"), config.get("alpha")
    if not old or config.get("architecture") != "lora" or rank == alpha:
        return dict(config), ()
    note = f"alpha {alpha} became {rank}: `{version}` trained with a scaling of 1"
    return {**config, "alpha": rank}, (note,)


def _head_files(
    folder: Path, *, allow_pickle: bool
) -> tuple[dict[str, Any] | None, dict[str, Tensor]]:
    path = folder / files.HEAD_CONFIG
    names = (files.HEAD.safe, files.HEAD.pickled)
    if not path.is_file():
        stray = [name for name in names if (folder / name).is_file()]
        if stray:
            raise ExchangeError(f"`{folder}` has `{stray[0]}` and no `{files.HEAD_CONFIG}`")
        return None, {}
    return files.read_json(path), files.read_weights(folder, files.HEAD, allow_pickle=allow_pickle)


def _is_path(name: str | None) -> bool:
    """Whether a base's name is somebody's folder and no Hub id."""
    return name is None or name.startswith((".", "~")) or name.count("/") > 1 or "\\" in name


def _check_base(opened: Opened, base: BaseShape, where: str) -> None:
    """Refuse an adapter of another family or width before any tensor is looked at."""
    theirs, ours = opened.extra.get("model_type"), base.identity.architecture
    if theirs is not None and theirs != ours:
        raise ExchangeError(
            f"{where} is for a `{theirs}` model, `{base.identity.name}` is a `{ours}`",
            hint="`--base` names the base that it was trained on",
        )
    width = opened.extra.get("hidden_size")
    if width is not None and width != base.identity.hidden_size:
        raise ExchangeError(
            f"{where} is for a model of width {width}, `{base.identity.name}` has "
            f"{base.identity.hidden_size}"
        )

"""Every reader of data that somebody else may have written: called with bytes, as one table.

A reader ends in a value or in an `AhlError`; anything else that it raises is a fault.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapterhub_lite import Home, composition, home_settings, languages, lock, published, trust
from adapterhub_lite import manifest as manifests
from adapterhub_lite.catalog import entries, remote
from adapterhub_lite.exchange import adapterhub_card, bases, formats
from adapterhub_lite.exchange.adapterhub import AdapterHub
from adapterhub_lite.exchange.peft import Peft
from adapterhub_lite.hub import content, names, seen
from adapterhub_lite.methods.bottleneck import BottleneckConfig
from adapterhub_lite.methods.lora import LoRAConfig
from adapterhub_lite.methods.prefix import PrefixConfig
from adapterhub_lite.model.sparse import unpacked
from adapterhub_lite.plugins import load
from adapterhub_lite.registry import rows
from adapterhub_lite.registry.objects import read_manifest
from adapterhub_lite.tasks.tables import read_records
from adapterhub_lite.training import loop

Reader = Callable[[bytes, Path], Any]


def _file(name: str, read: Callable[[Path], Any]) -> Reader:
    """Return a reader of a folder that has the bytes in a file of that name."""

    def call(data: bytes, folder: Path) -> Any:
        shutil.rmtree(folder, ignore_errors=True)
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        return read(folder)

    return call


def _words(read: Callable[[str], Any]) -> Reader:
    return lambda data, _folder: read(data.decode("utf-8", "surrogateescape"))


def _catalogue(folder: Path) -> Any:
    return list(remote.additions(entries.read(folder / "c.jsonl"), load()))


def _scores(name: str) -> Reader:
    registries: dict[Path, Home] = {}

    def read(folder: Path) -> Any:
        place = folder.parent / "scored"
        if place not in registries:
            registries[place] = Home.init(place)
        table = published.Table(folder / name, {}, {"composition": "full-fine-tuning"})
        return published.read_scores(table, registries[place].registry)

    return _file(name, read)


def _trusted(folder: Path) -> Any:
    return trust.is_trusted(folder, folder)


def _config(kind: Any) -> Reader:
    def read(text: str) -> Any:
        config = kind.from_settings(text.split("\n"))
        assert max(getattr(config, name, 0) for name in ("rank", "length", "inner")) <= 65_536
        return config

    return _words(read)


def _sparse(folder: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "weights.safetensors"
    try:
        content.check_file(path, path.name)
        tensors = load_file(path)
    except SafetensorError:
        return None
    return unpacked(tensors, path), unpacked(tensors, path, {"x": (2, 3)})


READERS: dict[str, Reader] = {
    "adapter.json": _file("adapter.json", manifests.read),
    "adapter.json of an object": lambda data, _folder: read_manifest(data, "d" * 64, "object"),
    "record of a registry": _words(lambda text: rows.parse("d" * 64, text)),
    "lock": _file("a.lock", lambda folder: lock.read(folder / "a.lock").parsed()),
    "home.toml": _file("home.toml", home_settings.read),
    "hub.json": _file("hub.json", lambda folder: seen.find(folder, "h", "a/b", "main")),
    "trusted.json": _file("trusted.json", _trusted),
    "catalogue": _file("c.jsonl", _catalogue),
    "JSON lines": _file("d.jsonl", lambda f: read_records(f / "d.jsonl", ["text"], required=())),
    "CSV": _file("d.csv", lambda f: read_records(f / "d.csv", ["text", "label"], required=())),
    "scores as JSON lines": _scores("s.jsonl"),
    "scores as CSV": _scores("s.csv"),
    "format": _file("adapter_config.json", formats.recognise),
    "config of peft": _file("adapter_config.json", Peft().open),
    "config of adapters": _file("adapter_config.json", AdapterHub().open),
    "card": _file("README.md", adapterhub_card.read_card),
    "index of a base": _file("model.safetensors.index.json", lambda f: bases._weight_files(str(f))),
    "pulled JSON": _file("a.json", lambda folder: content.check_file(folder / "a.json", "a.json")),
    "pulled weights": _file("weights.safetensors", _sparse),
    "checkpoint": _file("checkpoint-1/trainer_state.json", loop.last_checkpoint),
    "composition": _words(composition.parse),
    "language": _words(languages.understand),
    "repository": _words(names.parse_ref),
    "path in a repository": _words(names.check_path),
    "config of lora": _config(LoRAConfig),
    "config of prefix": _config(PrefixConfig),
    "config of bottleneck": _config(BottleneckConfig),
}

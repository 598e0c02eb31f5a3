"""The files of a base model that decide its output, and their digests by file name.

The fingerprint samples a base's weights; these digests cover all of them, and the tokenizer and the
config as well.  Large files count byte by byte.  Of the small JSON files only the content counts,
without what a library notes down for itself (its version, the place it was loaded from), so that
saving a base again does not make it another.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite import checked_files, digests
from adapterhub_lite.checked_files import Stamp
from adapterhub_lite.digests import SHORT
from adapterhub_lite.errors import HomeError
from adapterhub_lite.foreign.reading import LINE, Reader

CONFIG = "config.json"
INDEX = ".index.json"

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of weights in the order in which transformers looks for them; each may be in shards."""

CONFIGS = (CONFIG, "generation_config.json")
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
WHOLE = "tokenizer.json"
"""A tokenizer in one file: where it is, vocabularies beside it may be missing."""

VOCABULARIES = (
    "vocab.*",
    "vocab-*",
    "*_vocab*",
    "merges.txt",
    "*.model",
    "*.model.v*",
    "*.spm",
    "*.tiktoken",
    "*.codes",
    "bpe.*",
    "*.tokenizer",
    "tekken.json",
    "dict.txt",
    "byte_maps.json",
    "emoji.json",
    "normalizer.json",
    "word_pronunciation.json",
    "word_shape.json",
)
"""File names of vocabularies, of all tokenizers of transformers."""

NOTES = frozenset(
    {
        "_name_or_path",
        "chat_template",
        "is_local",
        "local_files_only",
        "name_or_path",
        "transformers_version",
    }
)
"""Keys of the JSON files that decide nothing which is computed here."""


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """The files of one base as they were at one moment: their stamps by name."""

    folder: Path
    stamps: Mapping[str, Stamp]

    def digests(self) -> dict[str, str]:
        """Return the digests by file name.

        Raises:
            HomeError: a file changed since the stamps were taken, or cannot be read.
        """
        values: dict[str, str] = {}
        for name, stamp in self.stamps.items():
            path = self.folder / name
            try:
                values[name] = _digest(path)
                changed = checked_files.stamp(path) != stamp
            except OSError as error:
                raise HomeError(f"cannot read `{path}`: {error.strerror or error}") from None
            if changed:
                raise HomeError(
                    f"`{path}` changed after the base was loaded", hint="load the base again"
                )
        return values


def at(place: str | Path) -> BaseFiles | None:
    """Return the files of the base in a folder, or of a Hub id in the Hub client's cache.

    `None`: there are none on this machine.  Nothing is downloaded.

    Raises:
        HomeError: a file is not a regular file, or an index is not readable.
    """
    folder = _folder(place)
    if folder is None:
        return None
    try:
        return BaseFiles(
            folder, {name: checked_files.stamp(folder / name) for name in _names(folder)}
        )
    except OSError as error:
        raise HomeError(f"cannot read base `{folder}`: {error.strerror or error}") from None


def difference(recorded: Mapping[str, str], files: Mapping[str, str]) -> str | None:
    """Return the first difference between recorded digests and those of files here, in words.

    The config comes first, then the tokenizer, then the weights.  A vocabulary that only one side
    has does not count where both have the whole tokenizer in one file.
    """
    whole = WHOLE in recorded and WHOLE in files
    for name in sorted({*recorded, *files}, key=lambda name: (_rank(name), name)):
        before, now = recorded.get(name), files.get(name)
        if before == now or (whole and None in (before, now) and _is_vocabulary(name)):
            continue
        if now is None:
            return f"`{name}` of its {role(name)} is missing"
        if before is None:
            return f"`{name}` is new and changes its {role(name)}"
        return (
            f"its {role(name)} changed: `{name}` has SHA-256 {now[:SHORT]}, "
            f"recorded {before[:SHORT]}"
        )
    return None


def role(name: str) -> str:
    """Return which part of a base a file is: weights, config, code or tokenizer."""
    if name in CONFIGS:
        return "config"
    if name.endswith(".py"):
        return "code"
    if name.endswith((".safetensors", ".bin", INDEX)):
        return "weights"
    return "tokenizer"


def _rank(name: str) -> int:
    return ("config", "tokenizer", "code", "weights").index(role(name))


def _folder(place: str | Path) -> Path | None:
    if Path(place).is_dir():
        return Path(place)
    if isinstance(place, Path):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(place, CONFIG)
    except HFValidationError:
        return None
    return Path(config).parent if isinstance(config, str) else None


def _names(folder: Path) -> Iterator[str]:
    names = sorted(path.name for path in folder.iterdir() if not path.is_dir())
    yield from (name for name in (*CONFIGS, *SETTINGS) if name in names)
    yield from (name for name in names if _is_tokenizer(name))
    yield from _weights(folder, names)
    if _has_code(folder, names):
        yield from (name for name in names if name.endswith(".py"))


def _is_tokenizer(name: str) -> bool:
    if name in SETTINGS:
        return False
    return fnmatch.fnmatch(name, "tokenizer*.json") or _is_vocabulary(name)


def _is_vocabulary(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in VOCABULARIES)


def _weights(folder: Path, names: Iterable[str]) -> Iterator[str]:
    for name in WEIGHTS:
        if name in names:
            yield name
            return
        if f"{name}{INDEX}" in names:
            yield f"{name}{INDEX}"
            shards = _json(folder / f"{name}{INDEX}").get("weight_map")
            if isinstance(shards, dict):
                yield from sorted({str(shard) for shard in shards.values()})
            return


def _has_code(folder: Path, names: Iterable[str]) -> bool:
    """Whether a config names classes of code in the folder: only then can the code decide."""
    stated = [name for name in (CONFIG, "tokenizer_config.json") if name in names]
    return any("auto_map" in _json(folder / name) for name in stated)


def _digest(path: Path) -> str:
    if path.name in (*CONFIGS, *SETTINGS):
        values = _json(path)
        kept = {key: value for key, value in values.items() if key not in NOTES}
        # Not our canonical JSON: configs of other libraries hold `Infinity`, and lone surrogates.
        return digests.of_bytes(json.dumps(kept, sort_keys=True).encode())
    return checked_files.sha256(path)


def _json(path: Path) -> dict[str, Any]:
    checked_files.stamp(path)
    return Reader(HomeError, bounds=LINE, as_python=True).json_object_file(path)

"""The base that a foreign adapter is for: its identity, and its modules without any weights.

Where a library names modules by pattern (`all-linear`, a regular expression), only the model's own
list of modules says what is meant; a model on torch's `meta` device has that list and no bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from adapterhub_lite import base_files
from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.errors import HomeError
from adapterhub_lite.families import BY_PATH, LOGITS, WORDS
from adapterhub_lite.foreign.reading import LINE, Reader
from adapterhub_lite.methods.base import Site
from adapterhub_lite.methods.places import split
from adapterhub_lite.model import base as bases
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.base_config import read_config, refuse_code

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from adapterhub_lite.home import Home


@dataclass(frozen=True)
class BaseShape:
    """A base without weights.  `anatomy.model` has the language-modelling head, if the base has.

    `place` is where transformers finds it: a folder, or a Hub id.
    """

    identity: BaseIdentity
    anatomy: Anatomy
    place: str = ""

    @property
    def model(self) -> PreTrainedModel:
        """The model, on the `meta` device."""
        return self.anatomy.model

    @property
    def prefix(self) -> str:
        """The trunk's name in a model with head: `roberta`, `bert`, `model`, `transformer`."""
        return str(self.model.base_model_prefix)

    def path(self, part: str, layer: int | None) -> str:
        """Return the path of a part's module from the trunk on."""
        wanted = self.anatomy.module(part, layer)
        named = self.anatomy.trunk.named_modules()
        return next(str(name) for name, module in named if module is wanted)

    @property
    def has_head(self) -> bool:
        """Whether the base comes with its language-modelling head."""
        return self.model is not self.anatomy.trunk

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """The modules by path: from the trunk on, and those outside it by their full names."""
        found = {name: module for name, module in self.anatomy.trunk.named_modules() if name}
        outside = {
            name: module
            for name, module in self.model.named_modules()
            if name and self.has_head and not f"{name}.".startswith(f"{self.prefix}.")
        }
        return {**outside, **found}

    @cached_property
    def trunk_names(self) -> frozenset[str]:
        """The paths of the trunk's modules."""
        return frozenset(name for name, _ in self.anatomy.trunk.named_modules() if name)

    @cached_property
    def _rows(self) -> dict[str, tuple[Site, ...]]:
        """The sites of the anatomy's linear parts, by path; several where a module is fused."""
        found: dict[str, tuple[Site, ...]] = {}
        family = self.anatomy.family
        for layer in range(self.anatomy.layers):
            for part, path in family.parts.items():
                site = self.anatomy.site(part, layer)
                if site is not None:
                    name = f"{family.layers}.{layer}.{path}"
                    found[name] = (*found.get(name, ()), site)
        names = {id(module): name for name, module in self.modules.items()}
        for part in (WORDS, LOGITS):
            site = self.anatomy.site(part)
            if site is not None:
                found[names[id(self.anatomy.module(part))]] = (site,)
        return found

    @cached_property
    def _paths(self) -> dict[str, str]:
        return {site.key: path for path, sites in self._rows.items() for site in sites}

    def sites_at(self, path: str) -> tuple[Site, ...]:
        """Return the sites of the module at a path: more than one where parts are fused in it.

        A module that is no part of the anatomy table is a site by its path; empty: no such module.
        """
        if path in self._rows:
            return self._rows[path]
        if path not in self.modules:
            return ()
        start = f"{self.anatomy.family.layers}."
        number, _, rest = path.removeprefix(start).partition(".")
        inside = path.startswith(start) and number.isdecimal() and rest
        site = (
            self.anatomy.site(BY_PATH + rest, int(number))
            if inside
            else self.anatomy.site(BY_PATH + path)
        )
        return (site,) if site is not None else ()

    def module_of(self, key: str) -> str:
        """Return the path of the module that a site is (a slice) of."""
        if key in self._paths:
            return self._paths[key]
        part, layer = split(key)
        path = part.removeprefix(BY_PATH)
        return path if layer is None else f"{self.anatomy.family.layers}.{layer}.{path}"

    def tied(self) -> bool:
        """Whether the output embedding is the embedding of token ids."""
        words = self.model.get_input_embeddings()
        output = self.anatomy.module(LOGITS)
        return output is not None and bool(self.model.config.tie_word_embeddings) and bool(words)

    def tensor(self, path: str) -> Tensor | None:
        """Return a tensor of the base's own weights by its path from the trunk on, if stored.

        Raises:
            HomeError: the weights are not at hand.
        """
        from safetensors import safe_open

        for file in _weight_files(self.place):
            with safe_open(file, "pt") as weights:
                for name in (f"{self.prefix}.{path}", path):
                    if name in weights.keys():  # noqa: SIM118  # not a mapping
                        found: Tensor = weights.get_tensor(name)
                        return found
        return None


def _weight_files(place: str) -> list[Path]:
    names = ["model.safetensors"]
    index = _file(place, "model.safetensors.index.json")
    if index is not None:
        names = _shards(index)
    files = [_file(place, name) for name in names]
    found = [file for file in files if file is not None]
    if len(found) < len(names):
        raise HomeError(
            f"the weights of base `{place}` are not at hand, and something in the adapter must be "
            "compared with them",
            hint="download it once with transformers, or name a folder: `--base FOLDER`",
        )
    return found


_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


def _shards(index: Path) -> list[str]:
    """Return the names of the files that a base's weights are split into."""
    names = Reader(HomeError, bounds=LINE).json_object_file(index).get("weight_map")
    files = set(map(str, names.values())) if isinstance(names, dict) else {""}
    if not all(_FILE_NAME.fullmatch(name) for name in files):
        raise HomeError(f"`{index}` names no files: it lacks a `weight_map` from tensors to files")
    return sorted(files)


def _file(place: str, name: str) -> Path | None:
    """Return a file of a base: in its folder, or in the Hub client's cache."""
    if Path(place).is_dir():
        return Path(place, name) if Path(place, name).exists() else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(place, name)
    return Path(found) if isinstance(found, str) else None


UNUSABLE = (
    OSError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, ArithmeticError,
)  # fmt: skip
"""What transformers and torch raise for a config with values that cannot be."""


def _stated(name: str, config: Any) -> BaseIdentity:
    """Return the identity that a base's config states."""
    return BaseIdentity(
        name=Path(name).name if Path(name).is_dir() else str(name),
        architecture=config.model_type,
        hidden_size=config.hidden_size,
        layers=config.num_hidden_layers,
        vocab_size=config.vocab_size,
    )


def describe(name: str, home: Home, *, revision: str | None = None) -> BaseShape:
    """Return the base called `name`: from the home's registry, a folder, or the Hub's cache.

    `revision` is recorded where the base's own is not known.

    Raises:
        HomeError: no such base is at hand, or it needs code of its own.
        BaseMismatchError: its files are not those that the registry knows.
        AttachError: of a family that no anatomy row describes.
    """
    base = bases.locate(name, home)
    known, place = base.identity, base.place
    if (files := base_files.at(place)) is not None:
        bases.check_files(base, files)
    code = bases.may_run_code(base) and files is not None
    try:
        config = read_config(place, code=code)
        loader: Any = bases.loader(config)
        with torch.device("meta"):
            model = loader.from_config(config, trust_remote_code=code)
        stated = _stated(name, config)
    except UNUSABLE as error:
        if not code:
            refuse_code(place)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise HomeError(
            f"the adapter is for base `{name}`, whose config cannot be used: {reason}",
            hint="`--base` takes a folder or a registered base; `ahl list --bases` shows them",
        ) from None
    identity = known or stated
    if identity.revision is None and revision is not None:
        identity = replace(identity, revision=revision)
    return BaseShape(identity, Anatomy(model, home.plugins().families), str(place))

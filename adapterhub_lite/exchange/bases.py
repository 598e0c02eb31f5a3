"""The base that a foreign adapter is for: its identity, and its modules without any weights.

Where a library names modules by pattern (`all-linear`, a regular expression), only the model's own
list of modules says what is meant; a model on torch's `meta` device has that list and no bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.errors import HomeError
from adapterhub_lite.model import base as bases
from adapterhub_lite.model.anatomy import Anatomy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from adapterhub_lite.home import Home


@dataclass(frozen=True, slots=True)
class BaseShape:
    """A base without weights.  `anatomy.model` has the language-modelling head, if the base has."""

    identity: BaseIdentity
    anatomy: Anatomy

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

    def linear_parts(self) -> dict[str, tuple[str, int]]:
        """Return part and layer by path from the trunk on, for every linear part."""
        family = self.anatomy.family
        return {
            f"{family.layers}.{layer}.{path}": (part, layer)
            for layer in range(self.anatomy.layers)
            for part, path in family.parts.items()
            if self.anatomy.within(layer, path) is not None
        }


def describe(name: str, home: Home) -> BaseShape:
    """Return the base called `name`: from the home's registry, a folder, or the Hub's cache.

    Raises:
        HomeError: no such base is at hand.
        AttachError: of a family that no anatomy row describes.
    """
    import transformers

    known, place = bases.locate(name, home)
    try:
        config = transformers.AutoConfig.from_pretrained(place)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise HomeError(
            f"the adapter is for base `{name}`, whose config is not at hand: {reason}",
            hint="`--base` takes a folder or a registered base; `ahl list --bases` shows them",
        ) from None
    with torch.device("meta"):
        loader: Any = bases.loader(config)
        model = loader.from_config(config)
    identity = known or BaseIdentity(
        name=str(name),
        architecture=config.model_type,
        hidden_size=config.hidden_size,
        layers=config.num_hidden_layers,
        vocab_size=config.vocab_size,
    )
    return BaseShape(identity, Anatomy(model, home.plugins().families))

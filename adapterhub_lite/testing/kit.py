"""What all checks of the kit share: the method under test, tiny bases, a batch, random adapters."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from adapterhub_lite import digests
from adapterhub_lite.methods.base import Method
from adapterhub_lite.model.attach import Attachment, attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.plugins import load
from adapterhub_lite.testing.adapters import random_adapter
from adapterhub_lite.testing.models import (
    ANATOMIES,
    EVERY_FAMILY,
    MODEL_TYPES,
    save_tiny_base,
)

Bases = Callable[..., Base]
"""Gives the tiny base of a model type, and of a dtype: `bases("bert", dtype="bfloat16")`."""

Batch = dict[str, Tensor]


def tiny_bases(folder: Path) -> Bases:
    """Return a function that gives tiny bases; each is made once, below `folder`."""
    made: dict[tuple[str, str], Base] = {}

    def base(family: str, dtype: str = "float32") -> Base:
        if (family, dtype) not in made:
            if not (folder / family).exists():
                save_tiny_base(folder / family, family)
            made[family, dtype] = load_base(folder / family, dtype=dtype)
        return made[family, dtype]

    return base


def small_batch() -> Batch:
    """Return three rows of six tokens, of which the second has two of padding."""
    ids = torch.randint(5, 90, (3, 6), generator=torch.Generator().manual_seed(5))
    mask = torch.ones_like(ids)
    ids[1, 4:], mask[1, 4:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


class Kit:
    """Base of the checks; `MethodSuite` describes what a subclass sets."""

    method: ClassVar[Method]
    config: ClassVar[Mapping[str, Any]] = {}
    families: ClassVar[tuple[str, ...]] = MODEL_TYPES if os.environ.get(EVERY_FAMILY) else ANATOMIES
    starts_as_identity: ClassVar[bool] = True
    stacks: ClassVar[bool] = True
    members: ClassVar[tuple[str, ...]] = ("first", "second")

    @pytest.fixture(scope="class")
    @classmethod
    def bases(cls, tmp_path_factory: pytest.TempPathFactory) -> Bases:
        """Return the tiny bases of this class."""
        return tiny_bases(tmp_path_factory.mktemp("bases"))

    @pytest.fixture
    def batch(self) -> Batch:
        """Return what the models run on."""
        return small_batch()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each check that takes a `family` on all of them."""
        if "family" in metafunc.fixturenames:
            metafunc.parametrize("family", self.families)

    def adapter(self, base: Base, ref: str = "a", **settings: Any) -> LoadedAdapter:
        """Return an adapter of this method with random weights (fresh when `scale=0`)."""
        config = self._config().to_mapping()
        return random_adapter(base, self.method, config, ref=ref, **settings)

    def member(self, base: Base, ref: str, seed: int) -> LoadedAdapter:
        """Return one of `members`, for a method that fuses: by default a bottleneck adapter.

        Override it for a method that fuses others.
        """
        return random_adapter(base, load().method("bottleneck"), {}, ref=ref, seed=seed)

    def composition(self, ref: str = "a") -> str:
        """Return how an adapter is attached: by itself, or over `members` if its method fuses."""
        return f"stack(fuse({', '.join(self.members)}), {ref})" if self.method.fuses else ref

    def adapters(
        self, base: Base, *own: LoadedAdapter, twins: bool = False
    ) -> dict[str, LoadedAdapter]:
        """Return all that `composition` names, by ref; of `twins`, the members are all equal."""
        made = {adapter.ref: adapter for adapter in own}
        for number, ref in enumerate(self.members if self.method.fuses else ()):
            member = self.member(base, ref, 50 if twins else 50 + number)
            made[ref] = replace(member, digest=digests.of_json(ref))
        return made

    def attach(self, base: Base, adapter: LoadedAdapter, **options: Any) -> Attachment:
        """Attach one adapter the way `composition` says."""
        return attach(
            base,
            self.composition(adapter.ref),
            adapters=self.adapters(base, adapter),
            **options,
        )

    def _config(self) -> Any:
        config = self.method.Config.from_mapping(self.config)
        if not self.method.fuses:
            return config
        return self.method.for_members(config, [digests.of_json(ref) for ref in self.members])

"""Checks of means: what a method says of its average is what the average is.

The members are two different adapters with unequal coefficients: a mean of equal ones is right
whatever the formula, and so is the mean of the factors of a product.
"""

from __future__ import annotations

import torch
from torch import Tensor

from adapterhub_lite.errors import MethodError
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.methods.base import MEANS, Site
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.plugins import load
from adapterhub_lite.testing.kit import Bases, Kit

COEFFICIENTS = (0.25, 0.75)
CLOSE = 1e-4


class Averaging(Kit):
    """Checks of `averages` and `average`."""

    def test_the_mean_is_what_the_method_says(self, bases: Bases, family: str) -> None:
        assert self.method.averages in MEANS, (
            f"`averages` is one of {', '.join(map(repr, MEANS))}, found {self.method.averages!r}"
        )
        base = bases(family)
        members = [self.adapter(base, seed=1), self.adapter(base, seed=2)]
        try:
            config, mean = self.method.average(
                self._config(), [member.weights for member in members], COEFFICIENTS
            )
        except MethodError:
            assert not self.method.averages, "`averages` says that there is a mean"
            return
        assert self.method.averages, (
            "`averages` says that there is no mean, and `average` gives one"
        )
        if self.method.averages == "weights":
            self._compare_weights(members, mean)
        self._compare_changes(base, members, config, mean)

    def _compare_weights(self, members: list[LoadedAdapter], mean: dict[str, Tensor]) -> None:
        first, second = (member.weights for member in members)
        for key in first:
            expected = COEFFICIENTS[0] * first[key] + COEFFICIENTS[1] * second[key]
            difference = (mean[key] - expected).abs().max().item()
            assert difference < CLOSE, f"`{key}` is not the weighted mean of the members'"

    def _compare_changes(
        self, base: Base, members: list[LoadedAdapter], config: object, mean: dict[str, Tensor]
    ) -> None:
        """Compare the changes of weights, where the method states them: then a mean is exact."""
        anatomy = Anatomy(base.model, load().families)
        combined = LoadedAdapter("mean", members[0].kind, self.method, config, mean)
        for site in self.method.sites(anatomy, self._config(), ()):
            changes = [self._change(site, adapter) for adapter in (*members, combined)]
            if any(change is None for change in changes):
                continue
            first, second, found = (change for change in changes if change is not None)
            expected = COEFFICIENTS[0] * first + COEFFICIENTS[1] * second
            off = ((found - expected).norm() / expected.norm().clamp(min=1e-12)).item()
            assert off < CLOSE, (
                f"{site.key}: the change of the mean is {off:.0%} off the mean of the changes; "
                "override `average` with the exact form, or set `averages` to ''"
            )

    def _change(self, site: Site, adapter: LoadedAdapter) -> Tensor | None:
        if site.part not in LINEAR_PARTS:
            return None
        with torch.no_grad():
            return self.method.delta(site, adapter.config, adapter.at(site))

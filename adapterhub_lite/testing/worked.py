"""The worked example of the kit: a method against a formula that its author writes by hand.

The method runs at one site, on inputs drawn from a seed; the author's formula gets the same inputs
and weights.  Outputs and the gradients of every weight and input must agree, and, run without
gradients, the method must not write into what it was given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from adapterhub_lite.families import (
    BLOCK_PARTS,
    LINEAR_PARTS,
    LOOKUP_PARTS,
    NORM_PARTS,
    OUTER_NORM_PARTS,
)
from adapterhub_lite.methods.base import Flow, Memory, Site
from adapterhub_lite.testing.kit import Kit
from adapterhub_lite.testing.shape import ENTRIES, Shape, base_output, own_parameters

TOLERANCE = 1e-5


class WorkedExample(Kit):
    """The worked example: override the formulas of the parts that your method touches."""

    def expected(self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]) -> Tensor:
        """Return the new output of a linear part, `x @ weight.T + bias` without the adapter."""
        raise AssertionError("write `expected(x, weight, bias, own)`: the formula by hand")

    def expected_lookup(self, ids: Tensor, weight: Tensor, own: dict[str, Tensor]) -> Tensor:
        """Return the new output of a lookup, `weight.T[ids]` without the adapter."""
        raise AssertionError("write `expected_lookup(ids, weight, own)`: the formula by hand")

    def expected_norm(
        self, x: Tensor, weight: Tensor, bias: Tensor, own: dict[str, Tensor]
    ) -> Tensor:
        """Return a layer norm's new output; `x` has mean 0 and variance 1 already."""
        raise AssertionError("write `expected_norm(x, weight, bias, own)`: the formula by hand")

    def expected_block(
        self, x: Tensor, y: Tensor, normed: Tensor, own: dict[str, Tensor]
    ) -> Tensor:
        """Return a block's new sub-layer output from residual stream, output and normed sum."""
        raise AssertionError("write `expected_block(x, y, normed, own)`: the formula by hand")

    def expected_embeddings(self, y: Tensor, own: dict[str, Tensor]) -> Tensor:
        """Return the new output of the embeddings."""
        raise AssertionError("write `expected_embeddings(y, own)`: the formula by hand")

    def expected_output(self, y: Tensor, own: dict[str, Tensor]) -> Tensor:
        """Return the new input of the output embedding."""
        raise AssertionError("write `expected_output(y, own)`: the formula by hand")

    def expected_memory(self, own: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return keys and values (length, kv width) that stand before the text."""
        raise AssertionError("write `expected_memory(own)`: the formula by hand")

    def expected_fusion(
        self, state: Tensor, outputs: tuple[Tensor, ...], own: dict[str, Tensor]
    ) -> Tensor:
        """Return one state from those that the members left; each of them read `state`."""
        raise AssertionError("write `expected_fusion(state, outputs, own)`: the formula by hand")

    def test_the_worked_example(self) -> None:
        config = self._config()
        for site, own in self._drawn_sites():
            self._compare(site, config, own)

    def test_inputs_are_not_written_to(self) -> None:
        config = self._config()
        for site, own in self._drawn_sites():
            with torch.no_grad():
                self._watch(site, config, self._inputs(site), own)
                plain = {name: tensor.detach() for name, tensor in self._inputs(site).items()}
                self._watch(site, config, plain, {k: t.detach() for k, t in own.items()})

    def _drawn_sites(self) -> list[tuple[Site, dict[str, Tensor]]]:
        shape, config = Shape(), self._config()
        sites = self.method.sites(shape, config, ())
        assert sites, "the method touches no part"
        shared = _drawn(self.method.init_shared(shape, config), seed=3)
        return [
            (site, _drawn(self.method.init(site, config), seed=number) | shared)
            for number, site in enumerate(sites)
        ]

    def _inputs(self, site: Site) -> dict[str, Tensor]:
        if self.method.fuses:
            return _tensors("state", *self.members, width=site.width)
        return _inputs(site)

    def _watch(
        self, site: Site, config: Any, inputs: dict[str, Tensor], own: dict[str, Tensor]
    ) -> None:
        given = {**inputs, **own}
        if site.weight is not None and not self.method.fuses:
            given["y"] = inputs["y"] = base_output(site, inputs["x"])
        kept = {name: tensor.clone() for name, tensor in given.items()}
        self._run(site, config, inputs, own)
        written = [name for name, tensor in given.items() if not torch.equal(tensor, kept[name])]
        assert not written, f"{site.key}: wrote into {written}"

    def _compare(self, site: Site, config: Any, own: dict[str, Tensor]) -> None:
        inputs = self._inputs(site)
        found = self._run(site, config, inputs, own)
        expected = self._formula(site, inputs, own)
        leaves = {name: t for name, t in {**inputs, **own}.items() if t.requires_grad}
        for what, one, other in zip(("output", "second output"), found, expected, strict=False):
            assert one.shape == other.shape, f"{site.key}: {what} has shape {tuple(one.shape)}"
            difference = (one - other).abs().max().item()
            assert difference < TOLERANCE, f"{site.key}: {what} is off by {difference:.2e}"
        ours = _gradients(found, leaves)
        theirs = _gradients(expected, leaves)
        for name in leaves:
            difference = (ours[name] - theirs[name]).abs().max().item()
            limit = TOLERANCE * max(1.0, theirs[name].abs().max().item())
            assert difference < limit, f"{site.key}: gradient of `{name}` off by {difference:.2e}"

    def _run(
        self, site: Site, config: Any, inputs: dict[str, Tensor], own: dict[str, Tensor]
    ) -> tuple[Tensor, ...]:
        if self.method.fuses:
            state, *outputs = inputs.values()
            flow = Flow(x=state, y=state)
            return (self.method.fuse(site, config, own, state, outputs, flow=flow),)
        if site.part == "attention":
            memory = self.method.memory(site, config, own)
            assert isinstance(memory, Memory), "`memory` returned no memory"
            return memory.keys, memory.values
        y = inputs["y"] if "y" in inputs else base_output(site, inputs["x"])
        flow = Flow(x=inputs["x"], y=y, normed=inputs.get("normed"))
        state = self.method.begin(site, config, flow)
        state = self.method.step(site, config, own, flow, state)
        return (self.method.end(site, config, flow, state),)

    def _formula(
        self, site: Site, inputs: dict[str, Tensor], own: dict[str, Tensor]
    ) -> tuple[Tensor, ...]:
        if self.method.fuses:
            state, *outputs = inputs.values()
            return (self.expected_fusion(state, tuple(outputs), own),)
        if site.part == "attention":
            return self.expected_memory(own)
        if site.part in LINEAR_PARTS:
            return (self.expected(inputs["x"], inputs["weight"], inputs["bias"], own),)
        if site.part in LOOKUP_PARTS:
            return (self.expected_lookup(inputs["x"], inputs["weight"], own),)
        if site.part in (*NORM_PARTS, *OUTER_NORM_PARTS):
            plain = replace(site, weight=torch.ones(site.width), bias=None)
            x = base_output(plain, inputs["x"])
            return (self.expected_norm(x, inputs["weight"], inputs["bias"], own),)
        if site.part in BLOCK_PARTS:
            return (self.expected_block(inputs["x"], inputs["y"], inputs["normed"], own),)
        if site.part == "embeddings":
            return (self.expected_embeddings(inputs["y"], own),)
        if site.part == "output":
            return (self.expected_output(inputs["y"], own),)
        pytest.fail(f"the kit has no worked example for part `{site.part}`")


def _drawn(weights: dict[str, Tensor], *, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        key: (torch.randn(tensor.shape, generator=generator) * 0.3).requires_grad_()
        for key, tensor in weights.items()
    }


def _inputs(site: Site) -> dict[str, Tensor]:
    if site.part == "attention":
        return {}
    if site.part in LOOKUP_PARTS:
        return {"x": torch.arange(6).view(2, 3) * 2 % ENTRIES, **own_parameters(site)}
    if site.weight is not None:
        return {**_tensors("x", width=site.in_width), **own_parameters(site)}
    return _tensors(*("x", "y", "normed")[: 3 if site.part in BLOCK_PARTS else 2], width=site.width)


def _tensors(*names: str, width: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(11)
    return {name: torch.randn(2, 3, width, generator=generator).requires_grad_() for name in names}


def _gradients(outputs: tuple[Tensor, ...], leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(17)
    total = torch.zeros(())
    for output in outputs:
        total = total + (output * torch.randn(output.shape, generator=generator)).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }

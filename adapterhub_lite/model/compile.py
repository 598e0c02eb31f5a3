"""A composition of refs, turned into what each site has to do.

`compile_composition` flattens a composition into adapters in order, bottom first, averages what is
to be averaged, and groups adjacent adapters of one run at every site.  It refuses what cannot be
combined before anything touches the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from torch import Tensor

from adapterhub_lite import digests
from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.composition import Average, Composition, Ref, Stack
from adapterhub_lite.errors import AttachError, CompositionError
from adapterhub_lite.methods.base import Flow, Memory, Site
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.loaded import LoadedAdapter

Lookup = Callable[[str], LoadedAdapter]


@dataclass(frozen=True, slots=True)
class Step:
    """One adapter at one site."""

    adapter: LoadedAdapter
    weights: Mapping[str, Tensor]

    def memory(self, site: Site) -> Memory | None:
        """Return the vectors this adapter prepends to attention."""
        return self.adapter.method.memory(site, self.adapter.config, self.weights)


@dataclass(frozen=True, slots=True)
class Run:
    """Adjacent adapters of one run at one site, bottom first."""

    site: Site
    steps: tuple[Step, ...]

    def __call__(self, flow: Flow) -> Tensor:
        """Return what replaces `flow.y`."""
        first, last = self.steps[0].adapter, self.steps[-1].adapter
        state = first.method.begin(self.site, first.config, flow)
        for step in self.steps:
            adapter = step.adapter
            state = adapter.method.step(self.site, adapter.config, step.weights, flow, state)
        return last.method.end(self.site, last.config, flow, state)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A composition ready to run: runs by site, adapters bottom first, and the head on top."""

    adapters: tuple[LoadedAdapter, ...]
    runs: Mapping[str, tuple[Run, ...]]
    sites: Mapping[str, Site]
    head: tuple[HeadSpec, dict[str, Tensor]] | None = None
    memory_length: int = 0


NOTHING = Compiled(adapters=(), runs={}, sites={})
"""The composition of no adapter: the base as it is."""


def compile_composition(composition: Composition, lookup: Lookup, anatomy: Anatomy) -> Compiled:
    """Return the compiled form of a composition.

    Raises:
        CompositionError: an average over unequal configs, or a form that no method here provides.
        AttachError: a method that cannot stand on the one below it.
    """
    adapters = tuple(_flatten(composition, lookup))
    for below, above in combinations(adapters, 2):
        reason = above.method.follows(above.config, below.method, below.config)
        if reason:
            raise AttachError(f"`{above.ref}` cannot stand on `{below.ref}`: {reason}")
    sites: dict[str, Site] = {}
    steps: dict[str, list[Step]] = {}
    for adapter in adapters:
        for site in adapter.method.sites(anatomy, adapter.config, adapter.leave_out):
            sites[site.key] = site
            steps.setdefault(site.key, []).append(Step(adapter, adapter.at(site)))
    if "output" in steps:  # what was done last at the embeddings is undone first
        steps["output"].reverse()
    runs = {key: _group(sites[key], found) for key, found in steps.items()}
    heads = [a for a in adapters if a.head is not None]
    top = heads[-1] if heads else None
    return Compiled(
        adapters=adapters,
        runs=runs,
        sites=sites,
        head=(top.head, top.head_weights()) if top and top.head else None,
        memory_length=_memory_length(runs, sites),
    )


def _flatten(composition: Composition, lookup: Lookup) -> list[LoadedAdapter]:
    if isinstance(composition, Ref):
        return [lookup(composition.ref)]
    if isinstance(composition, Stack):
        return [adapter for part in composition.parts for adapter in _flatten(part, lookup)]
    if isinstance(composition, Average):
        return [_average(composition, lookup)]
    name = type(composition).__name__.lower()
    raise CompositionError(
        f"no method in this process provides `{name}`: `{composition}`",
        hint="`stack` and `average` always work; a plugin may add others",
    )


def _average(composition: Average, lookup: Lookup) -> LoadedAdapter:
    """Return the weighted mean as one adapter; members need equal method, config and layers."""
    members: list[LoadedAdapter] = []
    for part in composition.parts:
        flat = _flatten(part, lookup)
        if len(flat) != 1:
            raise CompositionError(f"an average is over single adapters, found `{part}`")
        members += flat
    first = members[0]
    for other in members[1:]:
        if (other.method.name, other.config, other.leave_out) != (
            first.method.name,
            first.config,
            first.leave_out,
        ):
            raise CompositionError(
                f"`{first.ref}` and `{other.ref}` cannot be averaged: their configs differ",
                hint="average adapters of equal config digest (`ahl show` prints it)",
            )
    shared = [k for k in first.weights if not k.startswith("head.")]
    config, weights = first.method.average(
        first.config, [{k: m.weights[k] for k in shared} for m in members], composition.weights
    )
    return replace(
        first,
        ref=str(composition),
        config=config,
        weights=weights,
        head=None,
        digest=digests.of_json(str(composition)),
    )


def _group(site: Site, steps: list[Step]) -> tuple[Run, ...]:
    runs: list[list[Step]] = []
    for step in steps:
        if runs and _run_name(runs[-1][-1]) == _run_name(step):
            runs[-1].append(step)
        else:
            runs.append([step])
    return tuple(Run(site, tuple(run)) for run in runs)


def _run_name(step: Step) -> str:
    method = step.adapter.method
    return method.run or method.name


def _memory_length(runs: Mapping[str, tuple[Run, ...]], sites: Mapping[str, Site]) -> int:
    """Return how many ungated vectors stand before the text (the longest over the layers)."""
    longest = 0
    for key, found in runs.items():
        if sites[key].part == "attention":
            memories = [step.memory(sites[key]) for run in found for step in run.steps]
            length = sum(m.keys.shape[0] for m in memories if m is not None and m.gate is None)
            longest = max(longest, length)
    return longest

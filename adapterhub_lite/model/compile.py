"""A composition of refs, turned into what each site has to do.

`compile_composition` takes the levels of a composition in order, bottom first (`levels.py`), and
groups adjacent adapters of one run at every site.  It refuses what cannot be combined before
anything touches the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product

from torch import Tensor

from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.composition import Composition
from adapterhub_lite.errors import AttachError
from adapterhub_lite.methods.base import Flow, Memory, Site
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.levels import Lookup, list_levels
from adapterhub_lite.model.loaded import LoadedAdapter


@dataclass(frozen=True, slots=True)
class Step:
    """One adapter at one site."""

    adapter: LoadedAdapter
    weights: dict[str, Tensor]
    members: tuple[Step, ...] = ()
    """What a fusing adapter stands on."""

    @property
    def bearer(self) -> LoadedAdapter:
        """The adapter whose method opens and closes the run: of a fusion, its first member."""
        return self.members[0].adapter if self.members else self.adapter

    def __call__(self, site: Site, flow: Flow, state: Tensor) -> Tensor:
        """Return the state that the next adapter reads."""
        method, config = self.adapter.method, self.adapter.config
        if not self.members:
            return method.step(site, config, self.weights, flow, state)
        outputs = [member(site, flow, state) for member in self.members]
        return method.fuse(site, config, self.weights, state, outputs, flow=flow)

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
        first, last = self.steps[0].bearer, self.steps[-1].bearer
        state = first.method.begin(self.site, first.config, flow)
        for step in self.steps:
            state = step(self.site, flow, state)
        return last.method.end(self.site, last.config, flow, state)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A composition ready to run: runs by site, adapters bottom first, and the head on top."""

    adapters: tuple[LoadedAdapter, ...]
    runs: Mapping[str, tuple[Run, ...]]
    sites: Mapping[str, Site]
    head: tuple[HeadSpec, dict[str, Tensor]] | None = None
    memory_length: int = 0
    shift: int = 0
    """How many of those vectors count as positions in families with absolute ones."""
    composition: Composition | None = None


NOTHING = Compiled(adapters=(), runs={}, sites={})
"""The composition of no adapter: the base as it is."""


def compile_composition(composition: Composition, lookup: Lookup, anatomy: Anatomy) -> Compiled:
    """Return the compiled form of a composition.

    Raises:
        CompositionError: an average over unequal configs, or a form that no method here provides.
        AttachError: a method that cannot stand on the one below it.
    """
    levels = list_levels(composition, lookup)
    for lower, upper in combinations(levels, 2):
        for below, above in product(lower.all, upper.all):
            reason = above.method.follows(above.config, below.method, below.config)
            if reason:
                raise AttachError(f"`{above.ref}` cannot stand on `{below.ref}`: {reason}")
    adapters = tuple(adapter for level in levels for adapter in level.all)
    sites: dict[str, Site] = {}
    steps: dict[str, list[Step]] = {}
    for level in levels:
        own = level.adapter.by_site()
        each = [(member, member.by_site()) for member in level.members]
        for site in level.sites(anatomy):
            sites[site.key] = site
            members = tuple(Step(member, weights(site)) for member, weights in each)
            step = Step(level.adapter, own(site), members)
            steps.setdefault(site.key, []).append(step)
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
        memory_length=_memory_length(runs, sites, shifting=False),
        shift=_memory_length(runs, sites, shifting=True),
        composition=composition,
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
    method = step.bearer.method
    return method.run or method.name


def _memory_length(
    runs: Mapping[str, tuple[Run, ...]], sites: Mapping[str, Site], *, shifting: bool
) -> int:
    """Return how many ungated vectors stand before the text (the longest over the layers)."""
    longest = 0
    for key, found in runs.items():
        if sites[key].part == "attention":
            memories = [step.memory(sites[key]) for run in found for step in run.steps]
            plain = [m for m in memories if m is not None and m.gate is None]
            length = sum(m.keys.shape[0] for m in plain if m.shift or not shifting)
            longest = max(longest, length)
    return longest

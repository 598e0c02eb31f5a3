"""The levels of a composition: what stands on what, before any site is looked at.

A level is one adapter; or, for `fuse(a, b)` and the adapter on it whose method fuses, that adapter
with its members.  What is to be averaged is averaged here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from adapterhub_lite import digests
from adapterhub_lite.composition import Average, Composition, Fuse, Parallel, Ref, Stack
from adapterhub_lite.errors import AttachError, CompositionError
from adapterhub_lite.methods.base import Site
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.loaded import LoadedAdapter

Lookup = Callable[[str], LoadedAdapter]


@dataclass(frozen=True, slots=True)
class Level:
    """An adapter, with the members side by side that it fuses, if it does."""

    adapter: LoadedAdapter
    members: tuple[LoadedAdapter, ...] = ()

    @property
    def all(self) -> tuple[LoadedAdapter, ...]:
        """The adapters of this level, bottom first."""
        return (*self.members, self.adapter)

    def sites(self, anatomy: Anatomy) -> list[Site]:
        """Return the sites; a fusion's are exactly those of each of its members.

        Raises:
            AttachError: a member works at a site where nothing fuses it, or the reverse.
        """
        own = _sites(self.adapter, anatomy)
        for member in self.members:
            other = {s.key for s in _sites(member, anatomy)} ^ {s.key for s in own}
            if other:
                raise AttachError(
                    f"`{self.adapter.ref}` and its member `{member.ref}` touch different parts: "
                    f"`{min(other)}` is not in both"
                )
        return own


def list_levels(composition: Composition, lookup: Lookup) -> list[Level]:
    """Return the levels of a composition, bottom first.

    Raises:
        CompositionError: an average over unequal configs, a form that no method here provides, or
            other members than an adapter was trained to fuse.
    """
    if isinstance(composition, Fuse):
        raise _not_provided(composition)
    if not isinstance(composition, Stack):
        return [_alone(_single(composition, lookup, "a level"))]
    levels: list[Level] = []
    waiting: Fuse | None = None
    for part in composition.parts:
        if waiting is not None:
            levels.append(_fused(waiting, part, lookup))
            waiting = None
        elif isinstance(part, Fuse):
            waiting = part
        else:
            levels += list_levels(part, lookup)
    if waiting is not None:
        raise _not_provided(waiting)
    for at, level in enumerate(levels):
        _drop_layers(levels, at, level.adapter)
    return levels


def _drop_layers(levels: list[Level], at: int, above: LoadedAdapter) -> None:
    """Leave layers out of what stands below an adapter, as they were when it was trained."""
    over = above.trained_over
    for place, under in enumerate(over, at - len(over)):
        if under.dropped and place >= 0:
            below = levels[place].adapter
            layers = tuple(sorted({*below.leave_out, *under.dropped}))
            levels[place] = replace(levels[place], adapter=replace(below, leave_out=layers))


def _alone(adapter: LoadedAdapter) -> Level:
    if adapter.method.fuses:
        raise _other_members(adapter, ())
    return Level(adapter)


def _fused(fuse: Fuse, above: Composition, lookup: Lookup) -> Level:
    adapter = _single(above, lookup, "a fusion")
    if not adapter.method.fuses:
        raise _not_provided(fuse)
    members = tuple(_single(part, lookup, "a fusion") for part in fuse.parts)
    if adapter.method.members(adapter.config) != tuple(member.digest for member in members):
        raise _other_members(adapter, members)
    if len({m.method.run or m.method.name for m in members}) > 1:
        raise AttachError(f"`{fuse}` has members of different runs, which share no state to fuse")
    return Level(adapter, members)


def _other_members(adapter: LoadedAdapter, members: tuple[LoadedAdapter, ...]) -> CompositionError:
    wanted = adapter.method.members(adapter.config)
    names = ", ".join(digest[: digests.SHORT] for digest in wanted)
    found = ", ".join(f"`{member.ref}`" for member in members) or "nothing"
    return CompositionError(
        f"`{adapter.ref}` was trained to fuse ({names}), in this order, and stands on {found}",
        hint=f"attach `stack(fuse({names}), {adapter.ref})`",
    )


def _single(part: Composition, lookup: Lookup, what: str) -> LoadedAdapter:
    if isinstance(part, Ref):
        return lookup(part.ref)
    if isinstance(part, Average):
        return _average(part, lookup)
    if isinstance(part, Stack):
        raise CompositionError(f"{what} is over single adapters, found `{part}`")
    raise _not_provided(part)


def _not_provided(part: Composition) -> CompositionError:
    if isinstance(part, Parallel):
        return CompositionError(
            f"`{part}` would give one output a member, where one composition gives one a row",
            hint="attach each member under a name of its own, put every input into the batch once "
            "a member, and name them with `rows([...])`: the base still runs once",
        )
    name = type(part).__name__.lower()
    return CompositionError(
        f"no method in this process provides `{name}`: `{part}`",
        hint="`stack` and `average` always work; `fuse(...)` needs an adapter on it whose method "
        f"fuses: `stack({part}, THAT)`",
    )


def _average(composition: Average, lookup: Lookup) -> LoadedAdapter:
    """Return the weighted mean as one adapter; members need equal method, config and layers."""
    members: list[LoadedAdapter] = []
    for part in composition.parts:
        members.append(_single(part, lookup, "an average"))
    first = members[0]
    for member in members:
        if any(isinstance(tensor, nn.Parameter) for tensor in member.weights.values()):
            raise CompositionError(
                f"member `{member.ref}` of an average cannot be trained: the mean is made once",
                hint="train it by itself, and average afterwards",
            )
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


def _sites(adapter: LoadedAdapter, anatomy: Anatomy) -> list[Site]:
    return adapter.method.sites(anatomy, adapter.config, adapter.leave_out)

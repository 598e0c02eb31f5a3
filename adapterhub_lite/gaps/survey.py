"""Ask the resolver for every cell of source x target x task, and gather what would lift cells.

Nothing is judged here a second time: a cell is what `resolve` answers, and a way to lift it is what
that answer names as missing.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import languages
from adapterhub_lite.adapter import Adapter, BaseIdentity, Kind, Manifest, Role
from adapterhub_lite.errors import NoResolutionError, RefError, UsageError
from adapterhub_lite.foreign.text import command
from adapterhub_lite.gaps.costs import Cost, costs
from adapterhub_lite.resolver import Request
from adapterhub_lite.resolver.answer import answer

if TYPE_CHECKING:
    from adapterhub_lite.home import Home
    from adapterhub_lite.registry import Registry
    from adapterhub_lite.resolver.resolution import Missing, Resolution


@dataclass(frozen=True, slots=True)
class Cell:
    """What one request resolves to; `strategy` and `composition` are empty where nothing fits.

    `covered` says whether the composition has an adapter that was trained on the target's language.
    """

    source: str
    target: str
    task: str
    strategy: str = ""
    composition: str = ""
    warnings: tuple[str, ...] = ()
    covered: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """Adapters to train or pull, and the cells (source, target, task) that this would lift."""

    strategy: str
    what: str
    commands: tuple[str, ...]
    cells: tuple[tuple[str, str, str], ...]

    @property
    def gain(self) -> float:
        """Cells lifted for each adapter that is to be made."""
        return len(self.cells) / len(self.commands)


@dataclass(frozen=True, slots=True)
class Gaps:
    """The survey: cells in the order asked for, ways by gain, and the two schemes' costs."""

    base: BaseIdentity
    cells: tuple[Cell, ...]
    ways: tuple[Way, ...]
    costs: tuple[Cost, ...]

    def cell(self, source: str, target: str, task: str) -> Cell:
        """Return the cell of a request."""
        key = (source, target, task)
        return next(c for c in self.cells if (c.source, c.target, c.task) == key)

    def to_json(self) -> dict[str, Any]:
        """Return the survey as JSON values."""
        return {
            "base": self.base.name,
            "cells": [{n: getattr(c, n) for n in Cell.__slots__} for c in self.cells],
            "ways": [
                {**{n: getattr(w, n) for n in Way.__slots__}, "gain": w.gain} for w in self.ways
            ],
            "costs": [cost.to_json() for cost in self.costs],
        }


def survey(
    home: Home | str | Path,
    *,
    tasks: Sequence[str] = (),
    sources: Sequence[str] = (),
    targets: Sequence[str] = (),
    base: str | None = None,
    policy: str = "bilingual",
    progress: Callable[[Iterable[Request], int], Iterable[Request]] | None = None,
) -> Gaps:
    """Resolve every cell, and gather what would lift the most.

    Args:
        tasks: left out, every task that has an adapter on the base.
        sources: left out, every language with labels for one of the tasks.
        targets: left out, every language with a language or bilingual adapter.
        base: left out, the only base of the registry with task adapters.
        policy: as for `resolve`.
        progress: wraps the requests and their number, to show how far it is.

    Raises:
        RefError: the base is unknown, or nothing on it is for these tasks.
        UsageError: no base is named and several have task adapters.
    """
    from adapterhub_lite.home import Home

    home = Home.find(home)
    registry, plugins = home.registry, home.plugins()
    identity = registry.base(base or _only_base(home)).identity
    wanted = tuple(tasks) or _tasks(home, identity)
    given = tuple(map(languages.normalise, sources)) or _sources(home, identity, wanted)
    users = tuple(map(languages.normalise, targets)) or _targets(home, identity)
    if not (wanted and given and users):
        raise RefError(
            f"nothing to survey on `{identity.name}`: tasks {list(wanted)}, sources "
            f"{list(given)}, targets {list(users)}",
            hint="name them: `ahl gaps --task TASK --source LANGUAGE --target LANGUAGE`",
        )
    requests = [
        Request(source, target, task, base=identity.fingerprint or identity.name, policy=policy)
        for task in wanted
        for source in given
        for target in users
    ]
    cells, missing = [], []
    for request in progress(requests, len(requests)) if progress else requests:
        try:
            found = answer(request, registry, plugins)
        except NoResolutionError as error:
            cells.append(Cell(request.source, request.target, request.task))
            missing.append((request, error.resolution.missing))
        else:
            cells.append(
                Cell(
                    request.source,
                    request.target,
                    request.task,
                    found.strategy,
                    str(found.composition),
                    found.warnings,
                    knows_language(found, request.target, registry),
                )
            )
            missing.append((request, found.missing))
    return Gaps(
        base=identity,
        cells=tuple(cells),
        ways=_ways(missing),
        costs=costs(home, identity, given, users, wanted),
    )


def knows_language(resolution: Resolution, language: str, registry: Registry) -> bool:
    """Whether a composition has an adapter that was trained on text or labels in a language.

    Another script or region of the language counts, a relative does not, nor does a merged adapter
    that was made for the language from others' adapters.
    """
    return any(
        _trained_on(registry.get(choice.digest).manifest, language, registry)
        for choice in resolution.choices
    )


def _trained_on(manifest: Manifest, language: str, registry: Registry) -> bool:
    if not any(_is_form_of(tag, language) for tag in manifest.tags()):
        return False
    if not manifest.parents:
        return True
    parents = (_find(registry, parent.digest) for parent in manifest.parents)
    return any(_trained_on(p.manifest, language, registry) for p in parents if p is not None)


def _find(registry: Registry, digest: str) -> Adapter | None:
    try:
        return registry.get(digest)
    except RefError:
        return None


def _is_form_of(tag: str, other: str) -> bool:
    """Whether two tags are of one language, maybe in other scripts or regions."""
    return tag.partition("-")[0] == other.partition("-")[0]


def _ways(missing: Iterable[tuple[Request, tuple[Missing, ...]]]) -> tuple[Way, ...]:
    """Return one way a set of commands, those that lift most cells for each adapter first."""
    found: dict[tuple[str, ...], Missing] = {}
    lifted: defaultdict[tuple[str, ...], list[tuple[str, str, str]]] = defaultdict(list)
    for request, ways in missing:
        for way in ways:
            if all(command.startswith("ahl resolve") for command in way.commands):
                continue
            found.setdefault(way.commands, way)
            lifted[way.commands].append((request.source, request.target, request.task))
    made = [
        Way(way.strategy, way.what, commands, tuple(dict.fromkeys(lifted[commands])))
        for commands, way in found.items()
    ]
    joined = _joined(made)
    return tuple(sorted(joined, key=lambda way: (-way.gain, len(way.commands), way.commands)))


def _joined(ways: Iterable[Way]) -> list[Way]:
    """Return the ways, with those over adapters in turn made one: it may cycle through more."""
    alike: defaultdict[tuple[str, ...], list[Way]] = defaultdict(list)
    for number, way in enumerate(ways):
        head, over = _in_turn(way)
        alike[(way.strategy, *head) if len(over) > 1 else (str(number),)].append(way)
    return [_join(group) if len(group) > 1 else group[0] for group in alike.values()]


def _in_turn(way: Way) -> tuple[list[str], list[str]]:
    """Return the words of a way's only command without `--over`, and the refs after those."""
    words = (
        shlex.split(way.commands[0])
        if len(way.commands) == 1 and "$'" not in way.commands[0]
        else []
    )
    places = [at for at, word in enumerate(words) if word == "--over"]
    taken = {at + step for at in places for step in (0, 1)}
    return [w for at, w in enumerate(words) if at not in taken], [words[at + 1] for at in places]


def _join(group: Sequence[Way]) -> Way:
    head, _ = _in_turn(group[0])
    over = list(dict.fromkeys(ref for way in group for ref in _in_turn(way)[1]))
    words = [*head, *(word for ref in over for word in ("--over", ref))]
    what = f"one task adapter trained over {len(over)} language adapters in turn"
    cells = dict.fromkeys(cell for way in group for cell in way.cells)
    return Way(group[0].strategy, what, (shlex.join(words),), tuple(cells))


def _only_base(home: Home) -> str:
    found = home.registry.find(kind=Kind.TASK, remote=False) or home.registry.find(kind=Kind.TASK)
    names = sorted({adapter.manifest.base.name for adapter in found})
    if len(names) == 1:
        return names[0]
    if not names:
        raise RefError("no task adapter in this registry", hint="`ahl train task --help`")
    raise UsageError(
        f"{len(names)} bases have task adapters: {', '.join(f'`{n}`' for n in names[:8])}",
        hint=f"say which: {command('--base', names[0])}",
    )


def _tasks(home: Home, base: BaseIdentity) -> tuple[str, ...]:
    found = home.registry.find(kind=Kind.TASK, base=base)
    return tuple(sorted({a.manifest.task for a in found if a.manifest.task}))


def _sources(home: Home, base: BaseIdentity, tasks: Sequence[str]) -> tuple[str, ...]:
    found = [a for task in tasks for a in home.registry.find(kind=Kind.TASK, base=base, task=task)]
    tags = {tag for a in found for tag in a.manifest.tags(Role.SOURCE, Role.LANGUAGE)}
    return tuple(sorted(tags - {languages.MULTIPLE}))


def _targets(home: Home, base: BaseIdentity) -> tuple[str, ...]:
    found = [
        adapter
        for kind in (Kind.LANGUAGE, Kind.BILINGUAL)
        for adapter in home.registry.find(kind=kind, base=base)
    ]
    return tuple(sorted({tag for adapter in found for tag in adapter.manifest.tags()}))

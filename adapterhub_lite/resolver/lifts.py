"""What is missing: the adapters that would lift an answer to a better strategy.

Each function answers for one strategy, with commands that repeat the config that is needed; a
strategy offers it through `lift`.  Averages of related languages will have theirs here too.
"""

from __future__ import annotations

from adapterhub_lite.adapter import BaseIdentity, Kind
from adapterhub_lite.resolver.candidates import Candidate, Pool
from adapterhub_lite.resolver.commands import (
    known_config,
    like,
    resolve_command,
    train_bilingual,
    train_language,
    train_task,
)
from adapterhub_lite.resolver.proposals import at_the_place
from adapterhub_lite.resolver.request import Request
from adapterhub_lite.resolver.resolution import Missing


def matched_pair(pool: Pool, strategy: str) -> Missing | None:
    """Return the way to a bilingual adapter with a task adapter trained over it."""
    request = pool.request
    if request.source == request.target:
        return None
    if pool.pairs:
        return _over(pool, strategy, pool.pairs[0].ref)
    name = f"{request.source}-{request.target}"
    return Missing(
        strategy,
        f"a bilingual adapter for {request.source} and {request.target}, and a task adapter "
        "trained over it",
        (train_bilingual(pool, name), train_task(pool.request, pool.base, name)),
    )


def several(pool: Pool, strategy: str) -> Missing | None:
    """Return the way to a task adapter that saw several languages, on the target's adapter."""
    if pool.request.source == pool.request.target:
        return None
    for task in pool.tasks:
        found = _language_like(pool, strategy, task) if task.adapter.manifest.seen else None
        if found is not None:
            return found
    for source in pool.sources:
        for target in pool.targets:
            if source is not target and _alike(pool, source, target):
                return Missing(
                    strategy,
                    f"a task adapter trained over `{source.ref}` and `{target.ref}` in turn",
                    (train_task(pool.request, pool.base, source.ref, target.ref),),
                )
    return None


def monolingual(pool: Pool, strategy: str) -> Missing | None:
    """Return the way to the target's language adapter in the place of the source's.

    Where the base has a module for the target (X-MOD), none is to be trained beside it.
    """
    request = pool.request
    if request.source == request.target or any(map(_is_built_in, pool.targets)):
        return None
    for task in pool.tasks:
        stood = at_the_place(task)
        if len(stood) == 1 and stood[0].kind is Kind.LANGUAGE:
            found = _language_like(pool, strategy, task)
            if found is not None:
                return found
    for source in pool.sources:
        for target in pool.targets:
            if _alike(pool, source, target):
                return _over(pool, strategy, source.ref)
    return _both_sides(pool, strategy)


def built_in(pool: Pool, strategy: str) -> Missing | None:
    """Return the way to a task adapter over the base's module for the source."""
    sources, targets = (filter(_is_built_in, found) for found in (pool.sources, pool.targets))
    source, target = next(sources, None), next(targets, None)
    if source is None or target is None or pool.request.source == pool.request.target:
        return None
    return _over(pool, strategy, source.ref)


def _is_built_in(candidate: Candidate) -> bool:
    return candidate.adapter.manifest.built_in


def _both_sides(pool: Pool, strategy: str) -> Missing:
    """Return the way where nothing fits yet: what lacks of two languages and a task adapter."""
    request, commands, over = pool.request, [], f"{pool.request.source}-language"
    source = next(iter(pool.sources), None)
    if source is None:
        other = next(iter(pool.targets), None)
        commands.append(train_language(pool, request.source, other, over))
    if source is not None or not pool.targets:
        commands.append(train_language(pool, request.target, source))
    commands.append(train_task(pool.request, pool.base, source.ref if source else over))
    return Missing(
        strategy,
        f"language adapters of one config for {request.source} and {request.target}, and a task "
        "adapter trained over the first",
        tuple(commands),
    )


def same_language(pool: Pool, strategy: str) -> Missing | None:
    """Return the way to a task adapter over a language adapter of its own language."""
    request = pool.request
    if request.source != request.target:
        return None
    if pool.sources:
        return _over(pool, strategy, pool.sources[0].ref)
    name = f"{request.source}-language"
    return Missing(
        strategy,
        f"a language adapter for {request.source}, and a task adapter trained over it",
        (
            train_language(pool, request.source, None, name),
            train_task(pool.request, pool.base, name),
        ),
    )


def task_alone(request: Request, base: BaseIdentity | None, strategy: str) -> Missing:
    """Return the way to a task adapter by itself."""
    what = f"a task adapter for {request.task} with labels in {request.source}"
    return Missing(strategy, what, (train_task(request, base),))


def relaxed(request: Request) -> list[tuple[str, dict[str, object]]]:
    """Return what in a request could be given up, in words and as changes to the request."""
    options: list[tuple[str, dict[str, object]]] = []
    if request.offline:
        options.append(("asking without `--offline`", {"offline": False}))
    if request.licences:
        options.append(("asking without `--licence`", {"licences": ()}))
    if request.method:
        options.append(("asking without `--method`", {"method": None}))
    if request.dataset:
        options.append(("asking without `--dataset`", {"dataset": None}))
    return options


def asking(request: Request, strategy: str, what: str, changes: dict[str, object]) -> Missing:
    """Return a request that would be answered, as what is missing."""
    return Missing(strategy, what, (resolve_command(request, **changes),))


def _over(pool: Pool, strategy: str, ref: str) -> Missing:
    return Missing(
        strategy,
        f"a task adapter trained over `{ref}`",
        (train_task(pool.request, pool.base, ref),),
    )


def _language_like(pool: Pool, strategy: str, task: Candidate) -> Missing | None:
    """Return the command for the target's language adapter, if its config is known and it lacks."""
    stood, target = at_the_place(task), pool.request.target
    there = [pool.judge.unlike(c.adapter, under) for c in pool.targets for under in stood]
    under = next((under for under in stood if known_config(pool, under)), None)
    if under is None or None in there:
        return None
    what = f"a language adapter for {target}, like {pool.describe(under)}, for `{task.ref}`"
    return Missing(strategy, what, (train_language(pool, target, like(pool, under)),))


def _alike(pool: Pool, one: Candidate, other: Candidate) -> bool:
    digest = pool.judge.config_digest
    layers = one.adapter.manifest.leave_out == other.adapter.manifest.leave_out
    return layers and digest(one.adapter) == digest(other.adapter)

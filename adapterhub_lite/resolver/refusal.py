"""Why nothing fits, in the manner of a package resolver: because this and that, and what to do.

The first line says what was sought; then `Because` each thing that is not there or that a rule
forbids, `nothing in this registry fits`; then hints, of which each would lead to an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from adapterhub_lite import languages
from adapterhub_lite.adapter import BaseIdentity, Kind
from adapterhub_lite.errors import NoResolutionError, close, near
from adapterhub_lite.foreign import text
from adapterhub_lite.resolver.candidates import Pool
from adapterhub_lite.resolver.explain import hints
from adapterhub_lite.resolver.request import Request
from adapterhub_lite.resolver.resolution import Missing, Refusal, Rejection

if TYPE_CHECKING:
    from adapterhub_lite.registry import Registry

SHOWN = 6
"""Reasons that a message shows; `--json` has all."""

LOOKED_AT = 100
"""Adapters of other bases or sources that are looked at for a hint; the rest would say the same."""


def refuse(
    pool: Pool, rejections: tuple[Rejection, ...], missing: tuple[Missing, ...]
) -> NoResolutionError:
    """Return the error for a request that no stack answers."""
    return _error(pool.request, pool.base, list(_reasons(pool, rejections)), rejections, missing)


def refuse_task(
    request: Request,
    registry: Registry,
    rejections: tuple[Rejection, ...],
    missing: tuple[Missing, ...],
) -> NoResolutionError:
    """Return the error for a request without base, where no base has an adapter for the task."""
    reasons = [_no_task(request, registry, None)] if not rejections else []
    reasons += [f"`{rejection.ref}` {rejection.reason}" for rejection in rejections]
    return _error(request, None, reasons, rejections, missing)


def _error(
    request: Request,
    base: BaseIdentity | None,
    reasons: list[str],
    rejections: tuple[Rejection, ...],
    missing: tuple[Missing, ...],
) -> NoResolutionError:
    on = f", base {base.name}" if base else ""
    head = text.one_line(f"no stack for {request.pair}, task {request.task}{on}")
    message = f"{head}\n  Because {_joined(reasons)},\n  nothing in this registry fits."
    refusal = Refusal(request, message, base, rejections, missing)
    hint = "\nhint: ".join(hints(missing)) or None
    return NoResolutionError(message, hint=hint, resolution=refusal)


def _joined(reasons: list[str]) -> str:
    shown = [text.one_line(reason) for reason in reasons[:SHOWN]]
    if len(reasons) > SHOWN:
        shown.append(f"for {len(reasons) - SHOWN} more reasons (`--json` lists them)")
    return ",\n  and ".join(shown)


def _reasons(pool: Pool, rejections: tuple[Rejection, ...]) -> Iterator[str]:
    """Yield the reasons: what is not there at all, then what rules forbid, each once."""
    slots = {rejection.slot for rejection in rejections if not rejection.strategy}
    if not pool.tasks and "task" not in slots:
        yield _no_task(pool.request, pool.registry, pool.base)
        return
    yield from pool.problems
    yield from dict.fromkeys(_broken(pool, rejections))
    if pool.tasks:
        yield from _empty_slots(pool, slots)


def _broken(pool: Pool, rejections: Iterable[Rejection]) -> Iterator[str]:
    methods = {task.ref: task.adapter.manifest.method for task in pool.tasks}
    for rejection in rejections:
        method = f" ({methods[rejection.ref]})" if rejection.ref in methods else ""
        yield f"`{rejection.ref}`{method} {rejection.reason}"


def _empty_slots(pool: Pool, rejected: set[str]) -> Iterator[str]:
    request = pool.request
    if not pool.targets and "language" not in rejected:
        yield f"there is no language adapter for {request.target}"
    if request.source != request.target and not pool.pairs and "bilingual" not in rejected:
        yield f"there is no bilingual adapter for {request.source} and {request.target}"


def _no_task(request: Request, registry: Registry, base: BaseIdentity | None) -> str:
    """Return why there is no task adapter: unknown task, other labels or other base."""
    if not registry.find(kind=Kind.TASK, task=request.task, limit=1):
        if not registry.find(limit=1):
            return "this registry has no adapters yet (`ahl catalog load` adds public ones)"
        return f"no adapter is for task {request.task} ({near(request.task, _tasks(registry))})"
    on = f" for {base.name}" if base else ""
    said = f"no adapter{on} for task {request.task} has labels in {request.source}"
    others = known_sources(request, registry, base)
    return f"{said} (there are such in {', '.join(others[:SHOWN])})" if others else said


def known_sources(request: Request, registry: Registry, base: BaseIdentity | None) -> list[str]:
    """Return the languages in which there are labels for the task, on the base."""
    found = registry.find(kind=Kind.TASK, task=request.task, base=base, limit=LOOKED_AT)
    tags = {tag for adapter in found for tag in adapter.manifest.tags()}
    return sorted(tags - {languages.MULTIPLE, request.source})


def near_tasks(request: Request, registry: Registry) -> list[str]:
    """Return the tasks that an unknown one may have been meant for."""
    if registry.find(kind=Kind.TASK, task=request.task, limit=1):
        return []
    return close(request.task, _tasks(registry))


def _tasks(registry: Registry) -> set[str]:
    found = registry.find(kind=Kind.TASK, limit=10 * LOOKED_AT)
    return {adapter.manifest.task for adapter in found if adapter.manifest.task}


def of_other_bases(pool: Pool) -> list[Rejection]:
    """Return adapters that would fill an empty slot if they were for this base."""
    request = pool.request
    looked_for = [
        ("task", pool.tasks, Kind.TASK, request.sources, request.task),
        ("language", pool.targets, Kind.LANGUAGE, request.targets, None),
    ]
    rejections = []
    for slot, candidates, kind, tags, task in looked_for:
        if candidates:
            continue
        found = pool.registry.find(kind=kind, language=tags, task=task, limit=LOOKED_AT)
        for adapter in found:
            if not adapter.manifest.base.same_as(pool.base):
                broken = pool.judge.adapter(adapter)
                rejections.append(Rejection(adapter.ref, slot, *(broken or ("", ""))))
    return rejections

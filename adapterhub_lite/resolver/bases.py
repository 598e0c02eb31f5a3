"""Which base model a request is about: the one that is named, or the only one that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapterhub_lite.adapter import BaseIdentity, Kind
from adapterhub_lite.errors import UsageError
from adapterhub_lite.resolver.candidates import task_candidates
from adapterhub_lite.resolver.commands import resolve_command
from adapterhub_lite.resolver.request import Request
from adapterhub_lite.resolver.rules import Judge

if TYPE_CHECKING:
    from adapterhub_lite.plugins import Plugins
    from adapterhub_lite.registry import Registry


def settle(request: Request, registry: Registry, plugins: Plugins) -> BaseIdentity | None:
    """Return the base: the named one, else the only one with a usable adapter for the task.

    Where several have one, that is the only one of which such an adapter is on disk.  `None` means
    that no base has one.

    Raises:
        RefError: no base has that name, or several with different weights have.
        UsageError: none was named and several bases fit.
    """
    if request.base is not None:
        return registry.base(request.base).identity
    bases = fitting(request, registry, plugins)
    here = fitting(request, registry, plugins, remote=False) if len(bases) > 1 else []
    if len(here) == 1:
        return here[0]
    if len(bases) > 1:
        names = likeliest_first(bases, request, registry)
        commands = [resolve_command(request, base=name) for name in names[:2]]
        raise UsageError(
            f"{len(bases)} base models have adapters for task {request.task} with labels in "
            f"{request.source}: {', '.join(f'`{name}`' for name in names)}",
            hint="say which: " + " or ".join(f"`{command}`" for command in commands),
            bases=names,
        )
    return bases[0] if bases else None


def fitting(
    request: Request, registry: Registry, plugins: Plugins, *, remote: bool = True
) -> list[BaseIdentity]:
    """Return the bases with a task adapter that holds the rules by itself, by name.

    Without `remote`, only adapters on disk count.
    """
    judge = Judge(request, None, plugins)
    bases: list[BaseIdentity] = []
    for candidate in task_candidates(request, registry, None):
        if candidate.adapter.remote and not remote:
            continue
        if judge.adapter(candidate.adapter) is None:
            _merge(bases, candidate.adapter.manifest.base)
    return sorted(bases, key=lambda base: (base.name, base.fingerprint))


def likeliest_first(bases: list[BaseIdentity], request: Request, registry: Registry) -> list[str]:
    """Return names, first of the bases with a language adapter for the target."""
    found = registry.find(kind=Kind.LANGUAGE, language=request.targets)
    known = [adapter.manifest.base for adapter in found]
    return sorted(
        (base.name for base in bases),
        key=lambda name: not any(base.name == name for base in known),
    )


def _merge(bases: list[BaseIdentity], base: BaseIdentity) -> None:
    """Add a base, or its fingerprint to the entry of the same base that has none."""
    for at, known in enumerate(bases):
        if known.same_as(base):
            if base.fingerprint and not known.fingerprint:
                bases[at] = base
            return
    bases.append(base)

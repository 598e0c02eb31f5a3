"""Merged adapters: an average, written down as an adapter of its own, with its parents recorded.

    ahl.merge("average(0.5*zu-wiki, 0.3*xh-wiki, 0.2*rw-wiki)", name="nguni", language="ss")

What is saved is what an attached average is built as: the method's own mean of all weights,
invertible parts too, and no head.  It needs no base model in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite import languages
from adapterhub_lite.adapter import Adapter, Kind, LanguageUse, Manifest, Parent, Role
from adapterhub_lite.composition import Average, Composition, Ref, parse
from adapterhub_lite.errors import CompositionError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.home import Home


def merge(
    average: Composition | str,
    *,
    name: str,
    home: Home | str | Path | None = None,
    language: str | None = None,
    licence: str | None = None,
) -> Adapter:
    """Save the average of adapters as an adapter of the home, and return it.

    Args:
        average: `average(0.5*a, 0.5*b)`; weights are used as they are given.
        name: of the new adapter.
        home: where the members are and the result goes; left out, the one that `ahl` finds.
        language: that it is to serve; left out, those of its members.
        licence: of the result; left out, the members' (all of theirs, if they differ).

    Raises:
        CompositionError: no average, or members of unequal kind, method, config or base.
        MethodError: the method has no average.
        WeightsError: a member is remote or damaged.
    """
    from adapterhub_lite.home import Home
    from adapterhub_lite.model.loaded import LoadedAdapter

    place = home if isinstance(home, Home) else Home.find(home)
    shares = _shares(average, place)
    first = shares[0][0]
    for other, _ in shares[1:]:
        _check_alike(first, other)
    method = place.plugins().method(first.manifest.method, first.manifest.provider)
    config, weights = method.average(
        method.Config.from_mapping(first.manifest.config),
        _weights([adapter for adapter, _ in shares], place),
        [weight for _, weight in shares],
    )
    manifest = _manifest(shares, language, licence, config.to_mapping())
    loaded = LoadedAdapter(
        name, manifest.kind, method, config, weights, first.manifest.leave_out, base=manifest.base
    )
    with tempfile.TemporaryDirectory() as folder:
        loaded.save(Path(folder), manifest)
        return place.add(folder, name=name)


def _shares(average: Composition | str, home: Home) -> list[tuple[Adapter, float]]:
    given = parse(average) if isinstance(average, str) else average
    if not isinstance(given, Average):
        raise CompositionError(
            f"`{given}` is no average", hint="write `average(0.5*a, 0.5*b)`, or name the members"
        )
    found = []
    for part, weight in zip(given.parts, given.weights, strict=True):
        if not isinstance(part, Ref):
            raise CompositionError(f"an average to save is over single adapters, found `{part}`")
        found.append((home.registry.get(part.ref), weight))
    if not any(weight for _, weight in found):
        raise CompositionError(f"all weights of `{given}` are 0")
    return found


def _check_alike(first: Adapter, other: Adapter) -> None:
    one, two = first.manifest, other.manifest
    facts = {
        "kinds": (one.kind.value, two.kind.value),
        "methods": (one.method, two.method),
        "configs": (one.config_digest[:12], two.config_digest[:12]),
        "layers left out": (list(one.leave_out), list(two.leave_out)),
        "bases": (one.base.name, two.base.name),
    }
    for what, (ours, theirs) in facts.items():
        if ours != theirs:
            raise CompositionError(
                f"`{first.ref}` and `{other.ref}` cannot be averaged: {what} {ours} and {theirs}",
                hint="average adapters of equal config digest (`ahl show` prints it)",
            )
    if not one.base.same_as(two.base):
        raise CompositionError(
            f"`{first.ref}` and `{other.ref}` are for other weights of `{one.base.name}`"
        )


def _weights(adapters: Sequence[Adapter], home: Home) -> list[dict[str, Tensor]]:
    from adapterhub_lite.model.loaded import HEAD, read_weights

    members = []
    for adapter in adapters:
        if adapter.manifest.kind is Kind.TASK:
            raise CompositionError(
                f"`{adapter.ref}` is a task adapter: its head has no average",
                hint="merge language adapters, and stack the task adapter on the result",
            )
        weights = read_weights(home.folder_of(adapter), adapter.manifest)
        members.append({key: t for key, t in weights.items() if not key.startswith(HEAD)})
    shapes = [{key: tensor.shape for key, tensor in found.items()} for found in members]
    for adapter, found in zip(adapters, shapes, strict=True):
        if found != shapes[0]:
            wrong = min(k for k in {*found, *shapes[0]} if found.get(k) != shapes[0].get(k))
            raise WeightsError(
                f"`{adapter.ref}` differs from `{adapters[0].ref}` in tensor `{wrong}`",
                hint="`ahl verify` lists damaged adapters",
            )
    return members


def _manifest(
    shares: Sequence[tuple[Adapter, float]],
    language: str | None,
    licence: str | None,
    config: dict[str, object],
) -> Manifest:
    """Return what is recorded of a merged adapter: nothing was trained, so its parents."""
    manifests = [adapter.manifest for adapter, _ in shares]
    kept = {m.trained_over for m in manifests}
    return replace(
        manifests[0],
        languages=_languages(manifests, language),
        config=config,
        weights=None,
        dataset=None,
        head=None,
        trained_over=kept.pop() if len(kept) == 1 else (),
        seen=(),
        parents=tuple(Parent(adapter.digest, weight) for adapter, weight in shares),
        training=None,
        licence=licence or _licence(manifests),
        authors=tuple(dict.fromkeys(author for m in manifests for author in m.authors)),
        citation=None,
        source=None,
    )


def _languages(manifests: Sequence[Manifest], language: str | None) -> tuple[LanguageUse, ...]:
    if language is not None:
        return (LanguageUse(languages.normalise(language), Role.LANGUAGE),)
    uses = [use for manifest in manifests for use in manifest.languages]
    if manifests[0].kind is Kind.LANGUAGE:
        uses = [LanguageUse(use.tag, Role.LANGUAGE) for use in uses]
    return tuple(dict.fromkeys(uses))


def _licence(manifests: Sequence[Manifest]) -> str | None:
    """Return the licence that holds for all: each member's, joined as SPDX does; unknown is not."""
    found = [manifest.licence for manifest in manifests]
    if None in found:
        return None
    return " AND ".join(dict.fromkeys(licence for licence in found if licence))

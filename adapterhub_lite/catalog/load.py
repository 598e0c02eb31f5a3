"""Put the catalogue that comes with the package into a registry, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterhub_lite.catalog import entries
from adapterhub_lite.catalog.entries import Entry
from adapterhub_lite.catalog.remote import additions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapterhub_lite.plugins import Plugins
    from adapterhub_lite.registry import Registry


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many adapters were new, and how many the registry had under their Hub ids."""

    new: int
    known: int


def load(registry: Registry, plugins: Plugins, given: Sequence[Entry] | None = None) -> Loaded:
    """Add the catalogue's adapters (or the given entries) as remote ones.

    An adapter that the registry has from the same Hub id, pulled or refreshed, stays as it is.
    """
    found = entries.read() if given is None else given
    here = {*registry.names(), *_pulled(registry)}
    items = [item for item in additions(found, plugins) if item.name not in here]
    total = sum(1 for _ in entries.registered(found))
    return Loaded(registry.add_many(items), total - len(items))


def _pulled(registry: Registry) -> set[str]:
    sources = (adapter.manifest.source for adapter in registry.find())
    return {source.hub_id for source in sources if source is not None}

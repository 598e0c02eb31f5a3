"""Entries of the catalogue as manifests of remote adapters.

Configs go through the methods' own config classes, so a field that a method gets later is there
with its default.  Where no plugin here provides a method, the stated settings stay as they are, and
the resolver's rules say what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from adapterhub_lite import languages
from adapterhub_lite.adapter import (
    HeadSpec,
    Kind,
    LanguageUse,
    Manifest,
    Provider,
    Role,
    Source,
    Underneath,
    WeightsFile,
)
from adapterhub_lite.catalog import bases
from adapterhub_lite.catalog.entries import COMPILED, Entry, registered
from adapterhub_lite.errors import DataError

if TYPE_CHECKING:
    from adapterhub_lite.plugins import Plugins
    from adapterhub_lite.registry import Addition


def additions(entries: Iterable[Entry], plugins: Plugins) -> Iterator[Addition]:
    """Yield what to add to a registry, each under its Hub id as its name.

    Raises:
        DataError: an entry names another that is not there, or a base without figures.
        MethodError: settings that a method does not accept.
    """
    from adapterhub_lite.registry import Addition

    known = {entry.hub_id: entry for entry in registered(entries)}
    for _, entry in sorted(known.items()):
        manifest = manifest_of(entry, known, plugins)
        yield Addition(manifest, entry.hub_id, remote=True, added=COMPILED)


def manifest_of(entry: Entry, known: Mapping[str, Entry], plugins: Plugins) -> Manifest:
    """Return the manifest of an entry; `known` are the entries it may have been trained over."""
    return Manifest(
        kind=Kind(entry.kind),
        languages=_uses(entry),
        base=bases.identity(entry.base),
        method=entry.method,
        config=_config(entry, plugins),
        provider=_provider(entry, plugins),
        leave_out=tuple(entry.leave_out),
        task=entry.task,
        dataset=entry.dataset,
        head=_head(entry),
        trained_over=tuple(_under(entry, name, known, plugins) for name in entry.trained_over),
        seen=tuple(_under(entry, name, known, plugins) for name in entry.seen),
        licence=entry.licence,
        authors=tuple(entry.authors),
        citation=entry.citation,
        source=Source(
            hub_id=entry.hub_id,
            revision=entry.revision,
            format=entry.format,
            status=entry.status,
            unknown=tuple(entry.unknown),
            inferred=tuple(entry.inferred),
            weights=WeightsFile("", entry.size) if entry.size else None,
        ),
    )


def _uses(entry: Entry) -> tuple[LanguageUse, ...]:
    return tuple(
        LanguageUse(languages.normalise(tag), Role(role))
        for role, tags in entry.languages.items()
        for tag in tags
    )


def _config(entry: Entry, plugins: Plugins) -> dict[str, Any]:
    method = plugins.methods.get(entry.method)
    if method is None or "config" in entry.unknown:
        return dict(entry.config)
    return method.Config.from_mapping(entry.config).to_mapping()


def _provider(entry: Entry, plugins: Plugins) -> Provider:
    """Return who provides the method here; a plugin file is called after its method."""
    here = entry.method in plugins.methods
    return Provider(plugins.provider(entry.method).plugin if here else entry.method, "any")


def _head(entry: Entry) -> HeadSpec | None:
    if entry.head is None:
        return None
    return HeadSpec(entry.head["type"], tuple(entry.head.get("labels", ())))


def _under(entry: Entry, name: str, known: Mapping[str, Entry], plugins: Plugins) -> Underneath:
    others = {hub_id: other for hub_id, other in known.items() if hub_id != entry.hub_id}
    if name not in others:
        itself = " but itself" if name in known else ""
        raise DataError(f"`{entry.hub_id}` was trained over `{name}`, which has no entry{itself}")
    below = manifest_of(known[name], others, plugins)
    return Underneath(
        digest="",
        kind=below.kind,
        languages=below.languages,
        method=below.method,
        config_digest=below.config_digest,
        leave_out=below.leave_out,
        source=name,
        dropped=tuple(entry.dropped),
    )

"""From an attachment to the registry: an adapter as its weights are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from adapterhub_lite import languages
from adapterhub_lite.adapter import (
    Adapter,
    Kind,
    LanguageUse,
    Manifest,
    Role,
    Training,
    Underneath,
)
from adapterhub_lite.composition import refs
from adapterhub_lite.errors import UsageError
from adapterhub_lite.model.loaded import LoadedAdapter

if TYPE_CHECKING:
    from adapterhub_lite.home import Home
    from adapterhub_lite.model.attach import Attachment

_ROLES = {Kind.TASK: (Role.SOURCE,), Kind.BILINGUAL: (Role.SOURCE, Role.TARGET)}


def save(
    attachment: Attachment,
    ref: str,
    home: Home,
    *,
    name: str,
    language: str | Sequence[str] | None,
    task: str | None,
    dataset: str | None,
    licence: str | None,
    training: Training | None,
) -> Adapter:
    """Add an adapter to a home; see `Attachment.save`."""
    loaded = attachment.adapter(ref)
    tags = [language] if isinstance(language, str) else list(language or ())
    manifest = _manifest(loaded, attachment, home, tags, task)
    over = _underneath(attachment, loaded, home)
    manifest = replace(
        manifest,
        dataset=dataset or manifest.dataset,
        licence=licence or manifest.licence,
        trained_over=over[0] if len(over) == 1 else (),
        seen=tuple(record for records in over for record in records) if len(over) > 1 else (),
        training=training,
    )
    with TemporaryDirectory() as folder:
        done = replace(loaded, weights=attachment.state_of(ref))
        done.save(Path(folder), manifest)
        return home.add(folder, name=name)


def _manifest(
    loaded: LoadedAdapter, attachment: Attachment, home: Home, tags: Sequence[str], task: str | None
) -> Manifest:
    """Return what is recorded: of the adapter that it was, or from what the caller says."""
    roles = _ROLES.get(loaded.kind, (Role.LANGUAGE,))
    if tags and len(tags) != len(roles):
        raise UsageError(
            f"`{loaded.ref}` is a {loaded.kind} adapter, which has "
            f"{' and '.join(f'a {role} language' for role in roles)}; found {len(tags)}",
            hint="`language=TAG`, of a bilingual adapter `language=[SOURCE, TARGET]`",
        )
    uses = tuple(
        LanguageUse(languages.normalise(tag), role)
        for tag, role in zip(tags, roles if tags else (), strict=True)
    )
    if loaded.base is not None:  # it was read from a home
        before = home.registry.get(loaded.digest).manifest
        return replace(
            before,
            languages=uses or before.languages,
            task=task or before.task,
            weights=None,
            parents=(),
            source=None,
        )
    if not uses:
        raise UsageError(
            f"in which language was `{loaded.ref}` trained?", hint="add `language=TAG`"
        )
    if loaded.kind is Kind.TASK and task is None:
        raise UsageError(f"for which task was `{loaded.ref}` trained?", hint='add `task="pos"`')
    return Manifest(
        kind=loaded.kind,
        languages=uses,
        base=attachment.base.identity,
        method=loaded.method.name,
        config=loaded.config.to_mapping(),
        provider=home.plugins().provider(loaded.method.name),
        leave_out=loaded.leave_out,
        task=task,
        head=loaded.head,
    )


def _underneath(
    attachment: Attachment, loaded: LoadedAdapter, home: Home
) -> list[tuple[Underneath, ...]]:
    """Return what is below the adapter in the compositions that have it, each once."""
    chains: dict[tuple[str, ...], tuple[Underneath, ...]] = {}
    for compiled in attachment.compositions.values():
        names = refs(compiled.composition) if compiled.composition else ()
        adapters = [attachment.adapter(name) for name in names]
        if any(adapter is loaded for adapter in adapters):
            at = next(n for n, adapter in enumerate(adapters) if adapter is loaded)
            below = adapters[:at]
            chains[tuple(a.ref for a in below)] = tuple(_record(a, loaded, home) for a in below)
    return list(chains.values())


def _record(below: LoadedAdapter, loaded: LoadedAdapter, home: Home) -> Underneath:
    if below.base is None:
        raise UsageError(
            f"`{loaded.ref}` was trained over `{below.ref}`, which is in no home yet",
            hint="save it first, and attach it from there",
        )
    return home.registry.get(below.digest).underneath()

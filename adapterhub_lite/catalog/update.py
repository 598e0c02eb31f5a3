"""Refresh what is known of remote adapters from the Hub: there or not, commit, weights file.

Everything is asked first and written last, in one transaction, so an update that fails or is
interrupted changes nothing.  Adapters that are new on the Hub are reported, not added: a listing
does not say for which languages they are or what they were trained over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapterhub_lite.adapter import Adapter, Source, WeightsFile
from adapterhub_lite.errors import HubError

if TYPE_CHECKING:
    from adapterhub_lite.hub.connection import Connection
    from adapterhub_lite.registry import Registry

VERIFIED = "verified"
VANISHED = "vanished"

LIBRARIES = ("adapter-transformers", "peft")
"""Tags by which the Hub lists adapters of other libraries."""

FILES = (
    "adapter.safetensors",
    "adapter_model.safetensors",
    "weights.safetensors",
    "pytorch_adapter.bin",
    "adapter_model.bin",
    "pytorch_diff.bin",
)
"""Names of weights files in the layouts that adapters have there; the first one found counts."""

AT_ONCE = 8
"""Repositories that are asked about at the same time."""

MOST = 1000
"""Entries of one listing that are looked at for new adapters."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What an update found, by Hub ids; `unchanged` and `written` are counts.

    `verified` were only derived before; `moved` have another commit than was known; `vanished` are
    not there, or not to be seen with this token; `empty` have no weights file; `new` are listed for
    these bases and not in the registry.
    """

    verified: tuple[str, ...]
    moved: tuple[str, ...]
    vanished: tuple[str, ...]
    empty: tuple[str, ...]
    new: tuple[str, ...]
    unchanged: int
    written: int


@dataclass(frozen=True, slots=True)
class _Finding:
    adapter: Adapter
    before: Source
    after: Source


def update(
    registry: Registry,
    *,
    base: str | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Ask the Hub about every remote adapter, and write what it says into the registry.

    Args:
        registry: its remote adapters are asked about.
        base: only those for this base model.
        endpoint: address of the Hub [default: HF_ENDPOINT, else huggingface.co].
        token: for what only its owner sees.
        dry_run: report, and write nothing.
        progress: called with how many were asked about, and of how many.

    Raises:
        HubError: offline, out of reach, or an answer that is none; nothing is written.
    """
    from adapterhub_lite.hub.connection import connect

    registry.check_writable()
    remote = registry.find(remote=True, base_name=base)
    pairs = [(a, a.manifest.source) for a in remote if a.manifest.source is not None]
    connection = connect("the catalogue", endpoint=endpoint, token=token)
    listed = dict(_listed(connection, sorted({a.manifest.base.name for a in remote})))
    asked = [(adapter, source) for adapter, source in pairs if not _as_listed(source, listed)]
    progress(0, len(asked))
    found = list(_ask(connection, asked, progress))
    written = 0 if dry_run else _write(registry, found)
    here = {source.hub_id for source in _sources(registry)}
    return _report(found, len(pairs) - len(asked), sorted(listed.keys() - here), written)


def _sources(registry: Registry) -> Iterator[Source]:
    found = (adapter.manifest.source for adapter in registry.find())
    return (source for source in found if source is not None)


def _listed(connection: Connection, bases: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield Hub id and commit of the adapters that the Hub lists for these bases."""
    for base in bases:
        for library in LIBRARIES:
            wanted = [library, f"base_model:adapter:{base}"]
            with connection.about(f"adapters of {base}"):  # the client retries listings itself
                models = connection.api.list_models(filter=wanted, expand=["sha"], limit=MOST)
                found = [(model.id, model.sha or "") for model in models]
            yield from found


def _as_listed(source: Source, listed: dict[str, str]) -> bool:
    """Whether the listing says already that nothing changed."""
    known = source.weights is not None and source.weights.sha256
    return bool(
        source.status == VERIFIED
        and known
        and source.revision
        and listed.get(source.hub_id) == source.revision
    )


def _ask(
    connection: Connection, asked: list[tuple[Adapter, Source]], progress: Progress
) -> Iterator[_Finding]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        jobs = [threads.submit(_look, connection, *pair) for pair in asked]
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                yield job.result()
                progress(done, len(asked))
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _look(connection: Connection, adapter: Adapter, source: Source) -> _Finding:
    """Return what the Hub says of one adapter."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    from adapterhub_lite.hub.connection import patiently

    def ask() -> Any:
        return connection.api.model_info(source.hub_id, files_metadata=True)

    with connection.about(source.hub_id):
        try:
            info = patiently(ask)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return _Finding(adapter, source, replace(source, status=VANISHED))
        return _Finding(adapter, source, _described(source, info))


def _described(source: Source, info: Any) -> Source:
    """Return the source with what the Hub said, checked: it is an answer from outside."""
    if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):
        raise HubError(f"the Hub named no commit of `{source.hub_id}`", hint="look at HF_ENDPOINT")
    return replace(source, status=VERIFIED, revision=info.sha, weights=_weights(info))


def _weights(info: Any) -> WeightsFile | None:
    """Return the weights file by its listing; the hash is known of files in large-file storage."""
    siblings = {file.rfilename: file for file in info.siblings or ()}
    for name in FILES:
        if name in siblings:
            file = siblings[name]
            sha256 = file.lfs.sha256 if file.lfs else ""
            size = file.size if isinstance(file.size, int) and file.size >= 0 else 0
            return WeightsFile(sha256 if _SHA256.fullmatch(sha256) else "", size)
    return None


def _write(registry: Registry, found: list[_Finding]) -> int:
    from adapterhub_lite.registry import Addition

    return registry.replace_remote(
        Addition(
            replace(finding.adapter.manifest, source=finding.after),
            finding.adapter.name,
            remote=True,
        )
        for finding in sorted(found, key=lambda f: f.adapter.name)
        if finding.after != finding.before
    )


def _report(found: list[_Finding], unchanged: int, new: list[str], written: int) -> Report:
    def ids(holds: Callable[[_Finding], bool]) -> tuple[str, ...]:
        return tuple(sorted(finding.before.hub_id for finding in found if holds(finding)))

    there = [finding for finding in found if finding.after.status != VANISHED]
    return Report(
        verified=ids(lambda f: f in there and f.before.status != VERIFIED),
        moved=ids(lambda f: f in there and f.before.revision not in (None, f.after.revision)),
        vanished=ids(lambda f: f not in there),
        empty=ids(lambda f: f in there and f.after.weights is None),
        new=tuple(new),
        unchanged=unchanged + sum(f.after == f.before for f in found),
        written=written,
    )

"""What a push sends: a fresh folder with exactly the files that may leave, and their hashes.

Nothing is sent from where it lies.  Weights are copied from the object store and compared with the
manifest, other libraries' files are written anew, and of all that only known names are taken; a
link, a hidden file or a stray one beside them never gets here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite import base_names, digests
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Adapter, Score
from adapterhub_lite.errors import HubError, RefError
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.hub import card, card_text, peers
from adapterhub_lite.hub.card import Subject
from adapterhub_lite.hub.listing import Entry
from adapterhub_lite.hub.names import CARD, PEER_CONFIGS, SENT
from adapterhub_lite.hub.peers import PeerFiles

if TYPE_CHECKING:
    from adapterhub_lite.home import Home


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that is sent: its path in the repository, where it lies, size and hashes."""

    path: str
    place: Path
    size: int
    sha256: str
    git_sha1: str

    def same_as(self, entry: Entry | None) -> bool:
        """Whether a repository has this very file at the path."""
        if entry is None or entry.size != self.size:
            return False
        return entry.hash == (self.sha256 if entry.sha256 else self.git_sha1)


def stage_adapter(
    adapter: Adapter, home: Home, folder: Path, *, repo: str, below: str = ""
) -> tuple[Subject, tuple[str, ...]]:
    """Write an adapter's files below `folder`; return what its card is about, and notes.

    Raises:
        WeightsError: the adapter is remote, or its weights are not what the manifest records.
    """
    target = folder / below
    target.mkdir(parents=True, exist_ok=True)
    _copy_own(adapter, home, target)
    made = _add_peer(adapter, home, folder, target)
    subject = _subject(adapter, home, made.layout, repo=repo, below=below)
    if made.layout is not None:
        return replace(subject, peer_task=_task(target), notes=made.notes), made.notes
    return replace(subject, lacking=made.lacking), made.notes


def write_card(folder: Path, subject: Subject) -> None:
    """Write the card of one adapter."""
    text = card.front_matter([subject]) + "\n" + card_text.text(subject)
    (folder / subject.below / CARD).write_text(text, encoding="utf-8")


def collect(folder: Path) -> tuple[Staged, ...]:
    """Return every file of a staging folder, sorted by path.

    Raises:
        HubError: something that must not be sent; it is a fault of this package.
    """
    found = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    for path in found:
        if path.is_symlink() or not path.is_file() or path.name not in SENT:
            raise HubError(f"`{path.name}` is not among the files that are ever sent")
    return tuple(_staged(folder, path) for path in found)


def _staged(folder: Path, path: Path) -> Staged:
    data = path.stat().st_size
    git = hashlib.sha1(b"blob %d\0" % data, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            git.update(block)
    name = path.relative_to(folder).as_posix()
    return Staged(name, path, data, digests.of_file(path), git.hexdigest())


def _copy_own(adapter: Adapter, home: Home, target: Path) -> None:
    from adapterhub_lite.registry.objects import copy_checked

    source = home.folder_of(adapter) / manifests.WEIGHTS
    with source.open("rb") as stream, (target / manifests.WEIGHTS).open("xb") as copy:
        copy_checked(stream, copy.write, adapter.manifest, str(source))
    (target / manifests.FILE).write_text(manifests.dumps(adapter.manifest), encoding="utf-8")


def _add_peer(adapter: Adapter, home: Home, folder: Path, target: Path) -> PeerFiles:
    aside = folder.with_name(f"{folder.name}-peer-{adapter.digest[: digests.SHORT]}")
    made = peers.write_files(adapter, home, aside)
    for path in sorted(aside.iterdir()) if made.layout else ():
        if path.name in SENT and path.name != CARD and path.is_file() and not path.is_symlink():
            path.rename(target / path.name)
    return made


_READER = Reader(HubError)


def _task(folder: Path) -> str | None:
    """Return what the other library's config calls its task (peft does)."""
    config = folder / PEER_CONFIGS[0]
    values = _READER.json_object_file(config) if config.exists() else {}
    task = values.get("task_type")
    return task if isinstance(task, str) else None


def _subject(adapter: Adapter, home: Home, layout: str | None, *, repo: str, below: str) -> Subject:
    scores = _scores(adapter, home)
    return Subject(
        adapter,
        repo,
        layout=layout,
        base_id=base_id(adapter, home),
        scores=scores,
        names=_names(adapter, home, scores),
        below=below,
    )


def base_id(adapter: Adapter, home: Home) -> str | None:
    """Return the Hub id of an adapter's base, if it has one.

    Whether it is on the Hub is no question of what is in this home: a name of two parts is an id,
    and so are the old names that the Hub redirects.  Any other name is one that somebody gave.
    """
    base = adapter.manifest.base
    if base.name.count("/") == 1 or base.revision or base_names.current(base.name) != base.name:
        return base.name
    try:
        entry = home.registry.base(base.name)
    except RefError:
        return None
    return entry.location if entry.identity.revision else None


def _scores(adapter: Adapter, home: Home) -> list[Score]:
    """Return the scores of compositions that have this adapter on top or alone."""
    task = adapter.manifest.task
    if task is None:
        return []
    return [s for s in home.registry.scores(task=task) if adapter.digest in s.composition]


def _names(adapter: Adapter, home: Home, scores: Iterable[Score]) -> dict[str, str]:
    from adapterhub_lite import composition as compositions

    manifest = adapter.manifest
    wanted = {adapter.digest, *(parent.digest for parent in manifest.parents)}
    wanted |= {under.digest for under in (*manifest.trained_over, *manifest.seen)}
    for score in scores:
        wanted |= set(compositions.refs(compositions.parse(score.composition)))
    names = {}
    for digest in sorted(wanted - {""}):
        try:
            names[digest] = home.registry.get(digest).name
        except RefError:
            continue
    return names

"""`push`: an adapter to a repository, usable by other libraries as it stands.

Order: staging (which needs no network, so a dry run shows exactly what would be sent), the
repository's state, whether somebody else changed it since this home last saw it, one commit, tags.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub.errors import HfHubHTTPError

from adapterhub_lite.errors import HubError, UsageError
from adapterhub_lite.hub import commits, leaving, seen, staging
from adapterhub_lite.hub.commits import Change, Made
from adapterhub_lite.hub.connection import Connection, address_of, connect, patiently
from adapterhub_lite.hub.download import Progress
from adapterhub_lite.hub.failures import status_of
from adapterhub_lite.hub.leaving import Part
from adapterhub_lite.hub.names import CARD, check_owned
from adapterhub_lite.hub.seen import Seen
from adapterhub_lite.hub.staging import Staged

if TYPE_CHECKING:
    from adapterhub_lite.home import Home


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of a push: path in the repository, bytes, SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, or (dry run) would do.

    `files` are all of the adapter; `changed` those that the repository did not have yet; `commit`
    is where it holds them, and empty in a dry run.
    """

    repo: str
    files: tuple[SentFile, ...]
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    commit: str = ""
    url: str = ""
    pull_request: str | None = None
    tags: tuple[str, ...] = ()
    dry_run: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parcel:
    """Staged files and what they are of, ready to be sent."""

    files: tuple[Staged, ...]
    digests: tuple[str, ...]
    title: str
    parts: tuple[Part, ...] = ()
    composition: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """How a user wants a push to be done; see `push`."""

    private: bool | None = None
    create_pr: bool = False
    message: str | None = None
    tags: tuple[str, ...] = ()
    with_card: bool = True
    dry_run: bool = False
    endpoint: str | None = None
    token: str | None = None
    progress: Progress | None = None


def push(
    ref: str,
    repo: str,
    *,
    home: Home | str | Path,
    private: bool | None = None,
    create_pr: bool = False,
    message: str | None = None,
    tags: Sequence[str] = (),
    with_card: bool = True,
    dry_run: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> Pushed:
    """Send an adapter to a repository of the Hub, which is made where it is not there.

    Args:
        ref: adapter in the registry, with weights.
        repo: `OWNER/NAME`.
        private: make the repository private [default: as the owner's settings have it].
        create_pr: propose the change instead of making it.
        message: of the commit.
        tags: names for the commit; they must be new.
        with_card: write `README.md`; without, the one there stays.
        dry_run: send nothing, ask nobody; return what would be sent.
        endpoint: address of the Hub [default: HF_ENDPOINT, else huggingface.co].
        token: token for that address.
        progress: called with file, bytes so far and bytes in all.

    Raises:
        HubError: offline, no right to, somebody else changed the repository, or it has other
            libraries' files of other weights, whose successors this home cannot make.
        WeightsError: the adapter is remote, or damaged.
    """
    from adapterhub_lite.home import Home

    home = Home.find(home)
    wish = Wish(
        private, create_pr, message, tuple(tags), with_card, dry_run, endpoint, token, progress
    )
    adapter = home.registry.get(ref)
    with scratch() as folder:
        subject, notes = staging.stage_adapter(adapter, home, folder, repo=check_owned(repo))
        if with_card:
            staging.write_card(folder, subject)
        files = staging.collect(folder)
        parts = (Part("", subject.lacking),)
        parcel = Parcel(files, (adapter.digest,), f"Push {adapter.name}", parts, notes=notes)
        return send(parcel, repo, home=home, wish=wish)


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a fresh private folder for staging."""
    with tempfile.TemporaryDirectory(prefix="ahl-push-") as outer:
        folder = Path(outer) / "files"
        folder.mkdir()
        yield folder


def send(parcel: Parcel, repo: str, *, home: Home, wish: Wish) -> Pushed:
    """Send staged files, and return what was done."""
    if wish.create_pr and wish.tags:
        raise UsageError("a tag is for a commit that is made, not for one that is proposed")
    planned = Pushed(
        repo,
        tuple(SentFile(item.path, item.size, item.sha256) for item in parcel.files),
        tags=wish.tags,
        dry_run=True,
        notes=parcel.notes,
    )
    if wish.dry_run:
        return planned
    connection = connect(repo, endpoint=wish.endpoint, token=wish.token)
    parent = commits.existing(connection, repo) if wish.create_pr else None
    parent = parent or commits.make_repository(connection, repo, private=wish.private)
    _check_tags(connection, repo, wish.tags)
    wanted = commits.change(parcel.files, parent)
    if not wish.with_card:
        wanted = replace(wanted, remove=tuple(p for p in wanted.remove if p != CARD))
    wanted, left = leaving.settle(wanted, parcel.parts, connection)
    if wanted and not wish.create_pr:
        _check_seen(home, connection, wanted)
    made = _commit(connection, parcel, wanted, wish) if wanted else Made(parent.commit, "")
    _tag(connection, repo, made.commit, wish.tags)
    if not wish.create_pr:
        entry = Seen(
            connection.endpoint, repo, made.commit, "main", parcel.digests, parcel.composition
        )
        seen.remember(home.path, entry)
    return replace(
        planned,
        changed=tuple(item.path for item in wanted.send),
        removed=wanted.remove,
        commit=made.commit,
        url=made.url or f"{connection.endpoint}/{repo}/tree/{made.commit}",
        pull_request=made.pull_request,
        dry_run=False,
        notes=(*planned.notes, *left),
    )


def _commit(connection: Connection, parcel: Parcel, wanted: Change, wish: Wish) -> Made:
    return commits.commit(
        connection,
        wanted,
        message=wish.message or parcel.title,
        create_pr=wish.create_pr,
        progress=wish.progress,
    )


def _check_seen(home: Home, connection: Connection, wanted: Change) -> None:
    """Refuse to overwrite what this home never saw.

    The commit's parent guards against changes during a push; this guards against those before it.
    """
    parent = wanted.parent
    touched = [item.path for item in wanted.send if item.path in parent.files]
    touched += wanted.remove
    known = seen.find(home.path, address_of(connection.endpoint), parent.repo, parent.commit)
    if touched and known is None:
        raise HubError(
            f"`{parent.repo}` has `{'`, `'.join(sorted(touched)[:3])}` with other content, which "
            "this home has never seen; nothing was overwritten",
            hint=f"`ahl pull {parent.repo}` and look at it, then push again; or push with `--pr`",
            head=parent.commit,
            files=sorted(touched),
        )


def _check_tags(connection: Connection, repo: str, tags: Sequence[str]) -> None:
    if not tags:
        return
    with connection.about(repo):
        refs = patiently(lambda: connection.api.list_repo_refs(repo))
    taken = sorted({ref.name for ref in refs.tags} & set(tags))
    if taken:
        raise HubError(
            f"`{repo}` has the tag `{taken[0]}` already, and tags do not move",
            hint="choose another name; nothing was pushed",
        )


def _tag(connection: Connection, repo: str, commit: str, tags: Sequence[str]) -> None:
    for tag in tags:
        with connection.about(f"{repo}@{tag}"):
            patiently(lambda name=tag: _make_tag(connection, repo, name, commit))  # type: ignore[misc]


def _make_tag(connection: Connection, repo: str, tag: str, commit: str) -> None:
    """Make a tag; one that is there already was made by an attempt whose answer was lost."""
    try:
        connection.api.create_tag(repo, tag=tag, revision=commit)
    except HfHubHTTPError as error:
        if status_of(error) != 409 or not _is_at(connection, repo, tag, commit):
            raise


def _is_at(connection: Connection, repo: str, tag: str, commit: str) -> bool:
    refs = connection.api.list_repo_refs(repo)
    return any(ref.name == tag and ref.target_commit == commit for ref in refs.tags)

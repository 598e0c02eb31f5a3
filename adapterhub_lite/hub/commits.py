"""One commit to a repository: of files that were staged, on a state that was looked at.

A commit names the state it is made on, so a change by somebody else in between is refused by the
Hub, never overwritten.  A commit that failed without a word whether it was carried out is asked
again on the same state: if it was, the Hub says that the state has moved, and the listing tells
whether by our own hand.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from adapterhub_lite.errors import HubError
from adapterhub_lite.hub.connection import Connection, patiently
from adapterhub_lite.hub.download import Progress
from adapterhub_lite.hub.failures import passes, status_of
from adapterhub_lite.hub.listing import Listing, listing
from adapterhub_lite.hub.names import SENT, RepoRef
from adapterhub_lite.hub.staging import Staged


@dataclass(frozen=True, slots=True)
class Change:
    """What a push does to a repository: files added or changed, and old ones of ours removed."""

    send: tuple[Staged, ...]
    remove: tuple[str, ...]
    parent: Listing

    def __bool__(self) -> bool:
        return bool(self.send or self.remove)


@dataclass(frozen=True, slots=True)
class Made:
    """A commit that was made, and the pull request it is in, if it is in one."""

    commit: str
    url: str
    pull_request: str | None = None


def change(staged: Sequence[Staged], parent: Listing) -> Change:
    """Return what makes a repository hold exactly these files of the names that are ours."""
    paths = {item.path for item in staged}
    stale = (
        p for p in parent.files if p.rpartition("/")[2] in SENT and _ours(p) and p not in paths
    )
    send = tuple(item for item in staged if not item.same_as(parent.files.get(item.path)))
    return Change(send, tuple(sorted(stale)), parent)


def _ours(path: str) -> bool:
    """Whether a path is at one of the two places where a push puts files."""
    parts = path.split("/")
    return len(parts) == 1 or (len(parts) == 3 and parts[0] == "adapters")


def make_repository(connection: Connection, repo: str, *, private: bool | None) -> Listing:
    """Return what a repository holds; it is made where it is not there.

    Raises:
        HubError: no right to; or it is public, and a private one was asked for.
    """
    with connection.about(repo):
        patiently(lambda: connection.api.create_repo(repo, private=private, exist_ok=True))
    found = listing(connection, RepoRef(repo))
    if private and not found.private:
        raise HubError(
            f"`{repo}` is there already, and public",
            hint="make it private in its settings, or push without `--private`",
        )
    return found


def existing(connection: Connection, repo: str) -> Listing | None:
    """Return what a repository holds, or `None` where it is not there (to be seen)."""
    try:
        return listing(connection, RepoRef(repo))
    except HubError as error:
        if isinstance(error.__cause__, RepositoryNotFoundError):
            return None
        raise


def commit(
    connection: Connection,
    wanted: Change,
    *,
    message: str,
    create_pr: bool = False,
    progress: Progress | None = None,
) -> Made:
    """Make the commit, and look that it holds what was sent.

    Raises:
        HubError: somebody else changed the repository meanwhile; no right to; out of reach.
    """
    repo = wanted.parent.repo
    uncertain: list[BaseException] = []

    def attempt() -> Made:
        with ExitStack() as files:
            operations = [files.enter_context(_opened(item, progress)) for item in wanted.send]
            info = connection.api.create_commit(
                repo,
                [*operations, *(CommitOperationDelete(path) for path in wanted.remove)],
                commit_message=message,
                parent_commit=wanted.parent.commit,
                create_pr=create_pr,
            )
        return Made(str(info.oid), str(info.commit_url), info.pr_url)

    def again(error: BaseException) -> bool:
        if not passes(error) or (create_pr and status_of(error) != 429):
            return False  # a second pull request would be worse than an error
        uncertain.append(error)
        return True

    with connection.about(repo):
        try:
            made = patiently(attempt, again=again)
        except HfHubHTTPError as error:
            if error.response.status_code != 412:
                raise
            made = _own_or_refuse(connection, wanted, uncertain=bool(uncertain))
    _check_complete(connection, wanted, made)
    return made


def _own_or_refuse(connection: Connection, wanted: Change, *, uncertain: bool) -> Made:
    """Return our own commit, if it is what moved the state; else say that somebody else did."""
    repo = wanted.parent.repo
    now = listing(connection, RepoRef(repo))
    if uncertain and not change(wanted.send, now).send:
        return Made(now.commit, f"{connection.endpoint}/{repo}/commit/{now.commit}")
    raise HubError(
        f"somebody changed `{repo}` while this was being pushed: it was at "
        f"{wanted.parent.commit[:12]} and is at {now.commit[:12]}; nothing was overwritten",
        hint=f"`ahl pull {repo}`, look at it, and push again; or push with `--pr`",
        parent=wanted.parent.commit,
        head=now.commit,
    )


def _check_complete(connection: Connection, wanted: Change, made: Made) -> None:
    """A repository's `.gitignore` makes the client leave files out without a word."""
    found = listing(connection, RepoRef(wanted.parent.repo, made.commit))
    missing = [item.path for item in wanted.send if not item.same_as(found.files.get(item.path))]
    if missing:
        raise HubError(
            f"`{found}` lacks `{'`, `'.join(missing)}`, which was sent",
            hint="does a `.gitignore` there name it?",
            missing=missing,
        )


class _opened:  # noqa: N801  # used like a function
    """A staged file as an operation of the client.

    An open file, not a path: that makes the client speak plain LFS, which every Hub does, and not
    Xet, which only one does.
    """

    def __init__(self, item: Staged, progress: Progress | None) -> None:
        self.stream = _Watched(item, progress)
        self.path = item.path

    def __enter__(self) -> CommitOperationAdd:
        operation = CommitOperationAdd(self.path, self.stream)  # reads it once, for its hash
        self.stream.sending = True
        return operation

    def __exit__(self, *_: object) -> None:
        self.stream.close()


class _Watched(io.BufferedReader):
    """A file that tells how far it was read."""

    sending = False

    def __init__(self, item: Staged, progress: Progress | None) -> None:
        super().__init__(io.FileIO(item.place, "rb"))
        self.item = item
        self.progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and tell."""
        data = super().read(size)
        if self.sending and self.progress is not None:
            self.progress(self.item.path, self.tell(), self.item.size)
        return data

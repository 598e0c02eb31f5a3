"""What a repository holds at one commit: the Hub's listing, read strictly.

A revision is turned into a full commit id once; everything after that is about this commit, so two
states of a repository are never mixed.  Sizes and hashes of the listing bound and check all that is
downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from adapterhub_lite.errors import HubError
from adapterhub_lite.hub.connection import Connection, patiently
from adapterhub_lite.hub.names import RepoRef, check_path, is_commit

MOST_FILES = 10_000

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a listing: its size, and its SHA-256 (LFS) or else its git blob's SHA-1."""

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None

    @property
    def hash(self) -> str:
        """The hash that tells the content."""
        return self.sha256 or self.git_sha1 or ""


@dataclass(frozen=True)
class Listing:
    """A repository at one commit."""

    repo: str
    commit: str
    files: dict[str, Entry]
    private: bool = False

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit}"


def listing(connection: Connection, wanted: RepoRef) -> Listing:
    """Return what a repository holds at a revision, resolved to its commit.

    Raises:
        HubError: no such repository or revision, or an answer that must not be trusted.
    """
    with connection.about(wanted):
        info = patiently(
            lambda: connection.api.model_info(wanted.repo, revision=wanted.revision or "main")
        )
    commit = info.sha
    if not is_commit(commit) or commit is None:
        raise HubError(f"the Hub names no commit for `{wanted}`, but {ascii(commit)[:60]}")
    return Listing(wanted.repo, commit, _files(connection, wanted.repo, commit), bool(info.private))


def _files(connection: Connection, repo: str, commit: str) -> dict[str, Entry]:
    def ask() -> list[Any]:
        tree = connection.api.list_repo_tree(repo, recursive=True, revision=commit)
        return list(islice(tree, MOST_FILES + 1))

    with connection.about(f"{repo}@{commit}"):
        found = patiently(ask)
    if len(found) > MOST_FILES:
        raise HubError(f"`{repo}` lists more than {MOST_FILES} files, which no adapter has")
    return _entries(repo, found)


def _entries(repo: str, found: Iterable[Any]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for item in found:
        path = check_path(item.path)
        if not hasattr(item, "blob_id"):
            continue  # a folder
        if path in entries:
            raise HubError(f"`{repo}` lists `{path}` twice")
        entries[path] = _entry(repo, path, item)
    return entries


def _entry(repo: str, path: str, item: Any) -> Entry:
    lfs, size = item.lfs, item.size
    sha256 = lfs.sha256 if lfs is not None else None
    sound = (
        type(size) is int
        and size >= 0
        and (lfs is None or (_is(_SHA256, sha256) and lfs.size == size))
        and (lfs is not None or _is(_SHA1, item.blob_id))
    )
    if not sound:
        raise HubError(f"`{repo}` lists `{path}` without a sound size and hash")
    return Entry(path, size, sha256, None if lfs is not None else item.blob_id)


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None

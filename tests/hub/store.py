"""Repositories of the loopback Hub: commits, refs, files and their hashes, all in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Blob:
    """A file's bytes; `lfs` ones are kept under their SHA-256, others as git does."""

    data: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git itself holds: the bytes, or for LFS the three lines that point to them."""
        if not self.lfs:
            return self.data
        size = len(self.data)
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {size}\n"
        ).encode()

    @property
    def oid(self) -> str:
        """SHA-1 of the git blob (of the pointer, for LFS)."""
        return git_sha1(self.pointer)

    @property
    def etag(self) -> str:
        """What the Hub calls the file's version: SHA-256 for LFS, else the git blob's SHA-1."""
        return self.sha256 if self.lfs else self.oid


def git_sha1(data: bytes) -> str:
    """Return the SHA-1 of a git blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True)
class Commit:
    """One state of a repository."""

    oid: str
    title: str
    description: str
    author: str
    date: datetime
    files: Mapping[str, Blob]
    parent: str | None


@dataclass
class PullRequest:
    """A proposed change; its commits are on `refs/pr/N`."""

    number: int
    title: str
    author: str
    base: str


@dataclass
class Repo:
    """A model repository with its history."""

    id: str
    private: bool = False
    gated: Any = False
    downloads: int = 0
    likes: int = 0
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)

    @property
    def owner(self) -> str:
        """The user or organisation; empty for the old short ids."""
        return self.id.rpartition("/")[0]

    @property
    def head(self) -> Commit:
        """The newest commit of `main`."""
        return self.commits[self.branches["main"]]

    def commit(
        self,
        files: Mapping[str, Blob],
        title: str,
        *,
        description: str = "",
        author: str = "somebody",
        ref: str = "main",
        parent: str | None = None,
    ) -> Commit:
        """Add a commit with these files (all of them) and move the ref to it."""
        before = parent or self.refs().get(ref)
        number = len(self.commits)
        spelt = (
            f"{self.id}/{number}/{before}/{title}/{sorted((p, b.oid) for p, b in files.items())}"
        )
        oid = hashlib.sha1(spelt.encode()).hexdigest()
        date = START + timedelta(minutes=number)
        made = Commit(oid, title, description, author, date, dict(files), before)
        self.commits[oid] = made
        self.branches[ref] = oid
        return made

    def refs(self) -> dict[str, str]:
        """Return every ref by its name."""
        return {**self.tags, **self.branches}

    def resolve(self, revision: str) -> Commit | None:
        """Return the commit that a branch, tag, `refs/pr/N` or full commit id names."""
        oid = self.refs().get(revision, revision)
        return self.commits.get(oid)

    def history(self, oid: str) -> list[Commit]:
        """Return a commit and those before it, newest first."""
        found: list[Commit] = []
        at: str | None = oid
        while at is not None:
            found.append(self.commits[at])
            at = self.commits[at].parent
        return found


@dataclass(frozen=True)
class User:
    """An account: its name, organisations, and whether its token may write."""

    name: str
    orgs: tuple[str, ...] = ()
    write: bool = True

    def owns(self, repo: Repo) -> bool:
        """Whether the repository is in the user's or one of its organisations' names."""
        return repo.owner in {self.name, *self.orgs}

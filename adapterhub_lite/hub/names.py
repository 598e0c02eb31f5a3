"""Names of repositories, revisions and files: which are accepted, before any is used.

A repository is a stranger's, so of its files only those of known names are looked at, and a listing
with a name that no honest repository has is refused as a whole.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from adapterhub_lite import manifest as manifests
from adapterhub_lite.errors import HubError, UsageError

CARD = "README.md"
STACK = "stack.json"
FOLDER = "adapters"
"""Where a repository with a whole stack keeps each adapter: `adapters/NAME/`."""

OWN = (manifests.FILE, manifests.WEIGHTS)
PEER_CONFIGS = ("adapter_config.json", "head_config.json", "adapter_fusion_config.json")
PEER_WEIGHTS = (
    "adapter_model.safetensors",
    "adapter.safetensors",
    "model_head.safetensors",
    "model_adapter_fusion.safetensors",
)
PICKLED = {
    "adapter_model.bin": "adapter_model.safetensors",
    "pytorch_adapter.bin": "adapter.safetensors",
    "pytorch_model_head.bin": "model_head.safetensors",
    "pytorch_model_adapter_fusion.bin": "model_adapter_fusion.safetensors",
    "pytorch_diff.bin": "",
}
"""Pickled weights, and the file that holds the same in a safe form, if the library has one."""

WITHOUT_CONFIG = ("pytorch_diff.bin",)
"""Weights that are a whole adapter by themselves (LT-SFT)."""

SAFE = frozenset({*OWN, *PEER_CONFIGS, *PEER_WEIGHTS, CARD, STACK})
"""Every name that is taken unasked."""

_BINS = frozenset({"pytorch_adapter.bin", "pytorch_model_head.bin"})
SENT = SAFE | _BINS
"""Every name that is ever sent: `adapters` looks for its `.bin` first (decision 13)."""

OF_PEERS = frozenset({*PEER_CONFIGS, *PEER_WEIGHTS}) | _BINS
"""Names of the files of other libraries that a push writes."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LONGEST_PART, _LONGEST = 255, 1000


@dataclass(frozen=True, slots=True)
class RepoRef:
    """A repository, and the revision asked for (`None`: the newest of `main`)."""

    repo: str
    revision: str | None = None

    @property
    def asked(self) -> str:
        """The revision asked for, with the default written out."""
        return self.revision or "main"

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def parse_ref(text: str) -> RepoRef:
    """Return the repository and revision of `REPO[@REVISION]`.

    Raises:
        UsageError: no Hub id, or an empty or impossible revision.
    """
    repo, at, revision = text.partition("@")
    check_repo(repo)
    if at and not _is_revision(revision):
        raise UsageError(
            f"`{text}`: after `@` comes a branch, tag or commit, found `{revision}`",
            hint=f"`ahl pull {repo}` takes the newest",
        )
    return RepoRef(repo, revision or None)


def check_repo(repo: str) -> str:
    """Return `repo` if the Hub could have a repository of that name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise UsageError(
            f"`{repo}` is no Hub id",
            hint="an id is `OWNER/NAME`: letters, digits and `. _ -`, for instance `lab/sw-wiki`",
        ) from None
    return repo


def check_owned(repo: str) -> str:
    """Return `repo` if it can be pushed to: it names its owner, unlike some old repositories."""
    if "/" not in check_repo(repo):
        raise UsageError(
            f"`{repo}` names no owner",
            hint=f"a repository to push to is `OWNER/NAME`: `lab/{repo}`, if `lab` is your account",
        )
    return repo


def is_commit(text: object) -> bool:
    """Whether text is a full commit id, and nothing else."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def check_path(path: object) -> str:
    """Return a file's path in a listing, or refuse the listing.

    Raises:
        HubError: a path that leaves its folder, hides what it is, or that disks cannot hold.
    """
    if not isinstance(path, str) or not path or len(path) > _LONGEST:
        raise _hostile(path)
    for part in path.split("/"):
        if part in {"", ".", ".."} or len(part.encode(errors="replace")) > _LONGEST_PART:
            raise _hostile(path)
    if any(unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in path):
        raise _hostile(path)
    if "\\" in path or re.match(r"[A-Za-z]:", path):
        raise _hostile(path)
    return path


def is_folder_name(name: str) -> bool:
    """Whether an adapter of a stack may have a folder of that name."""
    return _FOLDER_NAME.fullmatch(name) is not None and ".." not in name


def _is_revision(text: str) -> bool:
    return 0 < len(text) <= 200 and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", text) is not None


def _hostile(path: object) -> HubError:
    return HubError(
        f"the repository lists a file of the name {ascii(path)[:80]}, which no honest one has",
        hint="do not use this repository; nothing was written",
    )

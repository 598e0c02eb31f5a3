"""What the loopback Hub says of its repositories, in the Hub's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import yaml

from tests.hub.store import Blob, Commit, Repo

LISTED = {"siblings", "sha", "lastModified", "author", "cardData", "usedStorage", "disabled"}
"""Left out of lists unless asked for."""


def moment(when: datetime) -> str:
    """Return a date as the client wants it: with `Z`."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def front_matter(commit: Commit) -> dict[str, Any]:
    """Return the metadata block of the commit's card; none where it is missing or no mapping."""
    card = commit.files.get("README.md")
    text = card.data.decode(errors="replace") if card else ""
    if not text.startswith("---\n"):
        return {}
    try:
        values = yaml.safe_load(text[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def card_tags(card: Mapping[str, Any], commit: Commit) -> list[str]:
    """Return the tags that the Hub makes of a card and the files, each once."""
    return list(dict.fromkeys(_tags(card, commit)))


def _tags(card: Mapping[str, Any], commit: Commit) -> Iterator[str]:
    if isinstance(card.get("library_name"), str):
        yield card["library_name"]
    if any(path.endswith(".safetensors") for path in commit.files):
        yield "safetensors"
    yield from _many(card.get("tags"))
    yield from (f"dataset:{name}" for name in _many(card.get("datasets")))
    yield from _many(card.get("language"))
    if isinstance(card.get("license"), str):
        yield f"license:{card['license']}"
    relation = card.get("base_model_relation", "finetune")
    for name in _many(card.get("base_model")):
        yield from (f"base_model:{name}", f"base_model:{relation}:{name}")
    yield "region:us"


def _many(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(item) for item in value] if isinstance(value, list) else []


def model(repo: Repo, commit: Commit, *, blobs: bool = False) -> dict[str, Any]:
    """Return all that is said of a model."""
    card = front_matter(commit)
    values: dict[str, Any] = {
        "_id": commit.oid[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.owner,
        "sha": commit.oid,
        "lastModified": moment(commit.date),
        "createdAt": moment(next(iter(repo.commits.values())).date),
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": repo.downloads,
        "likes": repo.likes,
        "tags": card_tags(card, commit),
        "siblings": [sibling(path, blob, blobs=blobs) for path, blob in commit.files.items()],
        "usedStorage": sum(len(blob.data) for blob in commit.files.values()),
    }
    optional = {"library_name": card.get("library_name"), "pipeline_tag": card.get("pipeline_tag")}
    values |= {key: value for key, value in optional.items() if value}
    return values | ({"cardData": card} if card else {})


def listed(repo: Repo, query: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return what a list says of a model: short, full, with its card, or just the keys asked."""
    values = model(repo, repo.head)
    asked = query.get("expand") or query.get("expand[]")
    if asked:
        return {key: values[key] for key in ("_id", "id", *asked) if key in values}
    full = query.get("full") == ["true"]
    hidden = LISTED - ({"siblings", "sha", "lastModified", "author"} if full else set())
    hidden -= {"cardData"} if query.get("cardData") == ["true"] else set()
    return {key: value for key, value in values.items() if key not in hidden}


def sibling(path: str, blob: Blob, *, blobs: bool) -> dict[str, Any]:
    """Return one file of a model object."""
    if not blobs:
        return {"rfilename": path}
    values: dict[str, Any] = {"rfilename": path, "size": len(blob.data), "blobId": blob.oid}
    if blob.lfs:
        size = len(blob.pointer)
        values["lfs"] = {"sha256": blob.sha256, "size": len(blob.data), "pointerSize": size}
    return values


def entry(path: str, blob: Blob) -> dict[str, Any]:
    """Return one file of a tree."""
    values: dict[str, Any] = {
        "type": "file",
        "path": path,
        "size": len(blob.data),
        "oid": blob.oid,
    }
    if blob.lfs:
        values["lfs"] = {
            "oid": blob.sha256,
            "size": len(blob.data),
            "pointerSize": len(blob.pointer),
        }
    return values


def tree(commit: Commit, under: str, *, recursive: bool) -> list[dict[str, Any]] | None:
    """Return a folder's entries, folders before what is in them; `None` where there is none."""
    prefix = f"{under}/" if under else ""
    found: dict[str, dict[str, Any]] = {}
    for path, blob in sorted(commit.files.items()):
        if not path.startswith(prefix):
            continue
        folders = path[len(prefix) :].split("/")[:-1]
        for depth in range(len(folders)):
            name = prefix + "/".join(folders[: depth + 1])
            found.setdefault(name, {"type": "directory", "path": name, "oid": "0" * 40, "size": 0})
        found[path] = entry(path, blob)
    if under and not found:
        return None
    return [e for e in found.values() if recursive or "/" not in e["path"][len(prefix) :]]

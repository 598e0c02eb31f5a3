"""The loopback Hub's writing side: repositories, uploads, commits, tags, pull requests."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import yaml

from tests.hub.reading import commit_of
from tests.hub.store import Blob, PullRequest, Repo, User
from tests.hub.wire import RefusedError, Request, Response, as_json

if TYPE_CHECKING:
    from tests.hub.server import Hub

LFS_ENDINGS = (".safetensors", ".bin", ".gz", ".zip", ".pt")
LFS_SIZE = 10 * 2**20


def create(hub: Hub, request: Request) -> Response:
    """`POST /api/repos/create`; one that exists is a 409 that still says where it is."""
    user, values = hub.writer(request), request.json()
    owner = values.get("organization") or user.name
    repo_id = f"{owner}/{values['name']}"
    if owner not in {user.name, *user.orgs}:
        raise RefusedError(
            403, f"You don't have the rights to create a model under the namespace {owner}"
        )
    if repo_id in hub.repos:
        message = "You already created this model repo"
        return as_json({"error": message, "url": f"{hub.endpoint}/{repo_id}"}, 409)
    private = values.get("private", False) or values.get("visibility") == "private"
    hub.repos[repo_id] = Repo(repo_id, private=private)
    hub.repos[repo_id].commit(
        {".gitattributes": Blob(b"*.safetensors filter=lfs\n", lfs=False)}, "initial commit"
    )
    return as_json({"url": f"{hub.endpoint}/{repo_id}"})


def delete(hub: Hub, request: Request) -> Response:
    """`DELETE /api/repos/delete`."""
    values = request.json()
    repo_id = f"{values.get('organization') or hub.writer(request).name}/{values['name']}"
    if hub.repos.pop(repo_id, None) is None:
        raise RefusedError(404, "Repository not found", "RepoNotFound")
    return as_json({})


def settings(hub: Hub, request: Request, repo_id: str) -> Response:
    """`PUT /api/models/{id}/settings`."""
    repo, values = hub.writable(repo_id, request), request.json()
    if "visibility" in values:
        repo.private = values["visibility"] == "private"
    repo.gated = values.get("gated", repo.gated)
    return as_json({})


def validate_yaml(hub: Hub, request: Request) -> Response:
    """`POST /api/validate-yaml`: the card's front matter must be a mapping of sound types."""
    text = request.json()["content"]
    try:
        values = yaml.safe_load(text[4:].partition("\n---")[0]) if text.startswith("---\n") else {}
    except yaml.YAMLError as error:
        return as_json({"errors": [{"message": str(error)}], "warnings": []}, 400)
    errors = [{"message": message} for message in _complaints(values)]
    return as_json({"errors": errors, "warnings": []}, 400 if errors else 200)


def _complaints(values: Any) -> list[str]:
    if not isinstance(values, dict):
        return ["the metadata is no mapping"]
    found = []
    for key in ("language", "tags", "datasets", "base_model"):
        given = values.get(key, [])
        items = given if isinstance(given, list) else [given]
        if not all(isinstance(item, str) for item in items):
            found.append(f'"{key}" must be a string or a list of strings')
    if values.get("base_model_relation", "adapter") not in {
        "adapter",
        "finetune",
        "merge",
        "quantized",
    }:
        found.append('"base_model_relation" must be one of adapter, finetune, merge, quantized')
    return found


def preupload(hub: Hub, request: Request, repo_id: str, rev: str) -> Response:
    """`POST /api/models/{id}/preupload/{rev}`: which files go as LFS, and what is there now."""
    repo = (
        hub.readable(repo_id, request)
        if request.flag("create_pr")
        else hub.writable(repo_id, request)
    )
    there = commit_of(repo, rev).files
    answered = []
    for item in request.json()["files"]:
        path, size = item["path"], item["size"]
        lfs = size > 0 and (path.endswith(LFS_ENDINGS) or size > LFS_SIZE)
        mode = {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
        answered.append(mode | ({"oid": there[path].etag} if path in there else {}))
    return as_json({"files": answered})


def batch(hub: Hub, request: Request, repo_id: str) -> Response:
    """`POST /{id}.git/info/lfs/objects/batch`: where to put each object."""
    values = request.json()
    if "ref" in values:
        hub.writable(repo_id, request)
    else:
        hub.readable(repo_id, request)
    objects = []
    for item in values["objects"]:
        oid = item["oid"]
        actions = {
            "upload": {"href": f"{hub.storage}/upload/{oid}"},
            "verify": {"href": f"{hub.endpoint}/{repo_id}.git/info/lfs/verify"},
        }
        objects.append(item | ({} if oid in hub.objects else {"actions": actions}))
    return as_json({"transfer": "basic", "objects": objects})


def upload(hub: Hub, request: Request, oid: str) -> Response:
    """`PUT {storage}/upload/{oid}`."""
    blob = Blob(request.body, lfs=True)
    if blob.sha256 != oid:
        raise RefusedError(400, "content does not have the announced hash")
    hub.objects[oid] = blob.data
    return Response(200)


def verify(hub: Hub, request: Request, repo_id: str) -> Response:
    """`POST {verify.href}`."""
    values = request.json()
    there = hub.objects.get(values["oid"])
    if there is None or len(there) != values["size"]:
        raise RefusedError(404, "object was not uploaded")
    return as_json({})


def commit(hub: Hub, request: Request, repo_id: str, rev: str) -> Response:
    """`POST /api/models/{id}/commit/{rev}`: newline-delimited JSON."""
    proposed = request.flag("create_pr")
    repo = hub.readable(repo_id, request) if proposed else hub.writable(repo_id, request)
    user = hub.writer(request)
    head, *lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    ref, before, value = rev, commit_of(repo, rev), head["value"]
    parent = value.get("parentCommit")
    if parent and not before.oid.startswith(parent):
        raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
    files = dict(before.files)
    for line in lines:
        _change(hub, files, line)
    pull = _new_pull(repo, user, value["summary"], ref) if proposed else None
    made = repo.commit(
        files,
        value["summary"],
        description=value.get("description") or "",
        author=user.name,
        ref=f"refs/pr/{pull.number}" if pull else ref,
        parent=before.oid,
    )
    answer = {"commitOid": made.oid, "commitUrl": f"{hub.endpoint}/{repo_id}/commit/{made.oid}"}
    url = {"pullRequestUrl": f"{hub.endpoint}/{repo_id}/discussions/{pull.number}"} if pull else {}
    return as_json(answer | url)


def _new_pull(repo: Repo, user: User, title: str, base: str) -> PullRequest:
    number = len(repo.pulls) + 1
    repo.pulls[number] = PullRequest(number, title, user.name, base)
    return repo.pulls[number]


def _change(hub: Hub, files: dict[str, Blob], line: dict[str, Any]) -> None:
    value = line["value"]
    path = value["path"]
    if line["key"] == "file":
        files[path] = Blob(base64.b64decode(value["content"]), lfs=False)
    elif line["key"] == "lfsFile":
        if value["oid"] not in hub.objects:
            raise RefusedError(400, f"LFS object {value['oid']} was never uploaded")
        files[path] = Blob(hub.objects[value["oid"]], lfs=True)
    elif line["key"] == "deletedFolder":
        for inside in [name for name in files if name.startswith(path)]:
            del files[inside]
    elif files.pop(path, None) is None:
        raise RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")


def tag(hub: Hub, request: Request, repo_id: str, rev: str) -> Response:
    """`POST` (make) and `DELETE /api/models/{id}/tag/{rev}`."""
    repo, name = hub.writable(repo_id, request), rev
    if request.method == "DELETE":
        if repo.tags.pop(name, None) is None:
            raise RefusedError(404, "Tag not found", "RevisionNotFound")
        return as_json({})
    wanted = request.json()["tag"]
    if wanted in repo.tags:
        raise RefusedError(409, f"Tag reference exists already: {wanted}")
    repo.tags[wanted] = commit_of(repo, name).oid
    return as_json({})


def branch(hub: Hub, request: Request, repo_id: str, rev: str) -> Response:
    """`POST` (make) and `DELETE /api/models/{id}/branch/{branch}`."""
    repo, name = hub.writable(repo_id, request), rev
    if request.method == "DELETE":
        repo.branches.pop(name, None)
        return as_json({})
    if name in repo.branches:
        raise RefusedError(409, f"Reference already exists: {name}")
    repo.branches[name] = commit_of(repo, request.json().get("startingPoint", "main")).oid
    return as_json({})

"""The loopback Hub's reading side: accounts, models, lists, trees, files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode

from tests.hub import answers
from tests.hub.store import Blob, Commit, Repo
from tests.hub.wire import RefusedError, Request, Response, as_json

if TYPE_CHECKING:
    from tests.hub.server import Hub

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def whoami(hub: Hub, request: Request) -> Response:
    """`GET /api/whoami-v2`."""
    user = hub.user(request)
    if user is None:
        raise RefusedError(401, "Invalid username or password.")
    orgs = [{"type": "org", "name": org, "fullname": org} for org in user.orgs]
    token = {"displayName": "test", "role": "write" if user.write else "read"}
    auth = {"type": "access_token", "accessToken": token}
    return as_json({"type": "user", "name": user.name, "orgs": orgs, "auth": auth})


def models(hub: Hub, request: Request) -> Response:
    """`GET /api/models`: filters (all must be in the tags), author, search, sort, pages."""
    query = request.query
    found = [repo for repo in hub.repos.values() if hub.visible(repo, request) and repo.commits]
    wanted = set(query.get("filter", []))
    found = [r for r in found if wanted <= set(answers.model(r, r.head)["tags"])]
    if author := query.get("author"):
        found = [repo for repo in found if repo.owner == author[0]]
    for word in query.get("search", []):
        found = [repo for repo in found if word.lower() in repo.id.lower()]
    key = query.get("sort", ["createdAt"])[0]
    found.sort(key=lambda repo: (answers.model(repo, repo.head).get(key, 0), repo.id), reverse=True)
    return _page(hub, request, [answers.listed(repo, query) for repo in found])


def model(hub: Hub, request: Request, repo_id: str, rev: str = "main") -> Response:
    """`GET /api/models/{id}[/revision/{rev}]`."""
    repo = hub.readable(repo_id, request)
    blobs = request.flag("blobs")
    return as_json(answers.model(repo, commit_of(repo, rev), blobs=blobs))


def auth_check(hub: Hub, request: Request, repo_id: str) -> Response:
    """`GET /api/models/{id}/auth-check`."""
    hub.open(hub.readable(repo_id, request), request)
    return as_json({})


def tree(hub: Hub, request: Request, repo_id: str, rev: str, path: str = "") -> Response:
    """`GET /api/models/{id}/tree/{rev}[/{path}]`."""
    repo = hub.readable(repo_id, request)
    found = answers.tree(commit_of(repo, rev), path or "", recursive=request.flag("recursive"))
    if found is None:
        raise RefusedError(404, f"{path} does not exist on {rev}", "EntryNotFound")
    return _page(hub, request, found)


def paths_info(hub: Hub, request: Request, repo_id: str, rev: str) -> Response:
    """`POST /api/models/{id}/paths-info/{rev}`, form-encoded or JSON."""
    commit = commit_of(hub.readable(repo_id, request), rev)
    if "json" in request.headers.get("content-type", ""):
        paths = request.json()["paths"]
    else:
        paths = parse_qs(request.body.decode()).get("paths", [])
    return as_json([answers.entry(p, commit.files[p]) for p in paths if p in commit.files])


def refs(hub: Hub, request: Request, repo_id: str) -> Response:
    """`GET /api/models/{id}/refs`."""
    repo = hub.readable(repo_id, request)

    def listed(names: dict[str, str], under: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"{under}{name}", "targetCommit": oid}
            for name, oid in names.items()
        ]

    branches = {n: o for n, o in repo.branches.items() if not n.startswith("refs/pr/")}
    pulls = {n: o for n, o in repo.branches.items() if n.startswith("refs/pr/")}
    values: dict[str, Any] = {
        "branches": listed(branches, "refs/heads/"),
        "converts": [],
        "tags": listed(repo.tags, "refs/tags/"),
    }
    return as_json(
        values | ({"pullRequests": listed(pulls, "")} if request.flag("include_prs") else {})
    )


def commits(hub: Hub, request: Request, repo_id: str, rev: str) -> Response:
    """`GET /api/models/{id}/commits/{rev}`."""
    repo = hub.readable(repo_id, request)
    found = [
        {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.description,
            "date": answers.moment(commit.date),
            "authors": [{"user": commit.author}],
        }
        for commit in repo.history(commit_of(repo, rev).oid)
    ]
    return _page(hub, request, found)


def discussion(hub: Hub, request: Request, repo_id: str, number: str) -> Response:
    """`GET /api/models/{id}/discussions/{number}`."""
    repo = hub.readable(repo_id, request)
    pull = repo.pulls[int(number)]
    date = answers.moment(commit_of(repo, f"refs/pr/{number}").date)
    data = {"edited": False, "hidden": False, "latest": {"raw": ""}}
    event = {"id": "1", "type": "comment", "createdAt": date, "data": data}
    return as_json(
        {
            "num": pull.number,
            "title": pull.title,
            "status": "open",
            "isPullRequest": True,
            "createdAt": date,
            "author": {"name": pull.author},
            "repo": {"name": repo.id, "type": "model"},
            "events": [event | {"author": {"name": pull.author}}],
            "changes": {"base": "refs/heads/main"},
            "filesWithConflicts": [],
            "diff": "",
        }
    )


def file(hub: Hub, request: Request, repo_id: str, rev: str, path: str) -> Response:
    """`HEAD` and `GET /{id}/resolve/{rev}/{path}`; LFS files are on the other host."""
    repo = hub.readable(repo_id, request)
    hub.open(repo, request)
    commit = commit_of(repo, rev)
    blob = commit.files.get(path)
    if blob is None:
        missing = RefusedError(404, f"{path} does not exist on {rev}", "EntryNotFound")
        missing.response.headers["X-Repo-Commit"] = commit.oid
        raise missing
    named = {"X-Repo-Commit": commit.oid}
    if not blob.lfs:
        return _bytes(request, blob, named | {"ETag": f'"{blob.oid}"'})
    hub.objects[blob.sha256] = blob.data
    return Response(
        302,
        headers=named
        | {
            "X-Linked-Etag": f'"{blob.etag}"',
            "X-Linked-Size": str(len(blob.data)),
            "Location": f"{hub.storage}/files/{blob.sha256}?signature=0",
        },
    )


def stored(hub: Hub, request: Request, oid: str) -> Response:
    """`GET {storage}/files/{oid}`: an LFS file's bytes."""
    if oid not in hub.objects:
        raise RefusedError(404, "no such object")
    return _bytes(request, Blob(hub.objects[oid], lfs=True), {"ETag": f'"{oid}"'})


def commit_of(repo: Repo, revision: str) -> Commit:
    """Return the commit of a revision, or refuse as the Hub does."""
    commit = repo.resolve(revision)
    if commit is None:
        raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def _bytes(request: Request, blob: Blob, headers: dict[str, str]) -> Response:
    headers |= {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    match = RANGE.fullmatch(request.headers.get("range", ""))
    if match is None:
        return Response(200, blob.data, headers)
    start, total = int(match[1]), len(blob.data)
    end = min(int(match[2] or total - 1), total - 1)
    if start >= total:
        return Response(416, b"", headers | {"Content-Range": f"bytes */{total}"})
    part = {"Content-Range": f"bytes {start}-{end}/{total}"}
    return Response(206, blob.data[start : end + 1], headers | part)


def _page(hub: Hub, request: Request, items: list[Any]) -> Response:
    """Return one page, and where the next is in `Link`, as an absolute URL with a cursor."""
    start = int(request.query.get("cursor", ["0"])[0])
    limit = int(request.query.get("limit", [hub.page_size])[0])
    end = start + min(limit, hub.page_size)
    answer = as_json(items[start:end])
    if end < len(items):
        query = {key: value for key, value in request.query.items() if key != "cursor"}
        more = urlencode({**query, "cursor": end}, doseq=True)
        answer.headers["Link"] = (
            f'<{hub.endpoint}{quote(request.path, safe="/%")}?{more}>; rel="next"'
        )
    return answer

"""A Hub to test against: in this process, on 127.0.0.1, speaking the protocol as it is documented.

    with Hub() as hub:
        hub.account("hf_anna", "anna", orgs=("lab",))
        hub.publish("lab/en-wiki", {"adapter.json": b"..."})
        HfApi(endpoint=hub.endpoint).list_models(filter="peft")
        hub.fails("GET", "/tree/", 503, times=2)
        hub.requests          # all that came, in order

A second port plays the other host, where the bytes of LFS files are.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from tests.hub import reading, writing
from tests.hub.store import Blob, Commit, Repo, User
from tests.hub.wire import Alter, Fault, RefusedError, Request, Response, as_json, failure, request

ID = r"(?P<repo_id>[^/]+(?:/[^/]+)?)"
REV = r"(?P<rev>[^/]+)"
READ, WRITE, CHANGE = ("GET", "HEAD"), ("POST",), ("POST", "DELETE")

Handler = Callable[..., Response]
ROUTES: tuple[tuple[tuple[str, ...], str, Handler], ...] = (
    (READ, "/api/whoami-v2", reading.whoami),
    (READ, "/api/models/?", reading.models),
    (WRITE, "/api/repos/create", writing.create),
    (("DELETE",), "/api/repos/delete", writing.delete),
    (WRITE, "/api/validate-yaml", writing.validate_yaml),
    (READ, f"/api/models/{ID}/revision/{REV}", reading.model),
    (READ, f"/api/models/{ID}/auth-check(?:/write)?", reading.auth_check),
    (READ, f"/api/models/{ID}/tree/{REV}(?:/(?P<path>.*))?", reading.tree),
    (WRITE, f"/api/models/{ID}/paths-info/{REV}", reading.paths_info),
    (READ, f"/api/models/{ID}/refs", reading.refs),
    (READ, f"/api/models/{ID}/commits/{REV}", reading.commits),
    (READ, f"/api/models/{ID}/discussions/(?P<number>\\d+)", reading.discussion),
    (("PUT",), f"/api/models/{ID}/settings", writing.settings),
    (WRITE, f"/api/models/{ID}/preupload/{REV}", writing.preupload),
    (WRITE, f"/api/models/{ID}/commit/{REV}", writing.commit),
    (CHANGE, f"/api/models/{ID}/tag/{REV}", writing.tag),
    (CHANGE, f"/api/models/{ID}/branch/{REV}", writing.branch),
    (READ, f"/api/models/{ID}", reading.model),
    (WRITE, f"/{ID}\\.git/info/lfs/objects/batch", writing.batch),
    (WRITE, f"/{ID}\\.git/info/lfs/verify", writing.verify),
    (READ, f"/{ID}/resolve/{REV}/(?P<path>.+)", reading.file),
)
STORAGE_ROUTES: tuple[tuple[tuple[str, ...], str, Handler], ...] = (
    (("PUT",), "/upload/(?P<oid>[0-9a-f]{64})", writing.upload),
    (READ, "/files/(?P<oid>[0-9a-f]{64})", reading.stored),
)


class Hub:
    """The server; use it in a `with` block.

    Args:
        page_size: entries on one page of a list or tree.
    """

    def __init__(self, *, page_size: int = 1000) -> None:
        self.page_size = page_size
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, User] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self._lock = threading.RLock()
        self._servers = [_Server(self, "hub"), _Server(self, "storage")]
        self.endpoint, self.storage = (server.url for server in self._servers)

    def __enter__(self) -> Hub:
        for server in self._servers:
            server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.stop()

    def account(
        self, token: str, name: str, *, orgs: tuple[str, ...] = (), write: bool = True
    ) -> str:
        """Let a token belong to a user, and return the token."""
        self.tokens[token] = User(name, orgs, write)
        return token

    def publish(
        self,
        repo_id: str,
        files: Mapping[str, bytes | str],
        *,
        private: bool = False,
        gated: Any = False,
        title: str = "change",
    ) -> Commit:
        """Add or change files of a repository (made where it is not there), as its owner would."""
        repo = self.repos.setdefault(repo_id, Repo(repo_id))
        repo.private, repo.gated = private, gated
        given = {p: d.encode() if isinstance(d, str) else d for p, d in files.items()}
        blobs = {p: Blob(d, lfs=p.endswith(writing.LFS_ENDINGS)) for p, d in given.items()}
        before = repo.head.files if repo.commits else {}
        return repo.commit({**before, **blobs}, title)

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Return what a repository holds at a revision."""
        commit = reading.commit_of(self.repos[repo_id], revision)
        return {path: blob.data for path, blob in commit.files.items()}

    def fails(
        self,
        method: str,
        path: str,
        status: int,
        *,
        times: int = 1,
        done: bool = False,
        **headers: str,
    ) -> None:
        """Answer requests with a failure; `done`: although they were carried out."""
        answer = failure(status, f"made to fail with {status}")
        answer.headers |= {key.replace("_", "-"): value for key, value in headers.items()}
        self.alters(method, path, lambda _request, _answer: answer, times=times, before=not done)

    def cuts(self, method: str, path: str, after: int, *, times: int = 1) -> None:
        """Announce the whole answer, send `after` bytes of it, and close the connection."""

        def cut(_request: Request, answer: Response) -> Response:
            answer.cut = after
            return answer

        self.alters(method, path, cut, times=times)

    def alters(
        self, method: str, path: str, alter: Alter, *, times: int = -1, before: bool = False
    ) -> None:
        """Change the answers to requests whose path fits a pattern; `times` -1 is for ever."""
        self.faults.append(Fault(method, re.compile(path), alter, times, before))

    def asked(self, method: str, path: str) -> list[Request]:
        """Return the requests that came by method and pattern."""
        return [r for r in self.requests if r.method == method and re.search(path, r.path)]

    # ------------------------------------------------------------- who may do what

    def user(self, request: Request) -> User | None:
        """Return who asks; a token that nobody has is refused outright."""
        if request.token is None:
            return None
        if request.token not in self.tokens:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return self.tokens[request.token]

    def visible(self, repo: Repo, request: Request) -> bool:
        """Whether who asks may know of a repository."""
        user = self.user(request)
        return not repo.private or (user is not None and user.owns(repo))

    def readable(self, repo_id: str, request: Request) -> Repo:
        """Return a repository that who asks may know of."""
        repo = self.repos.get(repo_id)
        if repo is not None and self.visible(repo, request):
            return repo
        if self.user(request) is None:
            # over plain http the client goes by the code alone
            raise RefusedError(401, "Invalid username or password.", "RepoNotFound")
        raise RefusedError(404, "Repository not found", "RepoNotFound")

    def open(self, repo: Repo, request: Request) -> None:
        """Refuse the files of a gated repository to who was not let in."""
        user = self.user(request)
        if repo.gated and not (user and (user.owns(repo) or user.name in repo.readers)):
            raise RefusedError(
                403 if user else 401, f"Access to model {repo.id} is restricted", "GatedRepo"
            )

    def writer(self, request: Request) -> User:
        """Return who asks, if the token may write."""
        user = self.user(request)
        if user is None:
            raise RefusedError(401, "Invalid username or password.")
        if not user.write:
            raise RefusedError(403, "This token has read rights only")
        return user

    def writable(self, repo_id: str, request: Request) -> Repo:
        """Return a repository that who asks may change."""
        repo, user = self.readable(repo_id, request), self.writer(request)
        if not user.owns(repo):
            raise RefusedError(403, "You have read access but not the required permissions")
        return repo

    # ------------------------------------------------------------------ answering

    def answer(self, request: Request) -> Response:
        """Return the answer to a request, after the faults that strike."""
        with self._lock:
            self.requests.append(request)
            struck = [fault for fault in self.faults if fault.takes(request)]
            answer = Response() if any(f.before for f in struck) else self._carry_out(request)
            for fault in struck:
                answer = fault.alter(request, answer)
            return answer

    def _carry_out(self, request: Request) -> Response:
        routes = ROUTES if request.host == "hub" else STORAGE_ROUTES
        for methods, pattern, handler in routes:
            match = re.fullmatch(pattern, request.path)
            if match and request.method in methods:
                named = {key: unquote(value) for key, value in match.groupdict().items() if value}
                try:
                    return handler(self, request, **named)
                except RefusedError as refusal:
                    return refusal.response
        return as_json({"error": f"no such address: {request.path}"}, 404)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: Hub, role: str) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.hub = hub
        self.role = role
        name = "127.0.0.1" if role == "hub" else "localhost"  # clients go by names, not by ports
        self.url = f"http://{name}:{self.server_port}"
        self.connections: set[Any] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self.connections):  # kept alive by clients
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the tests."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 20

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = request(self.command, self.path, self.headers, body, self.server.role)
        self._send(self.server.hub.answer(asked))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # http.server looks them up by these names

    def _send(self, answer: Response) -> None:
        self.send_response(answer.status)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        if answer.cut is not None:
            headers["Connection"] = "close"
            self.close_connection = True
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.cut])

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the requests are kept."""

"""Requests, answers and faults of the loopback Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One request as it arrived; `host` is `hub` or `storage` (the other host of LFS files)."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    host: str

    @property
    def token(self) -> str | None:
        """The bearer token that came along."""
        value = self.headers.get("authorization", "")
        return value.removeprefix("Bearer ") if value.startswith("Bearer ") else None

    @property
    def agent(self) -> str:
        """The user-agent."""
        return self.headers.get("user-agent", "")

    def json(self) -> Any:
        """Return the body's JSON values."""
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        """Whether a query parameter is switched on."""
        return self.query.get(name, ["false"])[-1] in {"1", "true", "True"}


@dataclass
class Response:
    """One answer.  `cut` sends only so many bytes of the body, then closes the connection."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


def request(method: str, target: str, headers: Message, body: bytes, host: str) -> Request:
    """Return the request of a request line, headers and body."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    lower = {key.lower(): value for key, value in headers.items()}
    return Request(method, parts.path, query, lower, body, host)


def as_json(values: Any, status: int = 200, **headers: str) -> Response:
    """Return an answer in JSON."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    body = json.dumps(values).encode()
    return Response(status, body, {"Content-Type": "application/json", **named})


def failure(status: int, message: str, code: str | None = None) -> Response:
    """Return a refusal as the Hub spells it: a message, and a code that the client goes by."""
    answer = as_json({"error": message}, status, X_Error_Message=message)
    if code is not None:
        answer.headers["X-Error-Code"] = code
    return answer


class RefusedError(Exception):
    """Raised by a handler to answer with a failure."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.response = failure(status, message, code)


Alter = Callable[[Request, Response], Response]


@dataclass
class Fault:
    """Changes the answers to requests that fit, as many times as said.

    Where `before` is set the request is not carried out at all, else it is, and only the answer is
    changed: that is how a commit can succeed while the client hears of a failure.
    """

    method: str
    path: re.Pattern[str]
    alter: Alter
    times: int
    before: bool
    host: str | None = None

    def takes(self, request: Request) -> bool:
        """Whether this fault strikes now; counts."""
        fits = (
            self.times != 0
            and self.method in {request.method, "*"}
            and self.host in {None, request.host}
            and self.path.search(request.path) is not None
        )
        self.times -= int(fits)
        return fits

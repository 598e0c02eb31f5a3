"""Which token goes to which Hub, and a guard that lets none go anywhere else.

The client sends its stored token to whatever `HF_ENDPOINT` names, follows `Link: rel="next"` with
it to any host, and posts it to the address that an upload's answer gives for verification.  Here a
token belongs to one origin (scheme, host, port); a hook on every request of the client takes it off
where a request goes elsewhere.  The hooks that bound what a Hub answers are put there as well.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants, get_token, set_client_factory
from huggingface_hub.utils import _http

from adapterhub_lite.hub import budget

DEFAULT = "https://huggingface.co"

_PORTS = {"http": 80, "https": 443}
_lock = threading.Lock()
_owners: dict[str, Counter[str]] = {}
"""Origins by token, each with how many blocks want it: where a token in use here may go."""


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, spelt in one way."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return f"{scheme}://{(parts.hostname or '').lower()}:{parts.port or _PORTS.get(scheme, 0)}"


def choose(endpoint: str, given: str | None) -> str | None:
    """Return the token for an endpoint: the one given for it, else what may be sent unasked.

    The stored token (`hf auth login`) is for huggingface.co alone.  `HF_TOKEN` stands in the same
    environment as `HF_ENDPOINT`, so who sets both means both.
    """
    if given is not None:
        return given
    if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        return None
    if origin(endpoint) == origin(DEFAULT):
        return get_token()
    return (os.environ.get("HF_TOKEN") or "").strip() or None


@contextmanager
def confined(token: str | None, endpoint: str) -> Iterator[None]:
    """Let a token go to this endpoint and no other as long as the block runs, in any thread."""
    with _lock:
        _install()
    if token is None:
        yield
        return
    here = origin(endpoint)
    with _lock:
        _owners.setdefault(token, Counter())[here] += 1
    try:
        yield
    finally:
        with _lock:
            _owners[token] = _owners[token] - Counter([here])
            if not _owners[token]:
                del _owners[token]


def strip_elsewhere(request: Any) -> None:
    """Take the token off a request that goes to another origin than the token's own."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    allowed = _owners.get(token.strip()) if kind.lower() == "bearer" else None
    if allowed is not None and origin(str(request.url)) not in allowed:
        del request.headers["authorization"]


def _install() -> None:
    """Make every client of the process, also one made anew after an error, ask the guard."""
    # private: there is no public way to keep the factory that a host program has set
    before = _http._GLOBAL_CLIENT_FACTORY  # noqa: SLF001
    if getattr(before, "guarded", False):
        return

    def factory() -> Any:
        client = before()
        hooks = client.event_hooks
        client.event_hooks = {
            **hooks,
            "request": [*hooks.get("request", []), strip_elsewhere, budget.on_request],
            "response": [*hooks.get("response", []), budget.on_answer],
        }
        return client

    factory.guarded = True  # type: ignore[attr-defined]
    set_client_factory(factory)

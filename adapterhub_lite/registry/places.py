"""From the address of an object store to the store."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from adapterhub_lite import digests
from adapterhub_lite.errors import UsageError
from adapterhub_lite.registry.local import LocalStore
from adapterhub_lite.registry.objects import ObjectStore

_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*:")


def open_store(url: str) -> ObjectStore:
    """Return the store at a path, a `file://` URL, or any other URL of fsspec."""
    if "://" not in url:
        return LocalStore(Path(url))
    if url.startswith("file://"):
        parts = urlsplit(url)
        if parts.netloc not in {"", "localhost"}:
            raise UsageError(
                f"`{url}` names a host, and a `file://` URL is of this machine",
                hint="`file:///PATH` has three slashes",
            )
        return LocalStore(Path(unquote(parts.path)))
    if not _PROTOCOL.match(url):
        raise UsageError(f"`{url}` is neither a path nor the URL of an object store")
    from adapterhub_lite.registry.elsewhere import RemoteStore

    return RemoteStore(url, LocalStore(_cache(url)))


def _cache(url: str) -> Path:
    from platformdirs import user_cache_path

    folder = user_cache_path("adapterhub_lite", appauthor=False)
    return folder / "objects" / digests.of_bytes(url.encode())[: digests.SHORT]

"""From the address of an object store to the store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from adapterhub_lite import digests
from adapterhub_lite.registry.local import LocalStore
from adapterhub_lite.registry.objects import ObjectStore


def open_store(url: str) -> ObjectStore:
    """Return the store at a path, a `file://` URL, or any other URL of fsspec."""
    if "://" not in url:
        return LocalStore(Path(url))
    if url.startswith("file://"):
        return LocalStore(Path(unquote(urlsplit(url).path)))
    from adapterhub_lite.registry.elsewhere import RemoteStore

    return RemoteStore(url, LocalStore(_cache(url)))


def _cache(url: str) -> Path:
    from platformdirs import user_cache_path

    folder = user_cache_path("adapterhub_lite", appauthor=False)
    return folder / "objects" / digests.of_bytes(url.encode())[: digests.SHORT]

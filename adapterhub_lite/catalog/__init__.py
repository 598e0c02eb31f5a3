"""The catalogue of public adapters: known by their Hub ids, listed, resolved, not yet pulled.

    adapters.jsonl -> entries.py (one line an adapter) -> remote.py (manifests) -> registry

`load.py` puts them into a registry, `update.py` refreshes them from the Hub, `search.py` finds
them.  Nothing here loads weights.
"""

from __future__ import annotations

from adapterhub_lite.catalog.load import Loaded, load

__all__ = ["Loaded", "load"]

"""Exchange: adapters from and to the folders of other libraries, exactly or not at all.

Data flows: folder -> format (files, keys, head) -> converter (one method) -> manifest and weights.
Light at import, because plugins extend `converter.Converter`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterhub_lite.exchange import formats
    from adapterhub_lite.exchange.converter import Converter
    from adapterhub_lite.exchange.details import Details
    from adapterhub_lite.exchange.exporting import Exported, export, layout_for
    from adapterhub_lite.exchange.importing import import_folder

__all__ = ["Converter", "Details", "Exported", "export", "formats", "import_folder", "layout_for"]

_PLACES = {
    "Converter": "converter",
    "Details": "details",
    "Exported": "exporting",
    "export": "exporting",
    "import_folder": "importing",
    "layout_for": "exporting",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")

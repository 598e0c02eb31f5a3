"""Which adapters do I run for this language?  The public API, a few names from each room.

Names are loaded when they are first used (PEP 562), so `import adapterhub_lite` loads no torch, no
transformers, no database:

    import adapterhub_lite as ahl

    home = ahl.Home.find()
    resolution = ahl.resolve("en", "gv", task="pos", home=home)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adapterhub_lite.version import VERSION

if TYPE_CHECKING:
    from adapterhub_lite.adapter import Adapter, Kind, Manifest, Score
    from adapterhub_lite.composition import Average, Fuse, Parallel, Ref, Stack, parse
    from adapterhub_lite.errors import AhlError, NoResolutionError
    from adapterhub_lite.evaluation import evaluate
    from adapterhub_lite.home import Home
    from adapterhub_lite.merged import merge
    from adapterhub_lite.model.attach import Attachment, attach
    from adapterhub_lite.model.base import Base, load_base, wrap
    from adapterhub_lite.model.fresh import new_adapter
    from adapterhub_lite.prediction import predict
    from adapterhub_lite.registry import Registry
    from adapterhub_lite.resolver import Request, Resolution, resolve
    from adapterhub_lite.training import train_bilingual, train_language, train_task

__all__ = [
    "Adapter",
    "AhlError",
    "Attachment",
    "Average",
    "Base",
    "Fuse",
    "Home",
    "Kind",
    "Manifest",
    "NoResolutionError",
    "Parallel",
    "Ref",
    "Registry",
    "Request",
    "Resolution",
    "Score",
    "Stack",
    "__version__",
    "attach",
    "evaluate",
    "load_base",
    "merge",
    "new_adapter",
    "parse",
    "predict",
    "resolve",
    "train_bilingual",
    "train_language",
    "train_task",
    "wrap",
]

__version__ = VERSION

_NAMES = {
    "adapter": ("Adapter", "Kind", "Manifest", "Score"),
    "composition": ("Average", "Fuse", "Parallel", "Ref", "Stack", "parse"),
    "errors": ("AhlError", "NoResolutionError"),
    "evaluation": ("evaluate",),
    "home": ("Home",),
    "merged": ("merge",),
    "model.attach": ("Attachment", "attach"),
    "model.base": ("Base", "load_base", "wrap"),
    "model.fresh": ("new_adapter",),
    "prediction": ("predict",),
    "registry": ("Registry",),
    "resolver": ("Request", "Resolution", "resolve"),
    "training": ("train_bilingual", "train_language", "train_task"),
}
_MODULE = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module `adapterhub_lite` has no attribute `{name}`")
    value = getattr(import_module(f"adapterhub_lite.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

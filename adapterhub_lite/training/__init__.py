"""Training: language, bilingual and task adapters, and full fine-tuning to compare with.

ahl.train_language("gv", "gv.txt.gz", base="e5-mmt-6")
ahl.train_bilingual("en", "gv", text={"en": "en.txt.gz", "gv": "gv.txt.gz"})
ahl.train_task("pos", train="en-train.conllu", source="en", over="en")

Names are loaded when they are first used: the command line reads the settings, and no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterhub_lite.training.full import FullModel, train_full
    from adapterhub_lite.training.language import train_bilingual, train_language
    from adapterhub_lite.training.settings import LanguageSettings, Settings, TaskSettings
    from adapterhub_lite.training.task import train_task

__all__ = [
    "FullModel",
    "LanguageSettings",
    "Settings",
    "TaskSettings",
    "train_bilingual",
    "train_full",
    "train_language",
    "train_task",
]

_NAMES = {
    "full": ("FullModel", "train_full"),
    "language": ("train_bilingual", "train_language"),
    "settings": ("LanguageSettings", "Settings", "TaskSettings"),
    "task": ("train_task",),
}
_MODULE = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module `adapterhub_lite.training` has no attribute `{name}`")
    value = getattr(import_module(f"adapterhub_lite.training.{_MODULE[name]}"), name)
    globals()[name] = value
    return value

"""Training: language, bilingual and task adapters, and full fine-tuning to compare with.

ahl.train_language("gv", "gv.txt.gz", base="e5-mmt-6")
ahl.train_bilingual("en", "gv", text={"en": "en.txt.gz", "gv": "gv.txt.gz"})
ahl.train_task("pos", train="en-train.conllu", source="en", over="en")
"""

from __future__ import annotations

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

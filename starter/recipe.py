"""The recipe of the starter adapters: which ones there are, and how each is trained.

Found by measuring; what else was tried is in docs/starter.md.
"""

from __future__ import annotations

from adapterhub_lite.training.settings import LanguageSettings, TaskSettings

BASE = "e5-mmt-6"
LANGUAGES = ("en", "gv", "wo", "fo", "mt", "zu", "cy")
PAIRS = (("en", "gv"), ("en", "mt"))
TASKS = {"pos": "token-classification", "nametype": "sequence-classification"}
OVER = {"pos": ("en", "en-gv", "en-mt", None), "nametype": ("en", "en-mt", None)}
"""What each task adapter is trained over; `None` is the base alone, the bar to clear.  CLDR has
three names in Manx, too few to measure name typing with."""
SEEDS = (0, 1, 2)
"""Seeds of the task adapters and of full fine-tuning; language adapters have seed 0."""

LANGUAGE_CONFIG = {"reduction": 4, "invertible": True}
LANGUAGE = LanguageSettings(steps=240, lr=1e-3, block=64, parallel_ratio=(1, 2))
BILINGUAL = LanguageSettings(steps=480, lr=1e-3, block=64, parallel_ratio=(1, 2))
TASK_CONFIG = {"reduction": 8}
TASK = TaskSettings(steps=150, batch_size=16, lr=2e-3, limit=4000)
FULL = TaskSettings(steps=150, batch_size=16, lr=2e-4, limit=4000)

LICENCE = "CC-BY-SA-4.0"
"""Of the adapters: that of the most demanding text they were trained on."""

"""Old and current Hub ids of base models: one model, two names that people type.

Models from before the Hub had namespaces were moved (`xlm-roberta-base` is now
`FacebookAI/xlm-roberta-base`), and the Hub redirects the old id.  Configs, papers and adapters
spell either, so wherever a base is looked up by name both mean the same.
"""

from __future__ import annotations

MOVED: dict[str, tuple[str, ...]] = {
    "FacebookAI": (
        "roberta-base",
        "roberta-large",
        "roberta-large-mnli",
        "xlm-roberta-base",
        "xlm-roberta-large",
    ),
    "albert": ("albert-base-v1", "albert-base-v2", "albert-large-v2"),
    "distilbert": (
        "distilbert-base-cased",
        "distilbert-base-german-cased",
        "distilbert-base-multilingual-cased",
        "distilbert-base-uncased",
        "distilgpt2",
        "distilroberta-base",
    ),
    "google-bert": (
        "bert-base-cased",
        "bert-base-chinese",
        "bert-base-german-cased",
        "bert-base-multilingual-cased",
        "bert-base-multilingual-uncased",
        "bert-base-uncased",
        "bert-large-cased",
        "bert-large-uncased",
    ),
    "google-t5": ("t5-11b", "t5-3b", "t5-base", "t5-large", "t5-small"),
    "openai-community": ("gpt2", "gpt2-large", "gpt2-medium", "gpt2-xl", "openai-gpt"),
}
"""Namespace to the old ids that moved there."""

_CURRENT = {old: f"{space}/{old}" for space, names in MOVED.items() for old in names}
_OLD = {new: old for old, new in _CURRENT.items()}


def current(name: str) -> str:
    """Return the current Hub id of a base that was moved, else `name`."""
    return _CURRENT.get(name, name)


def other(name: str) -> str:
    """Return the other spelling of a base that was moved, else `name`."""
    return _CURRENT.get(name) or _OLD.get(name) or name

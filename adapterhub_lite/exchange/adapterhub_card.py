"""What the card of an AdapterHub repository states: language, task, data set, licence, base.

Only the front matter is read.  Adapters of the archived Hub carry their key there as a tag,
`adapterhub:tr/wiki` or `adapterhub:nli/multinli`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapterhub_lite import languages
from adapterhub_lite.adapter import Kind, LanguageUse, Role
from adapterhub_lite.errors import AhlError, ExchangeError
from adapterhub_lite.exchange.details import Details
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.foreign.text import OBEYED

FILE = "README.md"
_TAG = "adapterhub:"
_READER = Reader(ExchangeError)
_READ = ("language", "tags", "datasets", "license", "base_model")


def read_card(folder: Path) -> tuple[Details, str | None]:
    """Return what a folder's card states, and its base model; nothing where there is no card.

    Raises:
        ExchangeError: a text that is read here holds what a terminal would obey.
    """
    try:
        front = _READER.front_matter_file(folder / FILE)
    except (FileNotFoundError, ExchangeError):  # free text: what cannot be read states nothing
        return Details(), None
    for key in _READ:
        for value in _texts(front.get(key)):
            if OBEYED.search(value):
                raise ExchangeError(
                    f"`{folder / FILE}`: `{key}` is `{value[:60]}`, which a terminal would obey"
                )
    tags = [_normal(tag) for tag in _texts(front.get("language"))]
    language = tags[0] if len(tags) == 1 else None
    keys = [t.removeprefix(_TAG) for t in _texts(front.get("tags")) if t.startswith(_TAG)]
    kind, task, dataset = _from_key(keys[0] if len(keys) == 1 else "", language)
    datasets = _texts(front.get("datasets"))
    role = Role.LANGUAGE if kind is Kind.LANGUAGE else Role.SOURCE
    licences = _texts(front.get("license"))
    details = Details(
        kind=kind,
        languages=(LanguageUse(language, role),) if language and kind else (),
        task=task,
        dataset=datasets[0] if len(datasets) == 1 else dataset,
        licence=licences[0] if len(licences) == 1 else None,
    )
    bases = _texts(front.get("base_model"))
    return details, bases[0] if len(bases) == 1 else None


def _from_key(key: str, language: str | None) -> tuple[Kind | None, str | None, str | None]:
    """Return kind, task and data set that a key of the archived Hub says.

    Its first half is a language for language adapters and a task for the others.  It is taken for a
    language only where the card says the same, since `nli` could be either.
    """
    first, slash, second = key.partition("/")
    if not slash or not first or not second:
        return None, None, None
    if language is not None and _normal(first) == language:
        return Kind.LANGUAGE, None, second
    return Kind.TASK, first, second


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text]


def _normal(tag: str) -> str | None:
    try:
        return languages.normalise(tag)
    except AhlError:
        return None

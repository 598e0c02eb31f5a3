"""The card's front matter: what the Hub lists, filters and counts an adapter by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from adapterhub_lite import languages
from adapterhub_lite.adapter import Adapter, Score

LIBRARIES = {"peft": "peft", "adapterhub": "adapter-transformers"}
"""What the Hub calls the library of each exchange format."""

OWN_LIBRARY = "adapterhub_lite"

PIPELINES = {
    "token-classification": "token-classification",
    "sequence-classification": "text-classification",
    "question-answering": "question-answering",
}
"""The Hub's name for what a task type does, where it has one."""

MOST_RESULTS = 100

_LICENCES = frozenset({
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-2.0", "cc-by-3.0",
    "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "mpl-2.0", "unlicense", "odc-by", "odbl",
})  # fmt: skip
"""Licences that the Hub has an id for (those that adapters come under)."""

_DATASET = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?")


@dataclass(frozen=True)
class Subject:
    """What a card is about: an adapter, and what its registry knows around it.

    Args:
        repo: repository that the card is for.
        layout: other library whose files lie beside ours.
        base_id: Hub id of the base, if it has one.
        scores: recorded scores of compositions with this adapter.
        names: what to call adapters, by digest.
        below: folder of the adapter in the repository, with a slash at its end.
        peer_task: what the other library's config calls its task, if it does.
        notes: what its users should know.
        lacking: why other libraries' files could not be made in this home.
    """

    adapter: Adapter
    repo: str
    layout: str | None = None
    base_id: str | None = None
    scores: Sequence[Score] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    below: str = ""
    peer_task: str | None = None
    notes: Sequence[str] = ()
    lacking: str | None = None


def front_matter(subjects: Sequence[Subject]) -> str:
    """Return the YAML block of a card, for one adapter or for all of a stack."""
    first = subjects[-1]  # of a stack, what is on top does the work
    manifest = first.adapter.manifest
    tags = [use.tag for s in subjects for use in s.adapter.manifest.languages]
    data = ModelCardData(
        language=_once(tag.partition("-")[0] for tag in tags) or None,
        **_licence([s.adapter.manifest.licence for s in subjects]),
        library_name=_library([s.layout for s in subjects]),
        base_model=first.base_id,
        base_model_relation="adapter" if first.base_id else None,
        pipeline_tag=PIPELINES.get(manifest.head.type) if manifest.head else None,
        datasets=_datasets(subjects),
        metrics=_once(score.metric for score in first.scores) or None,
        tags=_tags(subjects, tags),
        model_name=first.repo.partition("/")[2] or first.repo,
        eval_results=_results(first) or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _once(items: Any) -> list[str]:
    return list(dict.fromkeys(items))


def _library(layouts: Sequence[str | None]) -> str:
    known = {LIBRARIES.get(layout or "", OWN_LIBRARY) for layout in layouts}
    return known.pop() if len(known) == 1 else OWN_LIBRARY


def _licence(given: Sequence[str | None]) -> dict[str, Any]:
    named = _once(licence for licence in given if licence)
    if not named:
        return {}
    if len(named) == 1 and named[0].lower() in _LICENCES:
        return {"license": named[0].lower()}
    return {"license": "other", "license_name": "-".join(named).lower().replace(" ", "-")}


def _datasets(subjects: Sequence[Subject]) -> list[str] | None:
    named = _once(s.adapter.manifest.dataset for s in subjects if s.adapter.manifest.dataset)
    return [name for name in named if _DATASET.fullmatch(name)] or None


def _tags(subjects: Sequence[Subject], language_tags: Sequence[str]) -> list[str]:
    found = [OWN_LIBRARY, "cross-lingual"]
    for subject in subjects:
        manifest = subject.adapter.manifest
        found += [f"{manifest.kind}-adapter", manifest.method]
        found += [manifest.task] if manifest.task else []
    found += ["safetensors", *(tag for tag in language_tags if "-" in tag)]
    base = subjects[-1].base_id
    return _once([*found, *([f"base_model:adapter:{base}"] if base else [])])


def _results(subject: Subject) -> list[EvalResult]:
    manifest = subject.adapter.manifest
    if manifest.task is None:
        return []
    pipeline = PIPELINES.get(manifest.head.type, "other") if manifest.head else "other"
    return [
        EvalResult(
            task_type=pipeline,
            task_name=manifest.task,
            dataset_type=score.dataset,
            dataset_name=f"{score.dataset}, {languages.name(score.language)}",
            dataset_config=score.language,
            dataset_split=score.split,
            metric_type=score.metric,
            metric_name=f"{score.metric}, as {called(score.composition, subject.names)}",
            metric_value=round(score.value, 4),
        )
        for score in list(subject.scores)[:MOST_RESULTS]
    ]


def called(composition: str, names: Mapping[str, str]) -> str:
    """Return a composition with names in the place of digests."""
    from adapterhub_lite import composition as compositions

    parsed = compositions.parse(composition)
    return str(compositions.rename(parsed, lambda ref: names.get(ref, ref[:12])))

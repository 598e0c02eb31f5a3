"""Every stack that the facts allow is found, and none that they do not.

The oracle reads the text catalogue alone and knows one rule: what takes the place of the language
adapter that a task adapter was trained over has the same base, method and settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from adapterhub_lite import Home, Resolution, resolve
from adapterhub_lite.catalog import entries
from adapterhub_lite.catalog.entries import Entry

ENTRIES = {entry.hub_id: entry for entry in entries.read() if not entry.excluded}
TASKS = [e for e in ENTRIES.values() if e.kind == "task" and (e.trained_over or e.seen)]


@dataclass(frozen=True)
class Possible:
    """A target, and a stack for it by Hub ids, bottom first."""

    target: str
    stack: tuple[str, ...]


def possible(task: Entry) -> Iterator[Possible]:
    below = [ENTRIES[hub_id] for hub_id in task.trained_over or task.seen]
    (stood, *_) = [entry for entry in below if entry.kind == "language"]
    between = tuple(entry.hub_id for entry in below if entry.kind != "language")
    for entry in ENTRIES.values():
        settings = (entry.kind, entry.base, entry.method, entry.config, entry.unknown)
        if settings == ("language", task.base, stood.method, stood.config, []):
            (tag,) = entry.languages["language"]
            yield Possible(tag, (entry.hub_id, *between, task.hub_id))


def ask(task: Entry, target: str, home: Home) -> Resolution:
    """Ask for what a task adapter is for; of several languages, English labels."""
    (source,) = task.languages["source"]
    return resolve(
        "en" if source == "mul" else source,
        target,
        task=task.task or "",
        base=task.base,
        dataset=task.dataset,
        home=home,
    )


def by_hub_id(composition: object) -> tuple[str, ...]:
    return tuple(re.findall(r"([\w.\-/]+)@[0-9a-f]+", str(composition)))


def test_the_oracle_knows_hundreds_of_stacks() -> None:
    assert len(TASKS) == 19
    assert sum(1 for task in TASKS for _ in possible(task)) > 650


@pytest.mark.parametrize("task", TASKS, ids=[task.hub_id for task in TASKS])
def test_each_possible_stack_is_the_answer_or_an_alternative(task: Entry, shipped: Home) -> None:
    for case in possible(task):
        found = ask(task, case.target, shipped)
        stacks = [found.composition, *(other.composition for other in found.alternatives)]
        assert case.stack in map(by_hub_id, stacks), case


@pytest.mark.parametrize("task", TASKS, ids=[task.hub_id for task in TASKS])
def test_no_answer_swaps_in_what_the_facts_do_not_allow(task: Entry, shipped: Home) -> None:
    allowed = {case.stack for other in TASKS for case in possible(other)}
    targets = {case.target for other in TASKS for case in possible(other)}
    for target in sorted(targets):
        found = ask(task, target, shipped)
        for strategy, composition in (
            (found.strategy, found.composition),
            *((other.strategy, other.composition) for other in found.alternatives),
        ):
            if strategy in ("mad-x", "target-ready"):
                assert by_hub_id(composition) in allowed

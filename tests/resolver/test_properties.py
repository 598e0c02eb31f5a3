"""What holds for every registry and request, over registries drawn at random.

`holds_the_rules` says the rules a second time, from the manifests alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from adapterhub_lite.adapter import Adapter, Kind, Score, Underneath
from adapterhub_lite.composition import Average, Composition, Stack, refs
from adapterhub_lite.errors import NoResolutionError
from adapterhub_lite.registry import Registry
from adapterhub_lite.resolver import STRATEGIES, Request, Resolution, answer
from adapterhub_lite.resolver.answer import judged
from adapterhub_lite.resolver.candidates import gather
from adapterhub_lite.resolver.preferences import order
from adapterhub_lite.resolver.rules import Judge
from adapterhub_lite.resolver.scores import recorded
from tests.resolver import registries

Spec = dict[str, Any]

TAGS = ("en", "en", "gv", "gv", "swh", "sw", "ga", "cy", "zu")
CONFIGS: tuple[Spec, ...] = ({}, {}, {}, {"reduction": 2})
METHODS = ("bottleneck",) * 7 + ("lora", "lt-sft")
MADE: tuple[Spec, ...] = (
    {"name": "en", "kind": "language", "languages": ["en"]},
    {"name": "gv", "kind": "language", "languages": ["gv"]},
    {"name": "en-gv", "kind": "bilingual", "languages": ["en", "gv"]},
    {"name": "over-en", "kind": "task", "task": "pos", "languages": ["en"], "over": ["en"]},
    {"name": "over-pair", "kind": "task", "task": "pos", "languages": ["en"], "over": ["en-gv"]},
    {"name": "cycled", "kind": "task", "task": "pos", "languages": ["en"], "seen": ["en", "gv"]},
)
CORE: tuple[Spec, ...] = tuple({**spec, "licence": "mit"} for spec in MADE)
"""Adapters of the published recipes, of which each registry has some."""

MANY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def below(draw: st.DrawFn, name: str) -> Spec:
    """A language or bilingual adapter."""
    tags = draw(st.lists(st.sampled_from(TAGS), min_size=1, max_size=2, unique=True))
    spec = draw(common(name))
    method = draw(st.sampled_from(METHODS))
    config = draw(st.sampled_from(CONFIGS)) if method == "bottleneck" else {}
    kind = "language" if len(tags) == 1 else "bilingual"
    return spec | {"kind": kind, "languages": tags, "method": method, "config": config}


@st.composite
def common(draw: st.DrawFn, name: str) -> Spec:
    spec: Spec = {"name": name, "day": draw(st.integers(0, 2))}
    if draw(st.integers(0, 3)):
        spec["licence"] = draw(st.sampled_from(["mit", "mit", "cc-by-nc-4.0"]))
    if draw(st.integers(0, 5)) == 5:
        spec["remote"] = True
    if draw(st.booleans()):
        spec["tokens"] = draw(st.sampled_from([10, 20]))
    return spec


@st.composite
def registry_specs(draw: st.DrawFn) -> list[Spec]:
    """Some of `CORE`, up to six more language and bilingual adapters, up to four task adapters."""
    under = [draw(below(f"l{i}")) for i in range(draw(st.integers(0, 6)))]
    tasks = [draw(task(f"t{i}", (*CORE[:3], *under))) for i in range(draw(st.integers(0, 4)))]
    core = draw(
        st.lists(st.sampled_from(CORE), min_size=3, unique_by=lambda spec: str(spec["name"]))
    )
    return [*core, *under, *tasks, *({**spec, "absent": True} for spec in CORE if spec not in core)]


@st.composite
def task(draw: st.DrawFn, name: str, under: Sequence[Spec]) -> Spec:
    """A task adapter over nothing, one, two at once or two in turn."""
    spec = draw(common(name))
    spec |= {
        "kind": "task",
        "task": "pos",
        "languages": [draw(st.sampled_from(["en", "en", "sw"]))],
    }
    number = draw(st.sampled_from([0, 1, 1, 1, 2]))
    names = st.sampled_from([spec["name"] for spec in under])
    chosen = draw(st.lists(names, min_size=number, max_size=number, unique=True))
    return spec | {draw(st.sampled_from(["over", "seen"])) if number == 2 else "over": chosen}


requests = st.builds(
    Request,
    source=st.sampled_from(["en", "en", "en", "sw"]),
    target=st.sampled_from(TAGS),
    task=st.just("pos"),
    base=st.just("mini"),
    offline=st.sampled_from([False, False, True]),
    licences=st.sampled_from([(), (), (), ("mit",)]),
    policy=st.sampled_from(["bilingual", "matched", "scores"]),
)


TABLES = ("languages", "underneath", "names", "scores", "adapters")


class Opened:
    """A registry that is emptied and filled for each example; opening one takes longer."""

    def __init__(self, folder: Path) -> None:
        self.registry = registries.opened(folder / "registry.db")
        self.registry.add_base(registries.base("mini"))

    def holding(self, specs: Sequence[Spec]) -> Registry:
        with self.registry.database.write() as connection:
            for table in TABLES:
                connection.execute(text(f"delete from {table}"))
        registries.fill(self.registry, specs)
        return self.registry


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    opened = Opened(tmp_path_factory.mktemp("one"))
    yield opened
    opened.registry.close()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    opened = Opened(tmp_path_factory.mktemp("other"))
    yield opened
    opened.registry.close()


def answered(request: Request, registry: Registry) -> dict[str, Any]:
    """The whole answer or refusal."""
    try:
        return answer(request, registry, registries.METHODS).to_json()
    except NoResolutionError as refused:
        told: dict[str, Any] = refused.resolution.to_json()
        return told


@MANY
@given(specs=registry_specs(), request=requests, data=st.data())
def test_insertion_order_does_not_matter(
    one: Opened, other: Opened, specs: list[Spec], request: Request, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(specs))
    first, second = one.holding(specs), other.holding(shuffled)
    assert answered(request, first) == answered(request, second)


IRRELEVANT: tuple[Spec, ...] = (
    {"name": "x", "kind": "language", "languages": ["fi"]},
    {"name": "x", "kind": "bilingual", "languages": ["en", "fi"]},
    {"name": "x", "kind": "bilingual", "languages": ["fi", "gv"]},
    {"name": "x", "kind": "task", "task": "ner", "languages": ["en"]},
    {"name": "x", "kind": "task", "task": "pos", "languages": ["fi"]},
    {"name": "x", "kind": "domain", "languages": ["en"]},
    {"name": "x", "kind": "language", "languages": ["gv"], "base": "big"},
    {"name": "x", "kind": "task", "task": "pos", "languages": ["en"], "base": "big"},
)


@MANY
@given(specs=registry_specs(), request=requests, extra=st.sampled_from(IRRELEVANT))
def test_an_irrelevant_adapter_changes_nothing(
    one: Opened, specs: list[Spec], request: Request, extra: Spec
) -> None:
    registry = one.holding(specs)
    before = answered(request, registry)
    registries.fill(registry, [extra])
    after = answered(request, registry)
    if before["resolved"]:
        assert after == before
    else:
        assert not after["resolved"]


@MANY
@given(specs=registry_specs(), request=requests, data=st.data())
def test_without_the_chosen_adapter_the_first_alternative_is_chosen(
    one: Opened, specs: list[Spec], request: Request, data: st.DataObject
) -> None:
    registry = one.holding(specs)
    before = answered(request, registry)
    if not before["resolved"]:
        return
    gone = data.draw(st.sampled_from([choice["ref"] for choice in before["choices"]]))
    registry.remove(gone, force=True)
    after = answered(request, registry)
    left = [other for other in before["alternatives"] if gone not in other["composition"]]
    if left:
        assert (after["composition"], after["strategy"]) == (
            left[0]["composition"],
            left[0]["strategy"],
        )
    else:
        assert not after["resolved"]


@MANY
@given(specs=registry_specs(), request=requests)
def test_every_answer_holds_every_rule(one: Opened, specs: list[Spec], request: Request) -> None:
    registry = one.holding(specs)
    try:
        resolution = answer(request, registry, registries.METHODS)
    except NoResolutionError:
        return
    for composition in (
        resolution.composition,
        *(a.composition for a in resolution.alternatives),
    ):
        holds_the_rules(request, [registry.get(ref) for ref in refs(composition)], composition)
    assert_complete(resolution)


def assert_complete(resolution: Resolution) -> None:
    assert [choice.ref for choice in resolution.choices] == list(refs(resolution.composition))
    texts = [str(resolution.composition), *(str(a.composition) for a in resolution.alternatives)]
    assert len(set(texts)) == len(texts)
    assert resolution.explain()


def holds_the_rules(request: Request, stack: list[Adapter], composition: Composition) -> None:
    *under, task = stack
    assert task.manifest.kind is Kind.TASK
    assert task.manifest.task == request.task
    for adapter in stack:
        assert adapter.manifest.method in registries.METHODS.methods
        assert adapter.manifest.base.same_as(registries.base("mini"))
        assert not (request.offline and adapter.remote)
        assert not request.licences or adapter.manifest.licence in request.licences
    for one, other in pairwise(stack):
        assert one.manifest.kind is not Kind.TASK
        assert other is task or other.manifest.kind is not Kind.TASK
    over, seen = task.manifest.trained_over, task.manifest.seen
    levels = composition.parts if isinstance(composition, Stack) else (composition,)
    assert len(levels) - 1 == len(over) + bool(seen)
    for level in levels:
        if isinstance(level, Average):
            assert sum(level.weights) == pytest.approx(1)
            assert 2 <= len(level.parts) <= 5
    for adapter in under:
        assert any(replaces(adapter, was) for was in (*over, *seen))


def replaces(adapter: Adapter, was: Underneath) -> bool:
    found = adapter.manifest
    return (found.config_digest, found.leave_out) == (was.config_digest, was.leave_out)


@MANY
@given(specs=registry_specs(), request=requests, data=st.data())
def test_the_order_is_the_choice_repeated(
    one: Opened, specs: list[Spec], request: Request, data: st.DataObject
) -> None:
    """Also with recorded scores: the rest of the order is the order of the rest."""
    registry = one.holding(specs)
    base = registries.base("mini")
    judge = Judge(request, base, registries.METHODS)
    allowed, _ = judged(gather(request, base, registry, judge), STRATEGIES)
    for proposal in allowed:
        for dataset in sorted(data.draw(st.sets(st.sampled_from(["a", "b"])))):
            value = data.draw(st.sampled_from([0.1, 0.2, 0.3]))
            scored = measured(proposal.digests, request.target, dataset, value)
            registry.record_scores([scored])
    records = recorded(request, registry)
    ordered = order(allowed, records)
    assert sorted(map(id, ordered)) == sorted(map(id, allowed))
    if ordered:
        assert order(ordered[:0:-1], records) == ordered[1:]


def measured(composition: str, language: str, dataset: str, value: float) -> Score:
    return Score(
        composition,
        "pos",
        dataset,
        "test",
        language,
        "accuracy",
        value,
        10,
        0,
        registries.FIRST_DAY,
    )

"""The public function, its values, and that it stays light and open."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import adapterhub_lite as ahl
from adapterhub_lite.errors import LanguageTagError, NoResolutionError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.resolver import STRATEGIES, Request, Strategy, answer
from adapterhub_lite.resolver.candidates import FEW, Pool
from adapterhub_lite.resolver.proposals import Proposal, swap
from tests.resolver import registries

MADX: tuple[dict[str, Any], ...] = (
    {"name": "en-wiki", "kind": "language", "languages": ["en"]},
    {"name": "gv-wiki", "kind": "language", "languages": ["gv"]},
    {"name": "pos", "kind": "task", "task": "pos", "languages": ["en"], "over": ["en-wiki"]},
)


@pytest.fixture
def home(blank_home: Path) -> Home:
    home = Home.find(blank_home)
    registries.fill(home.registry, MADX)
    return home


def test_home_may_be_a_path(home: Home) -> None:
    by_path = ahl.resolve("en", "gv", task="pos", home=str(home.path))
    assert by_path == ahl.resolve("en", "gv", task="pos", home=home)


def test_refs_of_the_composition_mean_the_chosen_adapters(home: Home) -> None:
    resolution = ahl.resolve("en", "gv", task="pos", home=home)
    named = [home.registry.get(choice.ref) for choice in resolution.choices]
    assert [adapter.digest for adapter in named] == [c.digest for c in resolution.choices]
    assert ahl.parse(str(resolution.composition)) == resolution.composition


def test_the_base_is_named_by_its_fingerprint_too(home: Home) -> None:
    base = registries.base("mini")
    assert ahl.resolve("en", "gv", task="pos", base=base.fingerprint, home=home).base == base


def test_json_has_the_documented_keys_and_survives_json(home: Home) -> None:
    answered = ahl.resolve("en", "gv", task="pos", home=home).to_json()
    with pytest.raises(NoResolutionError) as caught:
        ahl.resolve("en", "gv", task="ner", home=home)
    refused = caught.value.resolution.to_json()
    assert list(answered) == list(refused)
    for document in (answered, refused):
        assert json.loads(json.dumps(document)) == document
        assert all(key in (ahl.Resolution.to_json.__doc__ or "") for key in document)
    choice = answered["choices"][0]
    fields = ["slot", "ref", "digest", "reason", "remote", "hub_id", "revision", "status"]
    assert list(choice) == fields
    assert (choice["slot"], choice["remote"], len(choice["digest"])) == ("language", False, 64)


def test_a_refusal_explains_itself_as_the_error_does(home: Home) -> None:
    with pytest.raises(NoResolutionError) as caught:
        ahl.resolve("de", "gv", task="pos", base="mini", home=home)
    assert caught.value.resolution.explain() == str(caught.value)
    assert caught.value.exit_code == 3


def test_hints_of_a_refusal_can_be_resolved(home: Home) -> None:
    with pytest.raises(NoResolutionError) as caught:
        ahl.resolve("de", "gv", task="pos", base="mini", home=home)
    first = caught.value.resolution.missing[0]
    assert first.commands == ("ahl resolve en gv --task pos --base mini",)
    assert ahl.resolve("en", "gv", task="pos", base="mini", home=home).strategy == first.strategy


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"source": "klingonese"}, LanguageTagError),
        ({"target": ""}, LanguageTagError),
        ({"task": " "}, UsageError),
        ({"policy": "bilingal"}, UsageError),
    ],
)
def test_a_request_refuses_what_it_cannot_mean(changes: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Request(**({"source": "en", "target": "gv", "task": "pos"} | changes))


def test_equal_requests_are_equal() -> None:
    one = Request("eng", "glv", " pos ", licences=("MIT", "apache-2.0", "mit"))
    assert one == Request("en", "gv", "pos", licences=("apache-2.0", "mit"))


class Upside(Strategy):
    """A strategy of one's own: the source's adapter, before everything else."""

    name = "upside"
    rank = 1
    claim = "the source's language adapter, because a test says so"

    def propose(self, pool: Pool) -> Iterator[Proposal]:
        for task in pool.tasks:
            for source in pool.sources:
                yield swap(self, pool, task, source)


def test_strategies_are_an_open_table(home: Home) -> None:
    request = Request("en", "gv", "pos")
    strategies = [*STRATEGIES, Upside()]
    resolution = answer(request, home.registry, registries.METHODS, strategies)
    assert resolution.strategy == "upside"
    assert [other.strategy for other in resolution.alternatives] == ["mad-x"]


@pytest.mark.parametrize(("source", "target"), [("en", "gv"), ("gv", "en")])
def test_a_pair_is_found_among_many_of_one_language(home: Home, source: str, target: str) -> None:
    """With more than `FEW` pairs on one side, the other side is asked."""
    others = ["de", "fr", "es", "it", "nl", "sv", "da", "pl", "cs", "sk", "hu", "fi", "et"]
    specs: list[dict[str, Any]] = [
        {"name": f"en-{tag}-{i}", "kind": "bilingual", "languages": ["en", tag]}
        for tag in others
        for i in range(6)
    ]
    assert len(specs) > FEW
    registries.fill(home.registry, [*specs, _pair()])
    assert _pairs(home, source, target) == ["en-gv"]


def _pair() -> dict[str, Any]:
    return {"name": "en-gv", "kind": "bilingual", "languages": ["en", "gv"]}


def _pairs(home: Home, source: str, target: str) -> list[str]:
    from adapterhub_lite.resolver.candidates import gather
    from adapterhub_lite.resolver.rules import Judge

    request, base = Request(source, target, "pos"), registries.base("mini")
    pool = gather(request, base, home.registry, Judge(request, base, registries.METHODS))
    return [candidate.adapter.name for candidate in pool.pairs]


def test_resolving_imports_nothing_heavy(home: Home) -> None:
    code = (
        "import sys\n"
        "import adapterhub_lite as ahl\n"
        f"print(ahl.resolve('en', 'gv', task='pos', home={str(home.path)!r}).explain())\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'datasets', 'alembic', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "en -> gv, task pos, base mini: mad-x"
    assert done.stdout.splitlines()[-1] == "[]"

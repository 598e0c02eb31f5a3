"""What the repository ships: a registry that its text says, whole objects, stacks that help."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import adapterhub_lite as ahl
from adapterhub_lite.registry import Registry
from adapterhub_lite.testing.homes import copy_home
from nametype import some
from rebuild import TEXT, rebuild

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> ahl.Home:
    return copy_home(ROOT, tmp_path_factory.mktemp("starter") / "home")


@pytest.fixture(scope="module")
def base(home: ahl.Home) -> ahl.Base:
    return ahl.load_base("e5-mmt-6", home=home)


def test_the_database_is_what_its_text_says(home: ahl.Home, tmp_path: Path) -> None:
    text = TEXT.read_text(encoding="utf-8")
    shipped = home.registry.dump()
    assert set(text.splitlines()) < set(shipped.splitlines())
    rebuild(tmp_path / "registry.db", text)
    with Registry(f"sqlite:///{tmp_path / 'registry.db'}") as again:
        assert again.dump() == shipped, "run: python starter/rebuild.py"
        assert {a.digest for a in again.find(remote=False)} == _digests(text)


def _digests(text: str) -> set[str]:
    records = map(json.loads, text.splitlines())
    return {values["digest"] for kind, values in records if kind == "adapter"}


def test_every_object_is_whole(home: ahl.Home) -> None:
    assert home.verify() == []
    assert home.gc(dry_run=True) == []


def test_the_base_is_small_and_has_its_licence(home: ahl.Home) -> None:
    folder = home.path / "bases" / "e5-mmt-6"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 40_000_000
    assert "MIT" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_every_adapter_says_what_it_was_made_from(home: ahl.Home) -> None:
    adapters = home.registry.find(remote=False)
    kinds = Counter(adapter.manifest.kind.value for adapter in adapters)
    assert kinds["language"] >= 6
    assert kinds["bilingual"] >= 2
    assert {a.manifest.task for a in adapters if a.manifest.task} == {"pos", "nametype"}
    for adapter in adapters:
        training = adapter.manifest.training
        assert training is not None
        assert training.tokens > 0
        assert all(len(corpus.sha256) == 64 for corpus in training.corpora)
        assert adapter.manifest.licence


def test_every_language_with_an_adapter_resolves_and_attaches(
    home: ahl.Home, base: ahl.Base
) -> None:
    tags = {a.manifest.tags()[0] for a in home.registry.find(kind="language", remote=False)}
    for tag in sorted(tags):
        for task in ("pos", "nametype"):
            answer = ahl.resolve("en", tag, task=task, home=home)
            with ahl.attach(base, answer.composition, home=home) as attachment:
                (found,) = ahl.predict(["Zanzibar"], attachment=attachment)
            assert len(found.labels) == 1


@pytest.mark.parametrize("tag", ["fo", "cy", "de", "sw"])
def test_names_are_typed_far_better_than_by_guessing(
    home: ahl.Home, base: ahl.Base, tag: str
) -> None:
    """Guessing: always the most frequent kind.  In languages with names of nearly every kind."""
    names = some(tag, each=15)
    guess = max(Counter(kind for _, kind in names).values()) / len(names)
    answer = ahl.resolve("en", tag, task="nametype", home=home)
    with ahl.attach(base, answer.composition, home=home) as attachment:
        found = ahl.predict([name for name, _ in names], attachment=attachment)
    right = sum(item.labels[0] == kind for item, (_, kind) in zip(found, names, strict=True))
    assert right / len(names) > guess + 0.2


def test_scores_in_the_registry_are_of_development_data(home: ahl.Home) -> None:
    """Test data must not steer the resolver."""
    scores = home.registry.scores()
    assert scores
    assert {score.split for score in scores} == {"dev"}

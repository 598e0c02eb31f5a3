"""Relatives in the resolver: looked up only where they matter, narrowly, for every language."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import facts
from adapterhub_lite.errors import NoResolutionError
from adapterhub_lite.home import Home
from adapterhub_lite.registry import Registry
from adapterhub_lite.resolver import Request, answer
from tests.resolver import registries

TASK: dict[str, Any] = {
    "name": "pos", "kind": "task", "task": "pos", "languages": ["en"], "over": ["en"],
}  # fmt: skip


def language(tag: str, name: str = "", **more: Any) -> dict[str, Any]:
    return {"name": name or tag, "kind": "language", "languages": [tag], **more}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = registries.opened(tmp_path / "registry.db")
    registry.add_base(registries.base("mini"))
    return registry


def strategy(registry: Registry, target: str) -> str:
    request = Request("en", target, "pos", base="mini")
    return answer(request, registry, registries.METHODS).strategy


def test_every_language_gets_an_answer(registry: Registry) -> None:
    """Every twentieth tag that there are facts for, and tags without any."""
    some = ["en", "sw", "zu", "rw", "hi", "bn", "id", "fil", "zh", "yue", "ar", "tr", "fi", "qu"]
    registries.fill(registry, [*(language(tag) for tag in some), TASK])
    targets = [*sorted(facts.tags())[::20], "nah", "mul", "sr-Latn", "zh-TW", "es-419"]
    found = {target: strategy(registry, target) for target in targets}
    assert len(found) > 380
    expected = {"mad-x", "average", "half-source", "variant", "source-kept", "same-language"}
    assert set(found.values()) <= expected
    assert found["nah"] == "source-kept"
    assert found["zh-TW"] == "variant"


def test_a_refusal_of_every_language_has_reasons(registry: Registry) -> None:
    for target in sorted(facts.tags())[::200]:
        with pytest.raises(NoResolutionError, match="Because"):
            strategy(registry, target)


def test_relatives_are_found_among_very_many(registry: Registry) -> None:
    """With more language adapters on the base than are listed, the tree says whom to ask for."""
    others = [language(tag) for tag in sorted(facts.tags())[:600] if tag not in {"en", "ss", "zu"}]
    known = {spec["name"] for spec in others}
    more = [language(tag) for tag in ("en", "zu", "xh") if tag not in known]
    registries.fill(registry, [*others, *more, TASK])
    resolution = answer(Request("en", "ss", "pos", base="mini"), registry, registries.METHODS)
    assert resolution.strategy == "average"
    assert {"zu", "xh"} <= {relative.tag for relative in resolution.relatives}


def test_the_target_s_variants_are_found_among_very_many(registry: Registry) -> None:
    others = [language(tag) for tag in sorted(facts.tags())[:600] if tag not in {"en", "sr"}]
    registries.fill(registry, [*others, language("en"), language("sr-Latn", "latin"), TASK])
    assert strategy(registry, "sr-Cyrl") == "variant"


def test_of_very_many_adapters_some_of_each_language_are_read(registry: Registry) -> None:
    specs = [language(tag, f"{tag}-{i}") for tag in ("zu", "xh", "rw") for i in range(40)]
    registries.fill(registry, [language("en"), *specs, TASK])
    assert strategy(registry, "ss") == "average"


LOADED = """
from adapterhub_lite import facts
from adapterhub_lite.resolver import resolve
resolve("en", {target!r}, task="pos", home={home!r})
print(facts._tree.cache_info().misses)
"""


@pytest.mark.parametrize(("target", "times"), [("gv", 0), ("ga", 1)])
def test_facts_are_read_only_where_they_matter(blank_home: Path, target: str, times: int) -> None:
    """Two adapters of the target and two task adapters: whichever fails, another is there."""
    home = Home.find(blank_home)
    specs = [language("en"), language("gv", "a"), language("gv", "b"), TASK, {**TASK, "name": "p"}]
    specs[4]["day"] = 3
    registries.fill(home.registry, specs)
    code = LOADED.format(target=target, home=str(home.path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(times)

"""Every file in `tests/scenarios` is a registry, a request, and what must come of it.

Strategy, composition, alternatives and rejections are written by hand; `text` is the whole
explanation or refusal, digests left out.  `AHL_UPDATE_SCENARIOS=1 pytest tests/resolver` writes
the texts anew, for a person to read in the diff.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import errors
from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.errors import AhlError, NoResolutionError
from adapterhub_lite.home import Home
from adapterhub_lite.resolver import Rejection, Resolution, resolve
from tests.resolver import registries

FOLDER = Path(__file__).parent.parent / "scenarios"
FILES = sorted(FOLDER.glob("*.toml"))
EXPECTED = {
    "strategy", "composition", "alternatives", "rejected", "missing", "pulls", "warnings_about",
    "error", "text",
}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, blank_home: Path) -> None:
    scenario = tomllib.loads(path.read_text(encoding="utf-8"))
    expect = scenario["expect"]
    assert set(expect) <= EXPECTED
    home = prepared(scenario, blank_home)
    if "error" in expect:
        with pytest.raises(getattr(errors, expect["error"])) as caught:
            resolve(home=home, **scenario["request"])
        text = refused(caught.value, expect)
    else:
        resolution = resolve(home=home, **scenario["request"])
        answered(resolution, expect)
        text = resolution.explain()
    check_text(path, registries.without_digests(text), expect)


def prepared(scenario: dict[str, Any], folder: Path) -> Home:
    home = Home.find(folder)
    home.registry.add_base(registries.base("mini"), "bases/mini")
    added = registries.fill(home.registry, scenario["adapters"])
    scores = [registries.score(spec, added) for spec in scenario.get("scores", ())]
    home.registry.record_scores(scores)
    return home


def answered(resolution: Resolution, expect: dict[str, Any]) -> None:
    plain = registries.without_digests
    assert resolution.strategy == expect["strategy"]
    assert plain(str(resolution.composition)) == expect["composition"]
    if "alternatives" in expect:
        others = [
            plain(f"{other.strategy}: {other.composition}") for other in resolution.alternatives
        ]
        assert others == expect["alternatives"]
    assert set(expect.get("rejected", ())) <= set(map(spelt, resolution.rejections))
    if "missing" in expect:
        ways = [plain(f"{way.strategy}: {'; '.join(way.commands)}") for way in resolution.missing]
        assert ways == expect["missing"]
    if "pulls" in expect:
        assert list(resolution.pulls) == expect["pulls"]
    for part in expect.get("warnings_about", ()):
        assert any(part in plain(warning) for warning in resolution.warnings)
    assert resolution.to_json()["composition"] == str(resolution.composition)


def refused(error: AhlError, expect: dict[str, Any]) -> str:
    if isinstance(error, NoResolutionError):
        assert set(expect.get("rejected", ())) <= set(map(spelt, error.resolution.rejections))
        assert error.exit_code == 3
        assert error.resolution.to_json()["resolved"] is False
    return str(error)


def spelt(rejection: Rejection) -> str:
    """`name: rule`, or `strategy stack(...): rule` where a stack is rejected."""
    what = rejection.ref
    if rejection.strategy:
        parts = ", ".join((*rejection.others, rejection.ref))
        stack = f"stack({parts})" if rejection.others else rejection.ref
        what = f"{rejection.strategy} {stack}"
    return registries.without_digests(f"{what}: {rejection.rule}")


def check_text(path: Path, text: str, expect: dict[str, Any]) -> None:
    if os.environ.get("AHL_UPDATE_SCENARIOS"):
        kept = path.read_text(encoding="utf-8").split("text = '''")[0]
        path.write_text(f"{kept}text = '''\n{text}\n'''\n", encoding="utf-8")
        return
    assert text == expect["text"].removesuffix("\n")


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 30


def test_mini_is_a_base() -> None:
    assert isinstance(registries.base("mini"), BaseIdentity)
    assert registries.base("mini").fingerprint != registries.base("mini#2").fingerprint

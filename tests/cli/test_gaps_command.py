"""`ahl gaps`: every cell as `resolve` answers it, what to make next, and what N and N^2 cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from adapterhub_lite import Home
from adapterhub_lite.adapter import Kind
from adapterhub_lite.cli import main
from tests.cli.conftest import Ahl, write_adapter

ROOT = Path(__file__).parents[2]

Json = Callable[..., Any]


def strategies(found: Any) -> dict[str, str]:
    return {cell["target"]: cell["strategy"] for cell in found["cells"]}


def test_every_cell_is_what_resolve_answers(ahl_json: Json) -> None:
    found = ahl_json("gaps", "--task", "pos", "--target", "sw", "--target", "gv", "--target", "fo")
    for cell in found["cells"]:
        answer = ahl_json("resolve", cell["source"], cell["target"], "--task", cell["task"])
        assert answer["strategy"] == cell["strategy"]
        assert answer["composition"] == cell["composition"]


def test_left_out_is_everything_that_the_base_has(ahl_json: Json) -> None:
    # en, gv and fo have language adapters; pos has labels in en
    found = ahl_json("gaps")
    assert strategies(found) == {"en": "same-language", "fo": "mad-x", "gv": "bad-x"}
    assert {cell["source"] for cell in found["cells"]} == {"en"}


def test_a_request_that_nothing_answers_is_an_empty_cell(ahl_json: Json) -> None:
    found = ahl_json("gaps", "--task", "pos", "--source", "de", "--target", "gv")
    assert strategies(found) == {"gv": ""}
    assert found["ways"]


def test_what_lifts_most_cells_comes_first(ahl_json: Json, ahl: Ahl) -> None:
    # one Swahili adapter lifts the cell to MAD-X with one training, BAD-X takes two
    found = ahl_json("gaps", "--target", "sw")
    first = found["ways"][0]
    assert first["strategy"] == "mad-x"
    assert first["gain"] == 1.0
    assert first["commands"][0].startswith("ahl train language sw ")
    assert "lifts 1 cell to mad-x" in ahl("gaps", "--target", "sw").stderr


def test_trainings_in_turn_are_one_training(ahl_json: Json, ahl: Ahl) -> None:
    ahl("remove", "pos-en-gv")
    ahl("remove", "en-gv")
    ways = ahl_json("gaps", "--target", "gv", "--target", "fo")["ways"]
    (turn,) = [way for way in ways if way["strategy"] == "target-ready"]
    assert turn["cells"] == [["en", "gv", "pos"], ["en", "fo", "pos"]]
    assert turn["commands"][0].count("--over") == 3  # en, gv and fo
    assert turn["gain"] == 2.0


def covered(found: Any) -> dict[str, bool]:
    return {cell["target"]: cell["covered"] for cell in found["cells"]}


def test_a_cell_counts_if_its_composition_has_an_adapter_of_the_target(
    ahl_json: Json, ahl: Ahl
) -> None:
    """Averages of relatives and the like have none, whatever the strategy is called."""
    targets = ("--target", "gv", "--target", "fo-FO", "--target", "ga", "--target", "da")
    found = ahl_json("gaps", *targets)
    assert strategies(found) == {
        "gv": "bad-x",
        "fo-FO": "variant",
        "ga": "average",
        "da": "average",
    }
    assert covered(found) == {"gv": True, "fo-FO": True, "ga": False, "da": False}
    assert "2 of 4 cells have an adapter that knows" in ahl("gaps", *targets).stderr
    for name in ("gv-wiki", "fo-wiki"):
        ahl("remove", name)
    kept = ahl_json("gaps", "--target", "ga", "--target", "en")
    assert strategies(kept) == {"ga": "source-kept", "en": "same-language"}
    assert covered(kept) == {"ga": False, "en": True}


def test_an_adapter_merged_for_the_target_from_relatives_does_not_count(
    ahl_json: Json, home: Path, tmp_path: Path
) -> None:
    opened = Home.find(home)
    parents = [opened.registry.get(name) for name in ("gv-wiki", "en-wiki")]
    merged = write_adapter(tmp_path / "ga-merged", Kind.LANGUAGE, "ga", parents=parents)
    opened.add(merged, name="ga-merged")
    found = ahl_json("gaps", "--target", "ga")
    assert "ga-merged" in found["cells"][0]["composition"]
    assert covered(found) == {"ga": False}


def test_bare_gaps_answers_in_the_home_that_is_shipped() -> None:
    result = CliRunner().invoke(main, ["--home", str(ROOT), "gaps", "--json"])
    assert result.exit_code == 0, result.output
    cells = json.loads(result.stdout)["cells"]
    assert {cell["task"] for cell in cells} == {"nametype", "pos"}
    assert {cell["covered"] for cell in cells} == {True, False}


def test_costs_are_the_counts_of_the_two_schemes(ahl_json: Json) -> None:
    # targets gv, fo, sw with labels in en. MAD-X: 4 languages, sw lacks; one pos adapter over en.
    # BAD-X: 3 pairs, of which en-gv is there; 3 pos adapters, of which that over en-gv is there.
    found = ahl_json("gaps", "--target", "gv", "--target", "fo", "--target", "sw")
    single, double = found["costs"]
    assert (single["needed"], single["lacking"]) == (4, 1)
    assert (single["tasks_needed"], single["tasks_lacking"]) == (1, 0)
    assert (double["needed"], double["lacking"]) == (3, 2)
    assert (double["tasks_needed"], double["tasks_lacking"]) == (3, 2)
    assert single["tokens"] is None  # no adapter here says how many tokens it took


def test_a_picture_is_drawn_and_its_faults_are_named(ahl: Ahl, tmp_path: Path) -> None:
    ahl("gaps", "--picture", str(tmp_path / "gaps.svg"))
    assert "bad-x" in (tmp_path / "gaps.svg").read_text()
    for path in ("gaps.xyz", "gaps", "nowhere/gaps.svg"):
        refused = ahl("gaps", "--picture", str(tmp_path / path), code=2)
        assert "cannot draw" in refused.stderr
        assert not refused.stdout, "it is said before the grid is resolved"


def test_unknown_bases_and_empty_grids_are_errors(ahl: Ahl) -> None:
    assert "no base model `nope`" in ahl("gaps", "--base", "nope", code=1).stderr
    assert "hint:" in ahl("gaps", "--task", "nope", code=1).stderr

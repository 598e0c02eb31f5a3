"""How answers look: the JSON as docs/resolution.schema.json promises, and the text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from adapterhub_lite import Home, resolve
from adapterhub_lite.errors import NoResolutionError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs" / "resolution.schema.json").read_text(encoding="utf-8"))
MBERT, XLMR = "bert-base-multilingual-cased", "xlm-roberta-base"

REQUESTS = [
    ("en", "gv", "pos", "e5-mmt-6", "bad-x"),
    ("en", "gd", "pos", "e5-mmt-6", "average"),
    ("en", "sw", "ner", MBERT, "mad-x"),
    ("en", "sw", "ner", XLMR, "mad-x"),
]


@pytest.fixture(scope="module")
def home() -> Home:
    return Home.find(ROOT)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(SCHEMA)
    return Draft202012Validator(SCHEMA)


@pytest.mark.parametrize(("source", "target", "task", "base", "strategy"), REQUESTS)
def test_answers_have_the_promised_layout(
    home: Home,
    validator: Draft202012Validator,
    source: str,
    target: str,
    task: str,
    base: str,
    strategy: str,
) -> None:
    values = resolve(source, target, task=task, base=base, home=home).to_json()
    validator.validate(json.loads(json.dumps(values)))
    assert values["strategy"] == strategy


def test_refusals_have_the_same_layout(home: Home, validator: Draft202012Validator) -> None:
    with pytest.raises(NoResolutionError) as caught:
        resolve("en", "gv", task="ner", base="e5-mmt-6", home=home)
    values = json.loads(json.dumps(caught.value.resolution.to_json()))
    validator.validate(values)
    for broken in ({**values, "choices": None}, {**values, "resolved": True}, {"schema": 1}):
        assert not validator.is_valid(broken)


def test_all_lists_what_the_short_text_counts(home: Home) -> None:
    answer = resolve("en", "gv", task="pos", base="e5-mmt-6", home=home)
    short, whole = answer.explain(), answer.explain(everything=True)
    assert f"and {len(answer.alternatives) - 3} more (`--all` lists them)" in short
    for other in answer.alternatives:
        assert f"  {other.composition}: {other.lost}" in whole
    for rejection in answer.rejections:
        assert rejection.reason in whole

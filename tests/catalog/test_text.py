"""The text catalogue: readable in a diff, strict, and made from a table by stated rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import make_catalog
from adapterhub_lite import base_names, plugins
from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.catalog import bases, entries
from adapterhub_lite.catalog.entries import Entry
from adapterhub_lite.catalog.remote import additions
from adapterhub_lite.catalog.search import language_names
from adapterhub_lite.errors import DataError
from tests.catalog.conftest import ROOT

COLUMNS = """
hub_id revision kind source_lang target_lang lang_bcp47 source_bcp47 task dataset base_model
method reduction_factor nonlinearity invertible trained_over trained_over_status
trained_over_raw leave_out prediction_head metric_name metric_value license size_bytes sha256
sha1 original_url branches legacy_key legacy_default author paper status status_basis
evidence note
"""
TASK = {
    "hub_id": "org/ner", "kind": "task", "lang_bcp47": "en", "source_bcp47": "en", "task": "ner",
    "dataset": "news", "base_model": "xlm-roberta-base", "method": "pfeiffer",
    "reduction_factor": "16", "nonlinearity": "gelu", "invertible": "0",
    "trained_over": "org/en", "trained_over_status": "inferred", "leave_out": "11",
    "prediction_head": "1", "license": "mit", "size_bytes": "3300000", "branches": "1,2",
    "author": "A. One & B. Two", "status": "derived", "status_basis": "rule", "evidence": "a; b",
    "note": "MAD-X 2.0: drop layer 11 of the language adapter too; third-party upload (x)",
}  # fmt: skip


def row(**changes: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS.split(), "") | TASK | changes


def test_a_row_becomes_an_entry_in_our_words() -> None:
    entry = make_catalog.entry(row())
    assert entry.base == "FacebookAI/xlm-roberta-base"
    assert entry.config == {
        "placement": "pfeiffer",
        "reduction": 16.0,
        "activation": "gelu_new",  # the old name `gelu` is the tanh approximation
        "invertible": False,
        "init": "bert",
        "stacking": "chained",  # as the library computes a stack
    }
    assert (entry.trained_over, entry.dropped, entry.leave_out) == (["org/en"], [11], [11])
    assert entry.inferred == ["trained_over"]
    assert entry.head == {"type": "token-classification"}
    assert entry.authors == ["A. One", "B. Two"]
    assert entry.remarks == ["uploaded by a third party"]
    assert entry.evidence == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"method": "houlsby", "nonlinearity": "swish"}, "config.activation", "silu"),
        ({"trained_over": "org/en+org/news"}, "trained_over", ["org/en", "org/news"]),
        ({"trained_over": "org/en|org/sw"}, "seen", ["org/en", "org/sw"]),
        ({"method": "lora"}, "config", {}),
        ({"method": "lora"}, "unknown", ["config"]),
        ({"method": "lt-sft"}, "method", "sft"),
        ({"method": "xmod", "reduction_factor": "2"}, "config", {"reduction": 2.0}),
        ({"base_model": ""}, "excluded", "its base model is not stated"),
        (
            {"base_model": "Llama 7B"},
            "excluded",
            "its base model is stated in words only (Llama 7B)",
        ),
    ],
)
def test_other_rows(changes: dict[str, str], field: str, expected: Any) -> None:
    name, _, key = field.partition(".")
    found = getattr(make_catalog.entry(row(**changes)), name)
    assert (found[key] if key else found) == expected


@pytest.mark.parametrize("changes", [{"nonlinearity": "mish"}, {"note": "something new"}])
def test_a_value_without_a_word_of_ours_is_an_error(changes: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        make_catalog.entry(row(**changes))


def test_the_text_is_sorted_and_says_the_same_after_a_round_trip(tmp_path: Path) -> None:
    found = entries.read()
    assert [e.hub_id for e in found] == sorted({e.hub_id for e in found})
    entries.write(reversed(found), tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == entries.TEXT.read_bytes()
    assert entries.TEXT.stat().st_size < 600_000


def test_every_entry_says_how_sure_it_is_and_where_it_was_read() -> None:
    for entry in entries.read():
        assert entry.status in {"verified", "derived"}
        assert entry.basis
        assert all(entry.evidence)
        assert entry.excluded or entry.base in bases.BASES
        assert entry.format in {"adapterhub", "peft", "lt-sft"}
        assert base_names.current(entry.base) == entry.base


def test_every_language_has_an_english_name() -> None:
    tags = {tag for e in entries.read() for found in e.languages.values() for tag in found}
    assert tags - {"mul"} <= language_names().keys()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "broken.jsonl:2: no entry"),
        ('{"hub_id": "org/a"}', "broken.jsonl:2: no entry.*lacks `kind`"),
        ('{"hub_id": "org/a", "kinds": "task"}', "broken.jsonl:2: an entry has no key `kinds`"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "broken.jsonl"
    first = entries.TEXT.read_text(encoding="utf-8").splitlines()[0]
    path.write_text(f"{first}\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        entries.read(path)


def entry(**changes: Any) -> Entry:
    values = json.loads(make_catalog.entry(row(trained_over="")).to_line())
    return Entry(**values | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trained_over": ["org/gone"]}, "was trained over `org/gone`, which has no entry"),
        ({"base": "FacebookAI/xlm-roberta-bas"}, "no base `FacebookAI/xlm-roberta-bas`"),
    ],
)
def test_an_entry_that_names_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(additions([entry(**changes)], plugins.load(entry_points=False)))


def test_configs_are_whole_where_the_method_is_here_and_as_stated_where_not() -> None:
    """Digests of remote and of imported adapters must be able to agree."""
    methods = plugins.load(ROOT / "plugins", entry_points=False)
    (known,) = additions([entry()], methods)
    wanted = methods.method("bottleneck").Config.from_mapping(entry().config).to_mapping()
    assert known.manifest.config == wanted
    (unknown,) = additions([entry(method="not-here", config={"size": 2.0})], methods)
    assert unknown.manifest.config == {"size": 2.0}


def test_old_and_current_names_of_a_base_are_one() -> None:
    def base(name: str, fingerprint: str = "") -> BaseIdentity:
        return BaseIdentity(name, "xlm-roberta", 768, 12, 250002, fingerprint)

    old, new = base("xlm-roberta-base"), base("FacebookAI/xlm-roberta-base")
    assert old.same_as(new)
    assert new.same_as(old)
    assert not old.same_as(base("xlm-roberta-large"))
    assert not base("xlm-roberta-base", "a" * 64).same_as(base(new.name, "b" * 64))
    assert base_names.other("FacebookAI/xlm-roberta-base") == "xlm-roberta-base"
    assert base_names.other("xlm-roberta-base") == "FacebookAI/xlm-roberta-base"
    assert base_names.other("e5-mmt-6") == "e5-mmt-6"

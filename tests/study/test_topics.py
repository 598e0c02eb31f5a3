"""The study's shortcut (lower layers computed once a language) against the product's own path."""

from __future__ import annotations

import csv
import gzip
import random
from pathlib import Path

import pytest

import adapterhub_lite as ahl
import topics
from adapterhub_lite.testing.models import save_tiny_base

PLAN = """
[topics.recipes]
upper = { first_layer = 1, reduction = 4, steps = 30, batch_size = 8, lr = 1e-2 }

[topics.small]
seeds = [0]
sources = ["en"]
recipes = ["upper"]
"""
WORDS = {"sports": "ball goal team win", "travel": "train map hotel road"}


@pytest.fixture
def study(tmp_path: Path) -> topics.Study:
    draw = random.Random(0)
    for language in ("en", "cy"):
        for part, count in (("train", 40), ("dev", 12)):
            rows = [
                (label, text(label, draw)) for label in sorted(WORDS) for _ in range(count // 2)
            ]
            write_part(tmp_path / "data" / "topics" / language / f"{part}.tsv.gz", rows)
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN, encoding="utf-8")
    base = save_tiny_base(tmp_path / "tiny", "xlm-roberta", words=" ".join(WORDS.values()).split())
    return topics.Study(tmp_path / "data", tmp_path / "work", base, plan)


def text(label: str, draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS[label].split(), k=draw.randint(2, 9)))


def write_part(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as handle:
        handle.write("id\tlabel\ttext\n")
        handle.writelines(f"{at}\t{label}\t{words}\n" for at, (label, words) in enumerate(rows))


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_scores_are_those_of_the_whole_forward_pass(study: topics.Study) -> None:
    topics.run_adapters(study, "small", "dev")
    home, base = topics.open_home(study)
    table = read_table(study.work / "small-dev.tsv")
    assert [row["target"] for row in table] == ["cy", "en"]
    for row in table:
        gold, texts = zip(*study.rows(row["target"], "dev"), strict=True)
        with ahl.attach(base, "topics-en-upper-seed0", home=home) as attachment:
            labels = [p.labels[0] for p in ahl.predict(list(texts), attachment=attachment)]
        assert int(row["right"]) == sum(g == p for g, p in zip(gold, labels, strict=True))
        assert int(row["right"]) > 6, "better than chance, so that the comparison means something"


def test_a_second_run_adds_nothing_and_an_interrupted_one_goes_on(study: topics.Study) -> None:
    topics.run_adapters(study, "small", "dev")
    path = study.work / "small-dev.tsv"
    whole = path.read_text(encoding="utf-8")
    topics.run_adapters(study, "small", "dev")
    assert path.read_text(encoding="utf-8") == whole
    path.write_text(whole[:-3], encoding="utf-8")  # killed while it wrote the last score
    topics.run_adapters(study, "small", "dev")
    assert path.read_text(encoding="utf-8") == whole


def test_macro_f1_by_hand() -> None:
    # a: 1 of 2 predicted right, 1 gold: F1 2/3; b: none; c: 1 predicted, 1 gold, right: 1.
    right, macro_f1 = topics.scores(["a", "b", "c"], ["a", "a", "c"])
    assert right == 2
    assert macro_f1 == pytest.approx((2 / 3 + 0 + 1) / 3)

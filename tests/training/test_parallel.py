"""Parallel text: the formula, what stays fixed, what is recorded, and what is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from adapterhub_lite.errors import DataError, TrainingError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.training import LanguageSettings, train_bilingual, train_language
from adapterhub_lite.training.parallel import Alignment, PairBatches, read_pairs

SHIFT = 45
"""The other language of these tests is the first with every word's number this much higher."""


def write_pairs(path: Path, count: int) -> Path:
    draw = random.Random(7)
    rows = []
    for _ in range(count):
        words = [draw.randrange(5, 50) for _ in range(draw.randrange(4, 12))]
        left, right = (" ".join(f"w{w + add}" for w in words) for add in (0, SHIFT))
        rows.append(f"{left}\t{right}\n")
    path.write_text("".join(rows), encoding="utf-8")
    return path


def test_the_loss_is_the_formula() -> None:
    """|t - s|^2 / |t - m|^2 plus -log softmax(cos(s - m, t - m) / 0.05), written out."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(3, 4, generator=generator) for _ in range(2))
    centre = torch.randn(4, generator=generator)
    near = 0.0
    for i in range(3):
        cosines = [
            float((ours[i] - centre) @ (theirs[j] - centre))
            / float((ours[i] - centre).norm() * (theirs[j] - centre).norm())
            for j in range(3)
        ]
        scores = (torch.tensor(cosines) / 0.05).exp()
        near -= float((scores[i] / scores.sum()).log()) / 3
    far = float((theirs - ours).pow(2).sum() / (theirs - centre).pow(2).sum())
    found = Alignment().loss(ours, {"translations": theirs, "centre": centre})
    assert float(found) == pytest.approx(far + near, rel=1e-5)


def test_a_sentence_is_the_mean_of_its_tokens_without_the_special_ones(
    base: Base, tmp_path: Path
) -> None:
    pairs = read_pairs("fo", [write_pairs(tmp_path / "p.tsv", 80)], base, longest=20)
    batches = PairBatches(pairs, base, batch_size=4, seed=0)
    batch = batches.batch(3)
    with torch.no_grad():
        hidden = base.trunk(batch["input_ids"], attention_mask=batch["attention_mask"])[0]
    vectors = Alignment().logits({}, hidden, batch)
    for row in range(4):
        last = int(batch["attention_mask"][row].sum()) - 1
        torch.testing.assert_close(vectors[row], hidden[row, 1:last].mean(0), atol=1e-5, rtol=0)


def test_the_vectors_to_reach_are_those_of_the_translations(base: Base, tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "p.tsv", 80)
    pairs = read_pairs("fo", [path], base, longest=20)
    batch = PairBatches(pairs, base, batch_size=4, seed=0).batch(0)
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    first = batch["input_ids"][0][batch["attention_mask"][0].bool()][1:-1].tolist()
    translation = next(
        left for left, right in lines if base.tokenizer(right)["input_ids"][1:-1] == first
    )
    with torch.no_grad():
        hidden = base.trunk(**base.tokenizer(translation, return_tensors="pt"))[0]
    torch.testing.assert_close(batch["translations"][0], hidden[0, 1:-1].mean(0), atol=1e-5, rtol=0)


def test_sentences_move_to_their_translations(
    home: Home, base: Base, text: Path, tmp_path: Path
) -> None:
    adapter = train_language(
        "fo",
        text,
        parallel=write_pairs(tmp_path / "p.tsv", 300),
        base=base,
        home=home,
        config={"reduction": 1, "invertible": True},
        settings=LanguageSettings(steps=240, batch_size=16, block=20, lr=1e-2),
        quiet=True,
    )
    assert adapter.manifest.training is not None
    assert adapter.manifest.training.objective == "masked-lm+alignment"
    assert [c.name for c in adapter.manifest.training.corpora] == ["text.txt", "p.tsv"]
    metrics = adapter.manifest.training.metrics
    assert metrics["retrieval_after"] > metrics["retrieval_before"] + 0.2


def test_a_pair_of_languages_takes_parallel_text_of_both(
    home: Home, base: Base, text: Path, other_text: Path, tmp_path: Path
) -> None:
    pairs = write_pairs(tmp_path / "p.tsv", 80)
    adapter = train_bilingual(
        "en",
        "fo",
        text={"en": text, "fo": other_text},
        parallel={"en": pairs, "fo": pairs},
        base=base,
        home=home,
        settings=LanguageSettings(steps=3, batch_size=2, block=20),
        quiet=True,
    )
    assert adapter.manifest.training is not None
    assert len(adapter.manifest.training.corpora) == 4


@pytest.mark.parametrize("line", ["one column", "\tno translation", "three\tcolumns\there"])
def test_a_line_without_two_columns_is_named(base: Base, tmp_path: Path, line: str) -> None:
    path = tmp_path / "p.tsv"
    path.write_text(f"w5\tw6\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"p\.tsv:2: expected two columns"):
        read_pairs("fo", [path], base, longest=20)


def test_too_few_pairs_are_refused(base: Base, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="9 pairs of sentences are too few"):
        read_pairs("fo", [write_pairs(tmp_path / "p.tsv", 9)], base, longest=20)

"""Blocks, masks and the order of batches."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from adapterhub_lite.errors import TrainingError
from adapterhub_lite.model.base import Base
from adapterhub_lite.plugins import load
from adapterhub_lite.tasks.base import IGNORED
from adapterhub_lite.training.batches import Alternating, Numbered, TextBatches, WindowBatches
from adapterhub_lite.training.text import Masking, Text, read_text

WORDS = load(entry_points=False).task_type("token-classification")


@pytest.fixture
def read(base: Base, text: Path) -> Text:
    return read_text("fo", [text], base, block=20, held_out=0.1)


def test_blocks_hold_the_whole_text_in_order(base: Base, text: Path, read: Text) -> None:
    lines = text.read_text().splitlines()
    expected = [t for line in lines for t in (*base.tokenizer(line)["input_ids"][1:],)]
    every = 10
    blocks = []
    train, held = list(read.train), list(read.held_out)
    for number in range(len(train) + len(held)):
        blocks.append((held if number % every == every // 2 else train).pop(0))
    assert all(int(b[0]) == 0 and int(b[-1]) == 2 for b in blocks)
    stream = [int(t) for b in blocks for t in b[1:-1]]
    assert stream == expected[: len(stream)]
    assert len(expected) - len(stream) < 18
    assert read.counts.tolist() == torch.bincount(torch.tensor(expected), minlength=96).tolist()
    assert read.corpora[0].examples == len(lines)


def test_too_little_text_and_too_long_blocks(base: Base, tmp_path: Path, text: Path) -> None:
    (tmp_path / "short.txt").write_text("w5 w6\n")
    with pytest.raises(TrainingError, match="has 3 tokens, 36 are needed"):
        read_text("fo", [tmp_path / "short.txt"], base, block=20, held_out=0.1)
    with pytest.raises(TrainingError, match="reads 60 tokens at once, `block` asks for 61"):
        read_text("fo", [text], base, block=61, held_out=0.1)


@pytest.mark.parametrize("whole_words", [False, True])
def test_masks(base: Base, read: Text, whole_words: bool) -> None:
    masking = Masking(base, share=0.25, whole_words=whole_words, causal=False)
    blocks = read.train[:64]
    batch = masking.batch(blocks, seed=3)
    chosen = batch["units"] >= 0
    assert (chosen.sum(1) == 5).all()  # a quarter of 20 tokens, in every row
    original = blocks.long()[chosen]
    assert batch["targets"].flatten().tolist() == original.tolist()
    assert not torch.isin(original, torch.tensor([0, 1, 2, 3, 4])).any()
    assert torch.equal(batch["input_ids"][~chosen], blocks.long()[~chosen])
    shown = batch["input_ids"][chosen]
    shares = Counter(
        "mask" if s == 4 else "same" if s == o else "other"
        for s, o in zip(shown.tolist(), original.tolist(), strict=True)
    )
    assert abs(shares["mask"] / len(original) - 0.8) < 0.1
    assert shares["other"]
    assert shares["same"]
    again = masking.batch(blocks, seed=3)
    assert all(torch.equal(batch[key], again[key]) for key in batch)
    assert not torch.equal(masking.batch(blocks, seed=4)["units"], batch["units"])


def test_whole_words_are_masked_together(base: Base) -> None:
    masking = Masking(base, share=0.3, whole_words=True, causal=False)
    masking.starts = torch.zeros(96, dtype=torch.bool)
    masking.starts[::2] = True  # odd pieces go on with the word before them
    ids = torch.tensor([[0, 6, 7, 9, 10, 11, 12, 13, 15, 17, 18, 2]])
    words = [[1, 2, 3], [4, 5], [6, 7, 8, 9], [10]]
    for seed in range(20):
        chosen = set((masking.batch(ids, seed)["units"][0] >= 0).nonzero().flatten().tolist())
        assert all(chosen.issuperset(word) or chosen.isdisjoint(word) for word in words)


def test_every_block_comes_once_an_epoch(base: Base, read: Text) -> None:
    masking = Masking(base, share=0.15, whole_words=False, causal=False)
    batches = TextBatches(read.train, masking, batch_size=4, seed=0)
    count = len(read.train)
    places = [batches._order[place] for place in range(2 * count)]
    assert sorted(places[:count]) == sorted(places[count:]) == list(range(count))
    assert places[:count] != places[count:]
    first = batches.batch(0)
    batches.batch(count)  # another epoch in between
    assert all(torch.equal(first[key], batches.batch(0)[key]) for key in first)


def test_ratio_of_whole_batches(base: Base, read: Text) -> None:
    masking = Masking(base, share=0.15, whole_words=False, causal=False)
    streams = [TextBatches(read.train, masking, batch_size=2, seed=seed) for seed in (0, 1)]
    both = Alternating(streams, (2, 1))
    order = [(0, 0), (0, 1), (1, 0), (0, 2), (0, 3), (1, 1)]
    for number, (which, own) in enumerate(order):
        expected = streams[which].batch(own)
        assert torch.equal(both.batch(number)["input_ids"], expected["input_ids"])
    assert Numbered(both, 6).tokens(6) == 6 * 2 * 20


def test_windows_of_like_length_and_compositions_in_turn(base: Base, tagged: Path) -> None:
    examples = WORDS.read(tagged)
    windows = WORDS.encode(base.tokenizer, examples, ("ADJ", "NOUN", "VERB"), 60)
    batches = WindowBatches(
        windows, WORDS, pad=1, batch_size=8, seed=0, compositions=("0", "1", "2")
    )
    found = [batches.batch(number) for number in range(batches.epoch_length)]
    assert [b["composition"] for b in found] == [str(n % 3) for n in range(len(found))]
    assert sum(len(b["input_ids"]) for b in found) == len(windows)
    padding = sum(int((b["attention_mask"] == 0).sum()) for b in found)
    real = sum(int(b["attention_mask"].sum()) for b in found)
    assert real == Numbered(batches, len(found)).tokens(len(found))
    assert padding < 0.05 * real  # in random order it is about 60 %
    assert all((b["targets"] != IGNORED).any() for b in found)

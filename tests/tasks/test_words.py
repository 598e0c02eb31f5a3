"""Tagging: words to pieces to means to labels, and the score by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from adapterhub_lite.errors import DataError, UsageError
from adapterhub_lite.tasks.base import IGNORED, Example, Prediction, unit_means
from adapterhub_lite.tasks.pieces import frame, word_pieces
from adapterhub_lite.tasks.scoring import add_up
from adapterhub_lite.tasks.segments import split_words
from adapterhub_lite.tasks.words import TokenClassification

TYPE = TokenClassification()


def test_a_bare_word_mark_before_punctuation_is_dropped(tokenizer: Any) -> None:
    mark = tokenizer.convert_tokens_to_ids("▁")
    assert tokenizer(",", add_special_tokens=False)["input_ids"][0] == mark
    found = word_pieces(tokenizer, [",", "the", "watching", "\u4e2d"])
    assert tokenizer.convert_ids_to_tokens(list(found[","])) == [","]
    joined = "".join(tokenizer.convert_ids_to_tokens(list(found["watching"])))
    assert joined == "▁watching"
    assert found["\u4e2d"] == (tokenizer.unk_token_id,)


def test_frame(tokenizer: Any) -> None:
    assert frame(tokenizer).around([7, 8]) == (0, 7, 8, 2)


def test_a_word_is_the_mean_of_its_pieces() -> None:
    hidden = torch.arange(24, dtype=torch.float32).reshape(2, 4, 3) ** 2
    units = torch.tensor([[-1, 0, 0, 1], [-1, 0, -1, -1]])
    means = unit_means(hidden, units)
    torch.testing.assert_close(means[0, 0], (hidden[0, 1] + hidden[0, 2]) / 2)
    torch.testing.assert_close(means[0, 1], hidden[0, 3])
    torch.testing.assert_close(means[1, 0], hidden[1, 1])
    assert means[1, 1].tolist() == [0, 0, 0]


def test_head_is_linear_on_means() -> None:
    hidden = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    batch = {"units": torch.tensor([[0, 0, 1]])}
    head = {"weight": torch.eye(2, 4), "bias": torch.tensor([0.5, -0.5])}
    logits = TYPE.logits(head, hidden, batch)
    word = (hidden[0, 0] + hidden[0, 1]) / 2
    torch.testing.assert_close(logits[0, 0], word[:2] + torch.tensor([0.5, -0.5]))


def test_long_sentences_are_cut_between_words(tokenizer: Any) -> None:
    words = ("the", "river", "watched", "Running", ",") * 9
    (window, *more) = TYPE.encode(tokenizer, [Example(words)], (), 24)
    windows = [window, *more]
    table = word_pieces(tokenizer, words)
    assert len(windows) > 1
    assert all(len(w.ids) <= 24 and w.ids[0] == 0 and w.ids[-1] == 2 for w in windows)
    assert [w.first for w in windows] == [
        sum(v.count for v in windows[:i]) for i in range(len(windows))
    ]
    assert sum(w.count for w in windows) == len(words)
    inner = [token for w in windows for token in w.ids[1:-1]]
    assert inner == [token for word in words for token in table[word]]
    assert all(w.lost == 0 for w in windows)


def test_what_is_cut_from_a_monstrous_word_is_counted(tokenizer: Any) -> None:
    word = "watching" * 9
    (window,) = TYPE.encode(tokenizer, [Example((word,))], (), 24)
    assert len(window.ids) == 24
    assert window.lost == len(word_pieces(tokenizer, [word])[word]) - 22


def test_labels_of_almost_universal_tags() -> None:
    many = Example(("a",) * 99, ("NOUN", "VERB", "X") * 33)
    stray = Example(("a",), ("PROP",))
    assert TYPE.labels([many, stray]) == ("NOUN", "VERB", "X")
    assert TYPE.labels([Example(("a", "b"), ("B-PER", "O"))]) == ("B-PER", "O")


def test_targets_and_unknown_tags(tokenizer: Any) -> None:
    labels = ("NOUN", "VERB")
    example = Example(("the", "cat", "mill"), ("VERB", None, "ADJ"))
    (window,) = TYPE.encode(tokenizer, [example], labels, 24)
    assert window.targets == (1, IGNORED, IGNORED)  # a universal tag that was never learned
    wrong = Example(("the", "cat"), ("O", "B-LOC"), lines=(4, 5), origin="dev.tsv")
    with pytest.raises(DataError, match=r"dev.tsv:5: unknown tag `B-LOC`\n.*`B-PER`"):
        TYPE.encode(tokenizer, [wrong], ("B-PER", "O"), 24)


def test_accuracy_by_hand() -> None:
    labels = ("NOUN", "VERB")
    gold = ("NOUN", "VERB", None, "ADJ", "PROP")
    total = added(gold, ("NOUN", "NOUN", "NOUN", "VERB", "NOUN"), labels)
    # `a` right; `b` wrong; `c` untagged; `d` and `e`: tags that cannot be predicted, so wrong
    assert TYPE.metrics(total, labels) == {"accuracy": pytest.approx(1 / 4)}


@pytest.mark.parametrize("strange", ["XXX", "noun", "PROP"])
def test_tags_outside_the_universal_ones_count(strange: str) -> None:
    """Six of 24 words with a tag that a head of universal tags cannot predict: 75 per cent."""
    labels = ("NOUN", "VERB")
    gold = ("NOUN", "VERB") * 9 + (strange,) * 6
    found = TYPE.metrics(added(gold, ("NOUN", "VERB") * 12, labels), labels)
    assert found == {"accuracy": 18 / 24}
    assert TYPE.size(Example(("w",) * 24, gold)) == 24


def test_span_f1_by_hand() -> None:
    labels = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")
    gold = ("B-PER", "I-PER", "O", "B-LOC", "B-LOC")
    found = TYPE.metrics(added(gold, ("B-PER", "I-PER", "O", "B-LOC", "I-LOC"), labels), labels)
    # gold: PER 0-2, LOC 3-4, LOC 4-5; said: PER 0-2, LOC 3-5; one is right
    assert list(found) == ["f1", "accuracy"]
    assert found["f1"] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))


def test_spans_predicted_of_untagged_words_do_not_count() -> None:
    labels = ("B-PER", "O")
    found = TYPE.metrics(added(("B-PER", None), ("B-PER", "B-PER"), labels), labels)
    assert found == {"f1": 1.0, "accuracy": 1.0}


def added(gold: tuple[str | None, ...], said: tuple[str, ...], labels: tuple[str, ...]) -> Any:
    tally = TYPE.tally(Example(("w",) * len(gold), gold), Prediction(said, ()), labels)
    return add_up([tally])


def test_words_of_running_text() -> None:
    assert split_words("Ta'n ven ayns shen. «Quoi?»") == (
        "Ta'n", "ven", "ayns", "shen", ".", "«", "Quoi", "?", "»",
    )  # fmt: skip
    assert split_words("मैं घर में हूँ।") == ("मैं", "घर", "में", "हूँ", "।")
    with pytest.raises(UsageError, match="a text or a list of words"):
        TYPE.examples([[" "]])

"""Files that are no running text are told by their content; what sentences they have comes out."""

from __future__ import annotations

import json
import random

import pytest

from adapterhub_lite.tasks.annotation import annotation

WORDS = ("the", "cat", "eats", "a", "fish", ".")
TAGS = ("DET", "NOUN", "VERB", "DET", "NOUN", "PUNCT")
ROWS = [
    f"{n}\t{word}\t{word}\t{tag}\t_\t_\t0\t_\t_\t_"
    for n, (word, tag) in enumerate(zip(WORDS, TAGS, strict=True), 1)
]
CONLLU = ["# sent_id = 1", "# text = The cat eats a fish.", *ROWS, "", *ROWS, ""]
PAIRS = [*(f"{w} {t}" for w, t in zip(WORDS, TAGS, strict=True)), ""]
CONLL2003 = ["-DOCSTART- -X- O O", ""] + [
    "The DT B-NP O", "cat NN I-NP O", "of IN B-PP O", "Ann NNP B-NP B-PER", ". . O O", "",
] * 4  # fmt: skip
RECORDS = [{"text": "The cat eats.", "label": "cats"}, {"text": "It rains.", "label": "weather"}]
CODE = """
import json

def read(path):
    with open(path) as file:
        return json.load(file)

class Reader:
    def __init__(self):
        pass
""".splitlines()
PROSE = [
    "The river runs past the old mill, and the children fish there.",
    "She walked along the river; the mill was near, the birds were not.",
    "In 1999, there were 12 boats: all of them old.",
    '"Old boats," she said, "are better than none."',
    "# 5 is the number of the house.",
    "Wait for it!",
]


def csv_of(mark: str) -> list[str]:
    texts = ("It rains", "We won", "She sings", "He came", "I know")
    return [f"Text{mark}Label", *(f"{text}{mark}{['pos', 'neg'][n % 2]}" for n, text in enumerate(texts))]  # fmt: skip # noqa: E501


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (CONLLU, "CoNLL-U annotation"),
        ([line.replace("\t", " ") for line in CONLLU], "CoNLL-U annotation"),
        (ROWS, "CoNLL-U annotation"),
        ([line.replace(" ", "\t") for line in PAIRS], "words with tags"),
        (PAIRS * 2, "words with tags"),
        (CONLL2003, "words with tags"),
        ([json.dumps(record) for record in RECORDS], "JSON lines"),
        (json.dumps({"data": RECORDS}, indent=1).splitlines(), "JSON"),
        ([json.dumps(RECORDS)], "JSON"),
        (csv_of(","), "a table"),
        (csv_of(";"), "a table"),
        (csv_of("\t"), "a table"),
        ([f"{n}\t{line}" for n, line in enumerate(PROSE)], "a table"),
        ([f"{line},{n}" for n, line in enumerate(WORDS)], "a table"),
        (["<html>", "<body>", *(f"<p>{line}</p>" for line in PROSE), "</body>"], "XML or HTML"),
        (['<?xml version="1.0"?>', "<s>", *PROSE[:2], "</s>"], "XML or HTML"),
        (CODE, "program code"),
        (["int main() {", "  return 0;", "}"], "program code"),
        ([f"{n} {n * n} {1 / n:.3f}" for n in range(1, 20)], "numbers and symbols"),
    ],
)
def test_what_is_no_running_text(lines: list[str], name: str) -> None:
    kind = annotation(lines)
    assert kind is not None
    assert kind.name.startswith(name)
    assert kind.share >= 0.5


@pytest.mark.parametrize(
    "lines",
    [
        PROSE,
        [PROSE[0]],
        ["Ann Smith", "Bob Jones", "Eve Brown", "Tom White", "Kim Black", "Lee Green"],
        [f"w{n} w{n + 1} w{n + 2}" for n in range(40)],
        ["孩子们在花园里读旧书。", "她沿着河走。", "下雨了。", "船很旧。"],
        ["We came, and saw.", "They won, we lost.", "It rained, so we left.", "No, not you."] * 3,
        ["the <unk> of the <unk> was", "in the <unk> there was", "a dog <unk> a cat"] * 3,
        [f"The chapter of day {n}" for n in range(30)],
    ],
)
def test_running_text_is_let_through(lines: list[str]) -> None:
    kind = annotation(lines)
    assert kind is None or kind.share < 0.05


def test_a_treebank_within_text_is_a_share() -> None:
    lines = [*PROSE * 10, *ROWS * 4]
    random.Random(0).shuffle(lines)
    kind = annotation(lines)
    assert kind is not None
    assert kind.name == "CoNLL-U annotation"
    assert kind.share == pytest.approx(24 / 84)


@pytest.mark.parametrize(
    ("lines", "sentences"),
    [
        (CONLLU, ["The cat eats a fish.", "the cat eats a fish ."]),
        (PAIRS * 2, ["the cat eats a fish ."] * 2),
        (CONLL2003, ["The cat of Ann ."] * 4),
        ([json.dumps(record) for record in RECORDS], ["The cat eats.", "It rains."]),
        ([json.dumps({"tokens": list(WORDS), "tags": [1] * 6})], ["the cat eats a fish ."]),
        (csv_of(";"), ["It rains", "We won", "She sings", "He came", "I know"]),
        (csv_of("\t"), ["It rains", "We won", "She sings", "He came", "I know"]),
    ],
)
def test_sentences_come_out(lines: list[str], sentences: list[str]) -> None:
    kind = annotation(lines)
    assert kind is not None
    assert kind.extract is not None
    assert kind.extract(lines) == sentences


def test_multiword_tokens_and_empty_nodes_come_out_as_they_were_written() -> None:
    """`Du` is written, `Da` and `an` are its words; `8.1` is written nowhere."""
    rows = [
        ("1-2", "Du", "_"), ("1", "Da", "_"), ("2", "an", "_"), ("3", "thie", "SpaceAfter=No"),
        ("3.1", "hie", "_"), ("4", ".", "_"),
    ]  # fmt: skip
    lines = ["\t".join((n, form, *["_"] * 7, misc)) for n, form, misc in rows]
    kind = annotation(lines)
    assert kind is not None
    assert kind.extract is not None
    assert kind.extract(lines) == ["Du thie."]

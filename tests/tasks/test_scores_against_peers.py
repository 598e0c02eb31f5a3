"""Scores against the programs that the field scores with, on random gold and predicted labels.

scikit-learn for labels, seqeval for spans, the CoNLL 2018 evaluation script (as `udtools` ships it)
for treebanks, transformers 4 (in the environment of `adapters`) for SQuAD.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import seqeval.metrics as seqeval
from seqeval.scheme import BILOU
from sklearn import metrics as sklearn
from udtools import udeval

from adapterhub_lite.evaluation.report import Report, report
from adapterhub_lite.plugins import load
from adapterhub_lite.tasks.base import Example, Prediction, TaskType
from adapterhub_lite.tasks.scoring import add_up, tallies_of
from tests.exchange import peer_environment

CLOSE = 1e-9
TYPES = load(entry_points=False)
TEXTS = TYPES.task_type("sequence-classification")
WORDS = TYPES.task_type("token-classification")
ANSWERS = TYPES.task_type("question-answering")
seeds = pytest.mark.parametrize("seed", range(12))
Tags = list[list[str]]


def scored(
    task_type: TaskType, gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]], head: Any
) -> dict[str, float]:
    examples, predictions = values(gold, said)
    return task_type.metrics(add_up(tallies_of(task_type, examples, predictions, head)), head)


def reported(
    task_type: TaskType, gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]], head: Any
) -> Report:
    return report(task_type, *values(gold, said), head)


def values(
    gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]]
) -> tuple[list[Example], list[Prediction]]:
    examples = [Example(("w",) * len(labels), tuple(labels)) for labels in gold]
    return examples, [Prediction(tuple(labels), ()) for labels in said]


def check_report(ours: Report, theirs: dict[str, Any], averages: Sequence[str]) -> None:
    """Compare with a `classification_report(..., output_dict=True)`."""
    labels = {row.label: row for row in ours.labels}
    for name in ("accuracy", "micro avg", "macro avg", "weighted avg"):
        if isinstance(theirs.get(name), dict) and name not in averages:
            del theirs[name]
    assert set(theirs) - set(averages) - {"accuracy"} == set(labels)
    for label, row in labels.items():
        assert row.precision == pytest.approx(theirs[label]["precision"], abs=CLOSE)
        assert row.recall == pytest.approx(theirs[label]["recall"], abs=CLOSE)
        assert row.f1 == pytest.approx(theirs[label]["f1-score"], abs=CLOSE)
        assert row.support == theirs[label]["support"]
    for name in averages:
        average = ours.averages[name.removesuffix(" avg")]
        assert average.precision == pytest.approx(theirs[name]["precision"], abs=CLOSE)
        assert average.recall == pytest.approx(theirs[name]["recall"], abs=CLOSE)
        assert average.f1 == pytest.approx(theirs[name]["f1-score"], abs=CLOSE)


@seeds
def test_labels_of_texts_equal_scikit_learn(seed: int) -> None:
    draw = random.Random(seed)
    head = draw.sample(["a", "b", "c", "d"], 3)
    gold = [draw.choice("abcdef") for _ in range(draw.randint(1, 60))]  # the head lacks some
    said = [draw.choice([label, *head]) if label in head else draw.choice(head) for label in gold]
    one_each = ([[label] for label in gold], [[label] for label in said])
    ours = scored(TEXTS, *one_each, head)
    macro = sklearn.f1_score(gold, said, average="macro", zero_division=0)
    assert ours["macro_f1"] == pytest.approx(macro, abs=CLOSE)
    assert ours["accuracy"] == pytest.approx(sklearn.accuracy_score(gold, said), abs=CLOSE)
    theirs = sklearn.classification_report(gold, said, output_dict=True, zero_division=0)
    found = reported(TEXTS, *one_each, head)
    check_report(found, theirs, ("macro avg", "weighted avg"))
    names = sorted({*gold, *said})
    assert [row.label for row in found.labels] == names
    confused = sklearn.confusion_matrix(gold, said, labels=names).tolist()
    assert [[found.confusion[g, p] for p in names] for g in names] == confused


@seeds
def test_tags_of_words_equal_scikit_learn(seed: int) -> None:
    draw = random.Random(seed)
    head = ["ADJ", "NOUN", "VERB"]
    gold = [
        [draw.choice([*head, "XPOS", "foo"]) for _ in range(draw.randint(1, 9))] for _ in "abcd"
    ]
    said = [[draw.choice(head) for _ in tags] for tags in gold]
    flat, flat_said = ([tag for tags in side for tag in tags] for side in (gold, said))
    ours = scored(WORDS, gold, said, head)
    assert ours["accuracy"] == pytest.approx(sklearn.accuracy_score(flat, flat_said), abs=CLOSE)
    theirs = sklearn.classification_report(flat, flat_said, output_dict=True, zero_division=0)
    check_report(reported(WORDS, gold, said, head), theirs, ("macro avg", "weighted avg"))


SCHEMES = {"BIO": "BI", "IOB1": "I", "BIOES": "BIES", "no inside": "BES"}


@seeds
@pytest.mark.parametrize("scheme", SCHEMES)
def test_spans_equal_seqeval(scheme: str, seed: int) -> None:
    """Also where tags break the scheme: any letter after any other."""
    draw = random.Random(seed)
    head = ["O", *(f"{letter}-{name}" for letter in SCHEMES[scheme] for name in ("PER", "a-b"))]
    gold = [[draw.choice(head) for _ in range(draw.randint(1, 12))] for _ in range(8)]
    gold[0] = [tag.replace("PER", "NEW") for tag in gold[0]]  # a type that the head lacks
    said = [[draw.choice([tag, tag, draw.choice(head)]) for tag in tags] for tags in gold]
    ours = scored(WORDS, gold, said, head)
    assert next(iter(ours)) == WORDS.main_metric_for(head) == "f1"
    assert ours["f1"] == pytest.approx(seqeval.f1_score(gold, said), abs=CLOSE)
    assert ours["accuracy"] == pytest.approx(seqeval.accuracy_score(gold, said), abs=CLOSE)
    theirs = seqeval.classification_report(gold, said, output_dict=True, zero_division=0)
    check_report(
        reported(WORDS, gold, said, head), theirs, ("micro avg", "macro avg", "weighted avg")
    )


@seeds
def test_spans_of_bilou_equal_seqeval_in_that_scheme(seed: int) -> None:
    draw = random.Random(seed)
    gold, said = sentences(draw, 8), sentences(draw, 8)
    head = sorted({tag for tags in (*gold, *said) for tag in bilou(tags)} | {"O", "B-PER"})
    gold_tags, said_tags = [bilou(tags) for tags in gold], [bilou(tags) for tags in said]
    ours = scored(WORDS, gold_tags, said_tags, head)
    theirs = seqeval.f1_score(gold_tags, said_tags, mode="strict", scheme=BILOU)
    assert ours["f1"] == pytest.approx(theirs, abs=CLOSE)


@seeds
def test_the_scheme_of_the_data_changes_no_score(seed: int) -> None:
    """A head in BIO, and one in BILOU, on data in BIO, BILOU and IOB1."""
    draw = random.Random(seed)
    gold, said = sentences(draw, 6), sentences(draw, 6)
    bio = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
    expected = scored(WORDS, [as_bio(s) for s in gold], [as_bio(s) for s in said], bio)
    others = sorted({tag for tags in said for tag in bilou(tags)} | {"L-PER", "O"})
    for written in (as_bio, bilou, iob1):
        for spelt, head in ((as_bio, bio), (bilou, others)):
            found = scored(WORDS, [written(s) for s in gold], [spelt(s) for s in said], head)
            assert found["f1"] == expected["f1"]
            if {written, spelt} == {as_bio, bilou}:  # words are compared in BIO then
                assert found["accuracy"] == expected["accuracy"]


Sentence = list[tuple[str, int]]


def sentences(draw: random.Random, count: int) -> list[Sentence]:
    """Return sentences of 12 words as runs: a type of span (or `O`) and a number of words."""
    result = []
    for _ in range(count):
        runs: Sentence = []
        while (left := 12 - sum(length for _, length in runs)) > 0:
            runs.append((draw.choice(["O", "PER", "LOC"]), draw.randint(1, min(3, left))))
        result.append(runs)
    return result


def as_bio(sentence: Sentence) -> list[str]:
    return [
        "O" if name == "O" else f"{'I' if at else 'B'}-{name}"
        for name, length in sentence
        for at in range(length)
    ]


def iob1(sentence: Sentence) -> list[str]:
    tags, before = [], "O"
    for name, length in sentence:
        first = f"B-{name}" if name == before else f"I-{name}"
        tags += ["O"] * length if name == "O" else [first, *[f"I-{name}"] * (length - 1)]
        before = name
    return tags


def bilou(sentence: Sentence) -> list[str]:
    tags = []
    for name, length in sentence:
        letters = "U" if length == 1 else "B" + "I" * (length - 2) + "L"
        tags += ["O" if name == "O" else f"{letter}-{name}" for letter in letters]
    return tags


@seeds
def test_words_of_treebanks_equal_the_conll_2018_script(seed: int, tmp_path: Path) -> None:
    """Tags that the head lacks count; ranges and empty nodes are no words."""
    draw = random.Random(seed)
    head = ["NOUN", "PUNCT", "VERB"]
    gold = tmp_path / "gold.conllu"
    gold.write_text("".join(treebank_sentence(draw) for _ in range(9)), encoding="utf-8")
    examples = WORDS.read(gold)
    predictions = [
        Prediction(tuple(draw.choice(head) for _ in example.gold), ()) for example in examples
    ]
    total = add_up(tallies_of(WORDS, examples, predictions, head))
    said = iter([label for prediction in predictions for label in prediction.labels])
    system = tmp_path / "system.conllu"
    system.write_text(
        "".join(retagged(line, said) for line in gold.read_text().splitlines(keepends=True))
    )
    with gold.open(encoding="utf-8") as ours_file, system.open(encoding="utf-8") as theirs_file:
        loaded = [udeval.load_conllu(file, "", {}) for file in (ours_file, theirs_file)]
    theirs = udeval.evaluate(*loaded)
    ours = WORDS.metrics(total, head)
    assert ours["accuracy"] == pytest.approx(theirs["UPOS"].f1, abs=CLOSE)
    assert total["words"] == theirs["UPOS"].gold_total  # type: ignore[call-overload]  # a mapping


def treebank_sentence(draw: random.Random) -> str:
    lines = ["# sent_id = x"]
    words = draw.randint(2, 9)
    for number in range(1, words):
        tag = draw.choice(["NOUN", "VERB", "PUNCT", "ADJ", "XXX"])
        if number == 2 and words > 3:
            lines.append("2-3\tw2w3" + "\t_" * 8)
        head = 0 if number == 1 else 1
        relation = "root" if number == 1 else "dep"
        lines.append(f"{number}\tw{number}\t_\t{tag}\t_\t_\t{head}\t{relation}\t_\t_")
        if draw.random() < 0.1:
            lines.append(f"{number}.1\tempty\t_\tNOUN\t_\t_\t_\t_\t1:dep\t_")
    return "\n".join(lines) + "\n\n"


def retagged(line: str, tags: Any) -> str:
    cells = line.split("\t")
    if len(cells) == 10 and cells[0].isdigit():
        cells[3] = next(tags)
    return "\t".join(cells)


VOCABULARY = ["the", "a", "mill", "Mill.", "grey", "«old»", "an-old", "river's", "42", "—", "Wheel"]


def answer(draw: random.Random, *, words: int = 4) -> str:
    """Return an answer with at least one word that is no article."""
    return " ".join(
        [*draw.choices(VOCABULARY, k=draw.randint(0, words)), "stone"][:: draw.choice([1, -1])]
    )


QUESTIONS = 25
SQUAD = """
import json, sys, types
from transformers.data.metrics.squad_metrics import squad_evaluate

def measured(gold, said):
    examples = [
        types.SimpleNamespace(qas_id=at, answers=[{"text": t} for t in texts if t != ""])
        for at, texts in enumerate(gold)
    ]
    return squad_evaluate(examples, dict(enumerate(text for (text,) in said)))

print(json.dumps([measured(*file) for file in json.load(sys.stdin)]))
"""


def questions(seed: int) -> tuple[Tags, Tags]:
    """Return gold and given answers; every second file has questions without an answer."""
    draw = random.Random(seed)
    gold = [[answer(draw) for _ in range(draw.randint(1, 3))] for _ in range(QUESTIONS)]
    if seed % 2:
        gold = [[""] if draw.random() < 0.3 else answers for answers in gold]
        gold[0] = draw.choice([["the"], ["An", "mill"]])  # gold answers without a word
    said = [[draw.choice([answer(draw), *answers])] for answers in gold]
    if seed % 2:
        said = [[""] if draw.random() < 0.2 else answers for answers in said]
        said[0] = [draw.choice(["", "a", "mill"])]
    return gold, said


@pytest.fixture(scope="module")
def squad() -> list[dict[str, float]]:
    """What SQuAD's own rules say of the files of every seed, in per cent."""
    folder = Path(os.environ.get("AHL_PEER", peer_environment.FOLDER))
    note = folder / peer_environment.UNAVAILABLE
    if note.exists():
        pytest.xfail(f"`adapters` could not be installed: {note.read_text(encoding='utf-8')}")
    run = subprocess.run(
        [str(peer_environment.interpreter(folder)), "-c", SQUAD],
        input=json.dumps([questions(seed) for seed in range(12)]),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, float]] = json.loads(run.stdout)
    return found


@seeds
def test_answers_equal_squad(seed: int, squad: list[dict[str, float]]) -> None:
    """SQuAD 2.0's figures where questions are unanswerable, else those that 1.1's share."""
    ours, theirs = scored(ANSWERS, *questions(seed), ()), squad[seed]
    names = {"f1": "f1", "exact_match": "exact"}
    if "NoAns_f1" in theirs:
        names |= {"has_answer_f1": "HasAns_f1", "has_answer_exact_match": "HasAns_exact"}
        names |= {"no_answer_f1": "NoAns_f1", "no_answer_exact_match": "NoAns_exact"}
    assert set(ours) == set(names)
    for name, other in names.items():
        assert ours[name] == pytest.approx(theirs[other] / 100, abs=CLOSE)

"""Files to examples: formats, and one clear error for every way in which a line can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from adapterhub_lite.errors import DataError
from adapterhub_lite.plugins import load
from adapterhub_lite.tasks.base import TaskType
from adapterhub_lite.tasks.files import read_lines
from adapterhub_lite.tasks.formats import detect

TYPES = load(entry_points=False).task_types
WORDS: TaskType = TYPES["token-classification"]
TEXTS: TaskType = TYPES["sequence-classification"]
ANSWERS: TaskType = TYPES["question-answering"]
LINES: TaskType = TYPES["language-modelling"]

CONLLU = """# sent_id = 1
# text = Im Garten
1-2\tIm\t_\t_\t_\t_\t_\t_\t_\t_
1\tIn\tin\tADP\tAPPR\t_\t3\tcase\t_\t_
2\tdem\tder\tDET\tART\t_\t3\tdet\t_\t_
3\tGarten\tGarten\tNOUN\tNN\t_\t0\troot\t_\t_
3.1\tblüht\tblühen\tVERB\tVV\t_\t_\t_\t_\t_

1\tSchön\tschön\t_\tADJD\t_\t0\troot\t_\t_
2\t!\t!\tPUNCT\t$.\t_\t1\tpunct\t_\t_
"""


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["a.conllu", "a.conllu.gz", "a.data"])
def test_conllu_drops_ranges_and_empty_nodes(tmp_path: Path, name: str) -> None:
    first, second = WORDS.read(write(tmp_path, name, CONLLU))
    assert first.inputs == ("In", "dem", "Garten")
    assert first.gold == ("ADP", "DET", "NOUN")
    assert second.inputs == ("Schön", "!")
    assert second.gold == (None, "PUNCT")  # `_` is no tag


def test_conllu_has_other_columns(tmp_path: Path) -> None:
    first, _ = WORDS.read(write(tmp_path, "a.conllu", CONLLU), {"tags": "xpos"})
    assert first.gold == ("APPR", "ART", "NN")


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.txt", "a"])
def test_two_columns(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, "\ufeffTa\tVERB\r\nmee\tPRON\r\n\r\n\r\nNa\tPART\n")
    first, second = WORDS.read(path)
    assert (first.inputs, first.gold) == (("Ta", "mee"), ("VERB", "PRON"))
    assert (second.inputs, second.gold) == (("Na",), ("PART",))


def test_tagged_json_lines(tmp_path: Path) -> None:
    rows = [{"words": ["Ta", "mee"], "tags": ["VERB", "_"], "language": "gv"}]
    path = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    (example,) = WORDS.read(path)
    assert example.gold == ("VERB", None)
    assert example.language == "gv"
    renamed = write(tmp_path, "b.jsonl", '{"tokens": ["a"], "upos": ["X"]}')
    (example,) = WORDS.read(renamed, {"words": "tokens", "tags": "upos"})
    assert example.gold == ("X",)


def test_untagged_text_is_split_into_words(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "T'eh braew, nagh vel?\n\nO'Brien's 3.5-litre car…\n")
    first, blank, second = WORDS.read(path, gold=False)
    assert (blank.inputs, blank.line) == ((), 2)  # stays in its place
    assert first.inputs == ("T'eh", "braew", ",", "nagh", "vel", "?")
    assert second.inputs == ("O'Brien's", "3.5-litre", "car", "…")


def test_classification_with_and_without_header(tmp_path: Path) -> None:
    header = write(tmp_path, "a.csv", 'label,text\ngood,"well, ""fine""\nindeed"\nbad,no\n')
    first, second = TEXTS.read(header)
    assert (first.inputs, first.gold) == (('well, "fine"\nindeed',), ("good",))
    assert second.position() == f"{header}:4"  # the record before it has a line end in it
    bare = write(tmp_path, "b.tsv", 'a "quoted text\tgood\nno\tbad\n')
    assert [e.gold for e in TEXTS.read(bare)] == [("good",), ("bad",)]
    pairs = write(tmp_path, "c.jsonl", '{"premise": "a", "hypothesis": "b", "y": "yes"}')
    (pair,) = TEXTS.read(pairs, {"text": "premise", "second": "hypothesis", "label": "y"})
    assert pair.inputs == ("a", "b")
    plain = write(tmp_path, "d.txt", "one\n\ntwo\n")
    assert [e.inputs for e in TEXTS.read(plain, gold=False)] == [("one",), (), ("two",)]


def test_questions_with_answers(tmp_path: Path) -> None:
    item = {
        "question": "Where?",
        "context": "She lives in Peel.",
        "answers": {"text": ["Peel"], "answer_start": [13]},
    }
    (example,) = ANSWERS.read(write(tmp_path, "a.jsonl", json.dumps(item)))
    assert (example.gold, example.starts) == (("Peel",), (13,))


BAD: list[tuple[TaskType, str, str | bytes, int | None, str]] = [
    (WORDS, "a.tsv", "", None, "empty"),
    (WORDS, "a.tsv", "\n \n", None, "empty"),
    (WORDS, "a.tsv", b"a\tX\nb\xe9\tX\n", 2, "not UTF-8 (byte 0xe9 at 2)"),
    (WORDS, "a.tsv", "a\tX\nb\x00\tX\n", 2, "garbled: U+0000"),
    (WORDS, "a.tsv", "a\tX\nb\ufffd\tX\n", 2, "garbled: U+FFFD"),
    (WORDS, "a.tsv", "a\tX\nb\n", 2, "expected 2 columns with tabs between them, as most lines"),
    (WORDS, "a.tsv", "a\tX\nb\tY\tZ\n", 2, "found 3"),
    (WORDS, "a.tsv", "a\tX\n\tY\n", 2, "an empty word or tag"),
    (WORDS, "a.conllu", CONLLU.replace("\tpunct\t_\t_", "\tpunct"), 10, "10 columns, found 8"),
    (WORDS, "a.conllu", CONLLU.replace("2\t!", "x\t!"), 10, "a word's number"),
    (WORDS, "a.csv", "word,tag\na\n", 2, "expected 2 columns, found 1"),
    (WORDS, "a.jsonl", '{"words": ["a"], "tags": ["X"]}\n{"words": ["a", "b"], "tags": ["X"]}', 2,
     "a list of 2 tags"),
    (WORDS, "a.jsonl", '{"words": "a b"}', 1, "a list of words"),
    (TEXTS, "a.csv", "text,label\nfine,good\nbad\n", 3, "expected 2 columns, found 1"),
    (TEXTS, "a.csv", "text,label\nfine,\n", 2, "no `label` here"),
    (TEXTS, "a.csv", 'text,label\n"fine,good\n', 2, "not CSV"),
    (TEXTS, "a.jsonl", '{"text": "a", "label": "b"}\n{"text": \n', 2, "not JSON"),
    (TEXTS, "a.jsonl", "[1]\n[2]", 1, "expected a JSON object, found list"),
    (ANSWERS, "a.jsonl", '{"question": "a", "context": " "}', 1, "needs texts"),
    (ANSWERS, "a.jsonl", '{"question": "a", "context": "b"}', 1, "`answers` needs"),
    (ANSWERS, "a.jsonl",
     '{"question": "a", "context": "bc", "answers": {"text": ["c"], "answer_start": [0]}}', 1,
     "the answer `c` is not at 0 in the context, `b` is"),
    (LINES, "a.txt.gz", b"", None, "empty"),
]  # fmt: skip


@pytest.mark.parametrize(("task_type", "name", "text", "line", "problem"), BAD)
def test_bad_lines(
    tmp_path: Path, task_type: TaskType, name: str, text: str | bytes, line: int, problem: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(DataError) as caught:
        task_type.read(path)
    where = f"{path}:{line}: " if line else f"{path}: "
    assert caught.value.message.startswith(where)
    assert problem in caught.value.message
    assert caught.value.facts["line"] == line


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        LINES.read(tmp_path / "none.txt")
    whole = gzip.compress(b"some text to pack " * 50)
    (tmp_path / "cut.txt.gz").write_bytes(whole[:-12])
    with pytest.raises(DataError, match="damaged gzip"):
        LINES.read(tmp_path / "cut.txt.gz")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', "jsonl"),
        ("# newdoc id = 1\n", "conllu"),
        ("1" + "\t_" * 9, "conllu"),
        ("a\tb", "columns"),
        ("a text\tb", "tsv"),
        ("a b", "text"),
        ("# a heading", "text"),
    ],
)
def test_formats_are_told_by_content(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, "file", "\n" + text)
    assert detect(path, read_lines(path)) == expected


def test_text_stays_as_it_is_in_the_file(tmp_path: Path) -> None:
    decomposed = "Fu\u0308\u00dfe"
    (example,) = LINES.read(write(tmp_path, "a.txt", decomposed))
    assert example.inputs == (decomposed,)

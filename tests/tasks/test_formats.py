"""What a file is, by its content; and what its columns are."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.errors import AhlError, DataError, UsageError
from adapterhub_lite.plugins import load
from adapterhub_lite.tasks.files import read_lines
from adapterhub_lite.tasks.formats import FORMATS, detect
from adapterhub_lite.tasks.schemes import in_scheme

TYPES = load(entry_points=False).task_types
WORDS = TYPES["token-classification"]
TEXTS = TYPES["sequence-classification"]
ANSWERS = TYPES["question-answering"]

PROSE = "Well, the cat sat.\nYes, sir, it did; and so on.\nIt was late.\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, "text"),
        ("Hello, world\nYes, sir\nNo, sir\n", "text"),
        ("one two\nthree four\nfive six\n", "text"),
        ("Yes, sir\nNo, sir\n", "text"),
        ("Chapter I\nChapter II\n", "text"),
        ("".join(f"Name{n} Surname{n % 5}\n" for n in range(60)), "text"),
        ("Ta mee goll\n" * 30, "text"),
        ("the DT\ndog NN\n\na DT\ncat NN\n", "columns"),
        (
            "\n".join(
                f"v{n} {'verb' if n % 2 else 'noun'}" + "\n" * (n % 5 == 4) for n in range(40)
            ),
            "columns",
        ),
        ("孩子们在花园里读旧书。\n她去了。\n", "text"),
        ('{"a": 1}\n{"a": 2}\n', "jsonl"),
        ('[{"a": 1},\n {"a": 2}]\n', "json"),
        ("[1] The first note.\n[2] The second.\n", "text"),
        ('{"data": [{"paragraphs": []}], "version": "v2.0"}\n', "json"),
        ("good film;pos\nbad film;neg\nfine, fine;pos\ndull;neg\n", "csv"),
        ("word NOUN\nother VERB\n", "columns"),
        ("a\tb\tc\n" * 3, "columns"),
        ("the first text\tpos\nthe second\tneg\n", "tsv"),
        ("7\tpos\tthe first text\n8\tneg\tthe second\n", "tsv"),
        (f"7\tpos\t{'孩子们在花园里读旧书' * 4}\n", "tsv"),
        ("# a = b\n1\tw" + "\t_" * 8 + "\n", "conllu"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a", "a.data"])
def test_content_decides(tmp_path: Path, text: str, expected: str, name: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert detect(path, read_lines(path)) == expected


def read_texts(folder: Path, text: str, name: str = "a.csv", **options: object) -> list[object]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return [(e.inputs[0], e.gold[0]) for e in TEXTS.read(path, **options)]  # type: ignore[arg-type]


def test_a_header_in_words_that_are_not_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        (f"ein recht langer Satz mit der Nummer {n}", ("gut", "schlecht")[n % 2]) for n in range(8)
    ]
    table = "Kommentar;Bewertung\n" + "".join(f"{text};{label}\n" for text, label in rows)
    assert read_texts(tmp_path, table) == rows
    assert "line is taken as a header" in caplog.text
    unsure = "Kommentar;Bewertung\n" + "".join(
        f"{n};{label}\n" for n, (_, label) in enumerate(rows)
    )
    assert len(read_texts(tmp_path, unsure)) == 9
    assert "`Bewertung` is in no other line" in caplog.text


def test_an_unknown_header_over_a_label_that_is_named_by_number(tmp_path: Path) -> None:
    rows = "".join(f"{n % 3},Titel {n},ein recht langer Satz mit Nummer {n}\n" for n in range(9))
    columns = {"label": "1", "text": "3"}
    examples = read_texts(tmp_path, f"Klasse,Titel,Inhalt\n{rows}", columns=columns)
    assert len(examples) == 9
    assert examples[0] == ("ein recht langer Satz mit Nummer 0", "0")


def test_an_example_whose_label_is_a_usual_name_is_no_header(tmp_path: Path) -> None:
    table = "what is it about\ttopic\nand this\tother\nor that\ttopic\n"
    assert len(read_texts(tmp_path, table, "a.tsv")) == 3


def test_columns_that_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a.csv:1: several columns could be `label`: `class`, `gold`"
    ):
        read_texts(tmp_path, "text,class,gold\na,b,c\n")
    assert read_texts(tmp_path, "text,class,gold\na,b,c\n", columns={"label": "gold"}) == [
        ("a", "c")
    ]
    with pytest.raises(DataError, match=r"a.csv:2: no `label` here, found `text`, `a`, `b`"):
        read_texts(tmp_path, "text,a,b\nx,y,z\n")
    assert read_texts(tmp_path, "x,y,z\nu,v,w\n", columns={"text": "1", "label": "3"}) == [
        ("x", "z"),
        ("u", "w"),
    ]
    with pytest.raises(DataError, match="no column `4` for `label`"):
        read_texts(tmp_path, "text,a,b\nx,y,z\n", columns={"label": "4"})


def test_formats_that_are_forced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("w5 w6\nw7 w8\n", encoding="utf-8")
    (example,) = WORDS.read(path, format="columns")
    assert (example.inputs, example.gold) == (("w5", "w7"), ("w6", "w8"))
    with pytest.raises(UsageError, match="classification does not read `conllu`"):
        TEXTS.read(path, format="conllu")
    with pytest.raises(UsageError, match=r"no format `cvs`\nhint: did you mean `csv`"):
        TEXTS.read(path, format="cvs")


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (WORDS, "what a film\tpos\nso dull a film\tneg\n", "a.txt:1: expected a word a line"),
        (TEXTS, "# a = b\n1\tw" + "\t_" * 8 + "\n", "found CoNLL-U"),
        (TEXTS, "w5\tNOUN\nw6\tVERB\n\nw7\tNOUN\n", "found words with tags"),
        (WORDS, PROSE, "expected words with tags, found a text a line"),
        (TEXTS, PROSE, "expected a text and a label a line, found texts alone"),
        (ANSWERS, "question,context\na,b\n", "expected questions with contexts, found csv"),
    ],
)  # fmt: skip
def test_data_of_another_kind_is_refused(
    tmp_path: Path, kind: object, text: str, problem: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        kind.read(path)  # type: ignore[attr-defined]
    assert problem in caught.value.message


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32-le", b"\xff\xfe\x00\x00"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends(tmp_path: Path, encoding: str, mark: bytes, newline: str) -> None:
    path = tmp_path / "a.txt"
    text = "Füße\tNOUN\nlaufen\tVERB\n\nEnde\tNOUN\n".replace("\n", newline)
    path.write_bytes(mark + text.encode(encoding))
    first, second = WORDS.read(path)
    assert first.inputs == ("Füße", "laufen")
    assert second.lines == (4,)


def test_encodings_without_a_mark_are_named(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "a file.txt"
    for encoding, name in (
        ("utf-16-le", "UTF-16LE"),
        ("utf-16-be", "UTF-16BE"),
        ("latin-1", "LATIN1"),
    ):
        path.write_bytes("Füße\tNOUN\nlaufen\tVERB\n".encode(encoding))
        with pytest.raises(DataError, match=name) as caught:
            WORDS.read(path)
        command = str(caught.value.hint).split("`")[1]
        subprocess.run(command, shell=True, check=True)
        (example,) = WORDS.read(tmp_path / "a file.utf8.txt")
        assert example.inputs == ("Füße", "laufen")


def test_a_hash_may_be_a_word(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("# id 7\n# O\nw5 B-X\n#w6 O\n\n# w 3\nw7 O\n", encoding="utf-8")
    first, second = WORDS.read(path)
    assert first.inputs == ("#", "w5", "#w6")
    assert first.key == "7"
    assert second.inputs == ("w7",)


def test_words_of_a_table_with_a_sentence_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Sentence #,Word,Tag\nSentence: 1,w5,O\n,w6,B-X\nSentence: 2,w7,O\n")
    first, second = WORDS.read(path)
    assert (first.inputs, first.gold) == (("w5", "w6"), ("O", "B-X"))
    assert (second.inputs, second.key) == (("w7",), "Sentence: 2")


ATOMS = (
    *("\t", " ", "\n", "\n\n", "\r", "\r\n", ",", ";", "|", '"', "'", "#", "# id 1", "-DOCSTART-"),
    *("O", "B-PER", "NOUN", "w5", "1", "1-2", "3.1", "_", "{", "}", "[", "]", "null", "[1]"),
    *("text", "label", "Word", "Tag", "\ufeff", "\u00e9", "中文字", "\u200b", "\x1c"),
    *('{"text": "a", "label": "b"}', '{"words": ["a"], "tags": ["X"]}', '{"data": []}'),
    '{"data": [{"paragraphs": [{"context": "c", "qas": [{"id": 1, "question": "q"}]}]}]}',
    "1\tw\t_\tX\t_\t_\t0\troot\t_\t_\n",
)  # fmt: skip


@given(
    parts=st.lists(st.sampled_from(ATOMS), min_size=1, max_size=25),
    name=st.sampled_from(["a", "a.txt", "a.csv", "a.tsv", "a.conllu", "a.jsonl", "a.json"]),
    format=st.sampled_from([None, None, None, *FORMATS]),
    columns=st.sampled_from([None, {"tags": "2"}, {"label": "-1", "text": "1"}, {"words": "x"}]),
)
def test_whatever_is_in_a_file_ends_in_examples_or_in_one_error(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[str],
    name: str,
    format: str | None,
    columns: dict[str, str] | None,
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes("".join(parts).encode())
    for kind in TYPES.values():
        for gold in (True, False):
            with contextlib.suppress(AhlError):
                assert kind.read(path, columns, gold=gold, format=format)


SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Peel",
            "paragraphs": [
                {
                    "context": "She lives in Peel, near the castle.",
                    "qas": [
                        {
                            "id": "q1",
                            "question": "Where?",
                            "answers": [
                                {"text": "Peel", "answer_start": 13},
                                {"text": "in Peel", "answer_start": 10},
                            ],
                            "is_impossible": False,
                        },
                        {
                            "id": "q2",
                            "question": "When?",
                            "answers": [],
                            "is_impossible": True,
                            "plausible_answers": [{"text": "castle", "answer_start": 28}],
                        },
                    ],
                }
            ],
        }
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["a.json", "a.txt"])
def test_squad(tmp_path: Path, indent: int | None, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(SQUAD, indent=indent), encoding="utf-8")
    where, when = ANSWERS.read(path)
    assert (where.gold, where.starts, where.key) == (("Peel", "in Peel"), (13, 10), "q1")
    assert (when.gold, when.starts) == (("",), ())
    assert ANSWERS.labels([where]) == ()
    assert ANSWERS.labels([where, when]) == ("unanswerable",)
    assert [e.inputs for e in ANSWERS.read(path, gold=False)] == [where.inputs, when.inputs]
    path.write_text(json.dumps(SQUAD).replace("13", "14"), encoding="utf-8")
    with pytest.raises(DataError, match="question `q1`: the answer `Peel` is not at 14"):
        ANSWERS.read(path)


def test_questions_in_json_lines_may_have_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    row = {"id": "7", "question": "a", "context": "b", "answers": {"text": [], "answer_start": []}}
    path.write_text(json.dumps(row), encoding="utf-8")
    (example,) = ANSWERS.read(path)
    assert (example.gold, example.key, example.line) == (("",), "7", 1)


@pytest.mark.parametrize(
    ("tags", "labels", "expected"),
    [
        ("B-A I-A B-A", "O I-A", "I-A I-A B-A"),  # IOB1; B-A is no label there, and stays
        ("I-A I-A O", "O B-A I-A B-B", "I-A I-A O"),
        ("S-A O B-A E-A", "O B-A I-A", "B-A O B-A I-A"),
        ("B_A I_A O", "O B-A I-A", "B-A I-A O"),
        ("B-A I-A I-A", "O S-A E-A B-B I-A B-A", "B-A I-A I-A"),
        ("U-A B-A L-A", "O S-A B-A I-A E-A", "S-A B-A E-A"),
        ("NOUN VERB", "O B-A I-A", "NOUN VERB"),
    ],
)
def test_tags_in_the_scheme_of_labels(tags: str, labels: str, expected: str) -> None:
    assert in_scheme(tags.split(), labels.split()) == tuple(expected.split())

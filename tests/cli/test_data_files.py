"""Files of labelled data in all three commands: one file, one reading, whatever its form."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adapterhub_lite import Home
from adapterhub_lite.cli import main
from adapterhub_lite.testing.homes import copy_home
from adapterhub_lite.testing.models import save_tiny_base

SENTENCES = [
    [("w5", "NOUN"), ("w6", "VERB"), (".", "PUNCT")],
    [("#", "SYM"), ("w8", "NOUN")],
    [("w9", "NOUN"), ("w10", "VERB"), ("w11", "NOUN"), (".", "PUNCT")],
]
WORDS = [[word for word, _ in sentence] for sentence in SENTENCES]


def call(home: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--home", str(home), *arguments])
    assert result.exit_code == code, result.output
    return result


def in_rows(mark: str, *, before: str = "", extra: tuple[str, ...] = ()) -> str:
    """The sentences with a word a line; `before` each sentence, `extra` columns in between."""
    blocks = [
        before.format(number=number)
        + "".join(mark.join((word, *extra, tag)) + "\n" for word, tag in sentence)
        for number, sentence in enumerate(SENTENCES, 1)
    ]
    return "\n".join(blocks)


def in_conllu() -> str:
    blocks = []
    for number, sentence in enumerate(SENTENCES, 1):
        rows = [
            "\t".join((str(at), word, "_", tag, "_", "_", "0", "root", "_", "_"))
            for at, (word, tag) in enumerate(sentence, 1)
        ]
        blocks.append("\n".join((f"# sent_id = s{number}", *rows)) + "\n")
    return "\n".join(blocks) + "\n"


FORMS = {
    "conllu": in_conllu(),
    "conllu with CR LF": in_conllu().replace("\n", "\r\n"),
    "blanks": in_rows(" "),
    "blanks, with ids": in_rows(" ", before="# id s{number}\tdomain=test\n"),
    "tabs": in_rows("\t", before="# sent_id = s{number}\n"),
    "tabs, with a mark": "\ufeff" + in_rows("\t"),
    "four columns": "-DOCSTART- -X- -X- O\n\n" + in_rows(" ", extra=("_", "B-NP")),
    "nine columns": in_rows(" ", extra=("-",) * 7),
    "WikiANN": "\n".join(f"en:{line}" if line else "" for line in in_rows("\t").split("\n")),
    "numbered": "\n\n".join(
        "\n".join(f"{at}\t{word}\t{tag}" for at, (word, tag) in enumerate(sentence, 1))
        for sentence in SENTENCES
    ),
    "with a header": "Token\tUPOS\n" + in_rows("\t"),
    "a table": "word;tag\n" + in_rows(";"),
    "JSON lines": "".join(
        json.dumps({"tokens": [w for w, _ in s], "pos_tags": [t for _, t in s]}) + "\n"
        for s in SENTENCES
    ),
    "JSON": json.dumps(
        [{"words": [w for w, _ in s], "tags": [t for _, t in s]} for s in SENTENCES], indent=1
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a tagger for parts of speech, one for names, a classifier and a reader."""
    folder = tmp_path_factory.mktemp("trained")
    home = Home.init(folder / "home").path
    save_tiny_base(home / "bases" / "tiny", "xlm-roberta")
    call(home, "add", str(home / "bases" / "tiny"), "--name", "tiny")
    draw = random.Random(0)
    tags = ("NOUN", "VERB", "PUNCT", "SYM")
    rows = [f"w{n}\t{tags[n % 4]}\n" + "\n" * (n % 5 == 0) for n in draw.choices(range(95), k=90)]
    (folder / "pos.tsv").write_text("".join(rows), encoding="utf-8")
    names = [f"w{n}\t{'B-PER' if n % 3 else 'O'}\n" + "\n" * (n % 5 == 0) for n in range(60)]
    (folder / "ner.tsv").write_text("".join(names), encoding="utf-8")
    texts = [f"w{n} w{n + 1} w{n + 2},{'neg' if n % 2 else 'pos'}\n" for n in range(40)]
    (folder / "texts.csv").write_text("text,label\n" + "".join(texts), encoding="utf-8")
    options = ("--source", "en", "--steps", "3", "--quiet")
    call(home, "train", "task", "pos", "--train", str(folder / "pos.tsv"), *options)
    call(home, "train", "task", "ner", "--train", str(folder / "ner.tsv"), *options)
    call(home, "train", "task", "sentiment", "--train", str(folder / "texts.csv"), *options)
    return home


@pytest.fixture(scope="module")
def pos_of_words(trained: Path) -> list[Any]:
    """What the tagger says of the sentences as words of a program."""
    import adapterhub_lite as ahl

    return [p.labels for p in ahl.predict(WORDS, composition="pos-en-alone", home=trained)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["data.txt", "data.conll"])
def test_every_form_is_one_data_set(
    trained: Path, pos_of_words: list[Any], tmp_path: Path, form: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS[form].encode())
    data = str(path)
    items = json.loads(
        call(trained, "predict", "en", "en", "--task", "pos", "--file", data, "--json").stdout
    )
    assert [item["inputs"] for item in items] == WORDS
    assert [tuple(item["labels"]) for item in items] == pos_of_words
    score = json.loads(
        call(trained, "evaluate", "en", "en", data, "--task", "pos", "--no-record", "--json").stdout
    )
    gold = [tag for sentence in SENTENCES for _, tag in sentence]
    predicted = [label for labels in pos_of_words for label in labels]
    right = sum(a == b for a, b in zip(gold, predicted, strict=True))
    assert score["n"] == len(gold)
    assert score["value"] == pytest.approx(right / len(gold))


@pytest.mark.parametrize("form", ["conllu", "blanks", "tabs", "four columns", "JSON lines"])
def test_training_reads_what_the_others_read(trained: Path, tmp_path: Path, form: str) -> None:
    home = copy_home(trained, tmp_path / "home").path
    path = tmp_path / "data.txt"
    path.write_bytes(FORMS[form].encode())
    command = ("train", "task", "pos", "--train", str(path), "--source", "en", "--name", "again")
    call(home, *command, "--steps", "1", "--quiet")
    manifest = json.loads(call(home, "show", "again", "--json").stdout)["manifest"]
    assert manifest["head"]["labels"] == ["NOUN", "PUNCT", "SYM", "VERB"]
    assert manifest["training"]["corpora"][0]["examples"] == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("w5 NOUN\nw6\nw7 VERB\n\nw8 NOUN\n" * 3, ":2: expected 2 columns"),
        ("w5\tNOUN\n\tVERB\n", ":2: an empty word"),
        ("1\tw5\t_\tNOUN\t_\t_\t0\troot\t_\n" * 2, "10 columns, found 9"),
    ],
)
def test_a_bad_row_is_refused_by_all(
    trained: Path, tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / ("data.conllu" if "root" in text else "data.txt")
    path.write_text(text, encoding="utf-8")
    data = str(path)
    errors = {
        call(trained, *command, code=1).stderr
        for command in (
            ("predict", "en", "en", "--task", "pos", "--file", data),
            ("evaluate", "en", "en", data, "--task", "pos"),
            ("train", "task", "pos", "--train", data, "--source", "en", "--name", "bad"),
        )
    }
    assert len(errors) == 1
    assert problem in errors.pop()


def test_text_stays_text_and_a_doubt_is_said(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "two-words-each.txt"
    path.write_text("w5 w6\nw7 w8\nw9 w5\nw6 w7\n", encoding="utf-8")
    predict = ("predict", "en", "en", "--task", "pos", "--file", str(path))
    items = json.loads(call(trained, *predict, "--json").stdout)
    assert items[0]["inputs"] == ["w5", "w6"]
    forced = json.loads(call(trained, *predict, "--format", "columns", "--json").stdout)
    assert [item["inputs"] for item in forced] == [["w5", "w7", "w9", "w6"]]
    path.write_text("w5\nw6\nw7\n", encoding="utf-8")
    doubted = call(trained, *predict)
    assert "--format columns" in doubted.stderr
    path.write_text("w5\nw6\n.\n\nw7\n.\n", encoding="utf-8")
    items = json.loads(call(trained, *predict, "--json").stdout)
    assert [item["inputs"] for item in items] == [["w5", "w6", "."], ["w7", "."]]


def test_columns_by_number_and_by_name(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("w5 NOUN B-NP O\nw6 VERB B-VP O\n\nw7 NOUN B-NP B-PER\n", encoding="utf-8")
    evaluate = ("evaluate", "en", "en", str(path), "--task", "pos", "--no-record", "--json")
    by_number = json.loads(call(trained, *evaluate, "--column", "tags=2").stdout)
    by_name = json.loads(call(trained, *evaluate, "--columns", "words=1,tags=pos").stdout)
    assert by_number["value"] == by_name["value"]
    assert by_number["n"] == 3
    error = call(trained, *evaluate, "--column", "tags=9", code=1).stdout
    assert "no column `9`" in error
    assert "from 1 to 4" in error


TABLES = {
    "Excel's, with a mark": ("\ufeffText;Label\r\nw5, w6;pos\r\nw7;neg\r\n", 2),
    "TSV": ("sentence\tgold\nw5, w6\tpos\nw7\tneg\n", 2),
    "bars": ("REVIEW|Class\nw5, w6|pos\nw7|neg\n", 2),
    "commas": ('text,sentiment\n"w5, w6",pos\nw7,neg\n', 2),
    "no header": ("w5, w6\tpos\nw7\tneg\n", 2),
    "three columns": ('id,Sentence,Category\n1,"w5, w6",pos\n2,w7,neg\n', 2),
    "JSON lines": ('{"review": "w5, w6", "tag": "pos"}\n{"review": "w7", "tag": "neg"}\n', 2),
    "UTF-16": ("\ufeffText\tLabel\nw5, w6\tpos\nw7\tneg\n", 2),
}  # fmt: skip


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
def test_a_header_is_no_example(trained: Path, tmp_path: Path, form: str, name: str) -> None:
    text, n = TABLES[form]
    path = tmp_path / name
    path.write_bytes(text.encode("utf-16-le" if form == "UTF-16" else "utf-8"))
    data = str(path)
    items = json.loads(
        call(trained, "predict", "en", "en", "--task", "sentiment", "--file", data, "--json").stdout
    )
    assert [item["inputs"] for item in items] == [["w5, w6"], ["w7"]]
    command = ("evaluate", "en", "en", data, "--task", "sentiment", "--no-record", "--json")
    assert json.loads(call(trained, *command).stdout)["n"] == n
    home = copy_home(trained, tmp_path / "home").path
    train = ("train", "task", "sentiment", "--train", data, "--source", "en", "--name", "again")
    call(home, *train, "--steps", "1", "--quiet")
    manifest = json.loads(call(home, "show", "again", "--json").stdout)["manifest"]
    assert manifest["head"]["labels"] == ["neg", "pos"]


@pytest.mark.parametrize(
    ("gold", "scheme"),
    [
        (["I-PER", "I-PER", "B-PER", "O"], "IOB1"),
        (["B-PER", "E-PER", "S-PER", "O"], "BIOES"),
        (["B-PER", "L-PER", "U-PER", "O"], "BILOU"),
        (["B-PER", "I-PER", "B-PER", "O"], "BIO"),
    ],
)
def test_schemes_of_spans_score_alike(
    trained: Path, tmp_path: Path, gold: list[str], scheme: str
) -> None:
    path = tmp_path / f"{scheme}.txt"
    words = [f"w{n}" for n in range(1, 9)]
    path.write_text("".join(f"{w} {t}\n" for w, t in zip(words, gold * 2, strict=True)))
    evaluate = ("evaluate", "en", "en", str(path), "--task", "ner", "--no-record", "--json")
    score = json.loads(call(trained, *evaluate).stdout)
    items = call(trained, "predict", "en", "en", "--task", "ner", "--file", str(path), "--json")
    (item,) = json.loads(items.stdout)
    # every predicted B-PER is a span of one word; of those in gold, words 3 and 7 are such spans
    predicted = {at for at, label in enumerate(item["labels"]) if label == "B-PER"}
    right = len(predicted & {2, 6})
    assert score["metric"] == "f1"
    assert score["value"] == pytest.approx(2 * right / (len(predicted) + 4))


@pytest.fixture
def ahl_json(trained: Path) -> Callable[..., Any]:
    def run(*arguments: str, code: int = 0) -> Any:
        return json.loads(call(trained, *arguments, "--json", code=code).stdout)

    return run


def test_as_many_out_as_in(trained: Path, ahl_json: Callable[..., Any], tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("w5 w6\n\nw7\n", encoding="utf-8")
    items = ahl_json("predict", "en", "en", "--task", "pos", "--file", str(text))
    assert [(item["line"], len(item["labels"])) for item in items] == [(1, 2), (2, 0), (3, 1)]
    assert {item["file"] for item in items} == {str(text)}
    texts = ahl_json("predict", "en", "en", "--task", "sentiment", "--file", str(text))
    assert [len(item["labels"]) for item in texts] == [1, 0, 1]
    printed = call(trained, "predict", "en", "en", "--task", "sentiment", "--file", str(text))
    assert [line.split("\t")[-1] for line in printed.stdout.splitlines()] == ["1", "2", "3"]
    conllu = tmp_path / "a.conllu"
    empty = "# sent_id = none\n# text = \n\n"
    conllu.write_text(empty + in_conllu(), encoding="utf-8")
    items = ahl_json("predict", "en", "en", "--task", "pos", "--file", str(conllu))
    assert [item["id"] for item in items] == ["none", "s1", "s2", "s3"]
    assert items[0]["labels"] == []
    tagged = call(trained, "predict", "en", "en", "--task", "pos", "--file", str(conllu))
    blocks = tagged.stdout.removesuffix("\n").split("\n\n")
    assert blocks[0] == "# sent_id = none"
    assert blocks[1].startswith("# sent_id = s1\nw5\t")


def test_words_are_printed_as_they_were(ahl_json: Callable[..., Any], tmp_path: Path) -> None:
    decomposed = "e\u0301te\u0301"
    path = tmp_path / "a.txt"
    path.write_text(f"w5 {decomposed} w6\n", encoding="utf-8")
    (item,) = ahl_json("predict", "en", "en", "--task", "pos", "--file", str(path))
    assert item["inputs"] == ["w5", decomposed, "w6"]


def test_long_texts(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.tsv"
    long = " ".join(f"w{5 + n % 90}" for n in range(1300))
    path.write_text(f"text\tlabel\n{long}\tpos\nw5\tneg\n", encoding="utf-8")
    predict = ("predict", "en", "en", "--task", "sentiment", "--file", str(path))
    cut = call(trained, *predict, "--json")
    first, second = json.loads(cut.stdout)
    assert first["cut"] > 700
    assert second["cut"] == 0
    assert "1 of 2 inputs are longer" in cut.stderr
    whole = call(trained, *predict, "--json", "--long", "split")
    assert [item["cut"] for item in json.loads(whole.stdout)] == [0, 0]
    assert "longer" not in whole.stderr
    refused = call(trained, *predict, "--long", "refuse", code=1)
    assert f"{path}:2: " in refused.stderr
    evaluate = ("evaluate", "en", "en", str(path), "--task", "sentiment", "--no-record")
    scored = call(trained, *evaluate, "--json")
    assert json.loads(scored.stdout)["cut"] == 1
    assert "1 of 2 inputs are longer" in scored.stderr
    assert json.loads(call(trained, *evaluate, "--json", "--long", "split").stdout)["cut"] == 0
    call(trained, *evaluate, "--long", "refuse", code=1)


def test_a_composition_runs_on_a_file(ahl_json: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(FORMS["blanks"], encoding="utf-8")
    by_request = ahl_json("predict", "en", "en", "--task", "pos", "--file", str(path))
    named = ahl_json("predict", "--composition", "pos-en-alone", "--file", str(path))
    assert [item["labels"] for item in named] == [item["labels"] for item in by_request]

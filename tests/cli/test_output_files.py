"""`ahl predict --output`: the file that went in, with predictions in the place of labels."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from udtools.udeval import evaluate as ud_evaluate
from udtools.udeval import load_conllu

from adapterhub_lite import Home
from adapterhub_lite.cli import main
from adapterhub_lite.testing.models import save_tiny_base

CONLLU = """\
# newdoc id = d1
# sent_id = s1
# text = w5w6 w7
1-2\tw5w6\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=Yes
1\tw5\tw5\tNOUN\tA\tCase=Nom\t0\troot\t0:root\t_
2\tw6\tw6\tVERB\tB\t_\t1\tdep\t1:dep\tGloss=x|Ref=2
2.1\tw9\t_\t_\t_\t_\t_\t_\t1:dep\t_
3\tw7\tw7\tNOUN\tA\t_\t1\tdep\t1:dep\t_

# sent_id = s2
# text = e\u0301te\u0301 .
1\te\u0301te\u0301\tw8\tNOUN\tA\t_\t0\troot\t0:root\t_
2\t.\t.\tPUNCT\tC\t_\t1\tpunct\t1:punct\t_

"""


def call(home: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--home", str(home), *arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with taggers for UPOS and names, a classifier, and one that answers."""
    folder = tmp_path_factory.mktemp("trained")
    home = Home.init(folder / "home").path
    save_tiny_base(home / "bases" / "tiny", "xlm-roberta", words=["say", '"w5"'])
    call(home, "add", str(home / "bases" / "tiny"), "--name", "tiny")
    draw = random.Random(0)
    tags = ("NOUN", "VERB", "PUNCT")
    rows = [f"w{n}\t{tags[n % 3]}\n" + "\n" * (n % 5 == 0) for n in draw.choices(range(95), k=90)]
    (folder / "pos").write_text("".join(rows), encoding="utf-8")
    names = [f"w{n} {'B-PER' if n % 3 else 'O'}\n" + "\n" * (n % 5 == 0) for n in range(60)]
    (folder / "ner").write_text("".join(names), encoding="utf-8")
    texts = [f"w{n} w{n + 1} w{n + 2},{'neg' if n % 2 else 'pos'}\n" for n in range(40)]
    (folder / "sentiment").write_text("text,label\n" + "".join(texts), encoding="utf-8")
    (folder / "qa").write_text(json.dumps(squad(40)), encoding="utf-8")
    options = ("--source", "en", "--steps", "12", "--lr", "0.02", "--quiet")
    for task in ("pos", "ner", "sentiment", "qa"):
        call(home, "train", "task", task, "--train", str(folder / task), *options)
    return home


def squad(count: int) -> dict[str, Any]:
    """SQuAD 2.0's form: of a context with w90 that word is asked for; others have no answer."""
    paragraphs = []
    for n in range(count):
        possible = n % 2 == 0
        context = f"w{5 + n} {'w90' if possible else 'w30'} w{6 + n}"
        answers = [{"text": "w90", "answer_start": context.index("w90")}] if possible else []
        question = {
            "id": f"q{n}",
            "question": "w41",
            "answers": answers,
            "is_impossible": not possible,
        }
        paragraphs.append({"context": context, "qas": [question]})
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}


def predict(
    home: Path, task: str, path: Path, output: Path, *options: str, code: int = 0
) -> Result:
    command = ("predict", "en", "en", "--task", task, "--file", str(path), "--output", str(output))
    return call(home, *command, *options, code=code)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_conllu_stays_conllu(home: Path, tmp_path: Path, newline: str, mark: str) -> None:
    path, output = tmp_path / "a.conllu", tmp_path / "b.conllu"
    path.write_bytes((mark + CONLLU).replace("\n", newline).encode())
    result = predict(home, "pos", path, output)
    assert result.stdout == ""
    assert "wrote 2 predictions" in result.stderr
    items = json.loads(
        call(home, "predict", "en", "en", "--task", "pos", "--file", str(path), "--json").stdout
    )
    labels = iter([label for item in items for label in item["labels"]])
    expected = []
    for line in path.read_bytes().decode().split("\n"):
        cells = line.split("\t")
        if cells[0].isdigit():
            cells[3] = next(labels)
        expected.append("\t".join(cells))
    assert output.read_bytes().decode() == "\n".join(expected)


def test_the_script_of_ud_takes_it(home: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "a.conllu", tmp_path / "b.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    predict(home, "pos", path, output)
    with path.open(encoding="utf-8") as gold, output.open(encoding="utf-8") as system:
        trees = [load_conllu(file, file.name, {}) for file in (gold, system)]
    scores = ud_evaluate(*trees)
    command = ("evaluate", "en", "en", str(path), "--task", "pos", "--no-record", "--json")
    ours = json.loads(call(home, *command).stdout)
    assert scores["UPOS"].f1 == pytest.approx(ours["value"], abs=1e-9)
    assert scores["Words"].f1 == scores["Lemmas"].f1 == scores["UAS"].f1 == 1


def test_labels_go_into_no_column_of_another_kind(home: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "a.conllu", tmp_path / "b.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    refused = predict(home, "ner", path, output, code=1)
    assert "which column is for the labels `B-PER`, `O`" in refused.stderr
    assert not output.exists()
    predict(home, "ner", path, output, "--column", "tags=xpos")
    assert {
        line.split("\t")[4] for line in output.read_text().split("\n") if line[:2] == "1\t"
    } <= {
        "B-PER",
        "O",
    }
    four = tmp_path / "four.txt"
    four.write_text("-DOCSTART- -X- O O\n\nw5 NOUN B-NP B-ORG\nw6  VERB B-VP O\n", encoding="utf-8")
    refused = predict(home, "pos", four, output, code=1)
    assert "column 4 has `B-ORG`" in refused.stderr
    predict(home, "pos", four, output, "--column", "tags=pos")
    lines = output.read_text().split("\n")
    assert lines[:2] == ["-DOCSTART- -X- O O", ""]
    assert lines[2].startswith("w5 ")
    assert lines[2].endswith(" B-NP B-ORG")
    assert lines[3].startswith("w6  ")


@pytest.mark.parametrize(
    ("task", "name", "text", "field"),
    [
        ("pos", "a.tsv", "# sent_id = 1\nw5\tNOUN\nw6\tVERB\n\nw7\tNOUN\n", None),
        ("pos", "a.txt", "w5  NOUN\nw6 VERB\n\nw7 NOUN\n", None),
        ("pos", "a.jsonl", '{"id": 1, "tokens": ["w5", "w6"]}\n\n{"tokens": ["w7"]}\n', "tags"),
        ("sentiment", "a.csv", 'id;Text;Label\n1;"w5; w6";pos\n2;w7;neg\n', "Label"),
        ("sentiment", "a.tsv", 'say "w5"\tpos\nw6\tneg\n', None),
        ("sentiment", "a.json", '[{"review": "w5", "more": [1]}, {"review": "w6"}]', "label"),
    ],
)
def test_other_forms_stay_too(
    home: Path, tmp_path: Path, task: str, name: str, text: str, field: str | None
) -> None:
    path, output = tmp_path / name, tmp_path / f"out-{name}"
    path.write_text(text, encoding="utf-8")
    predict(home, task, path, output)
    command = ("predict", "en", "en", "--task", task, "--json", "--file")
    before = json.loads(call(home, *command, str(path)).stdout)
    after = json.loads(call(home, *command, str(output)).stdout)
    assert before == [{**item, "file": str(path)} for item in after], "it can be read again"
    columns = ("--columns", f"{'tags' if task == 'pos' else 'label'}={field}") if field else ()
    evaluate = ("evaluate", "en", "en", str(output), "--task", task, "--no-record", "--json")
    assert json.loads(call(home, *evaluate, *columns).stdout)["metrics"]["accuracy"] == 1


def test_text_becomes_a_table_and_json_lines(home: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "a.txt", tmp_path / "b.tsv"
    path.write_text("w5 w6\n\nw7\n", encoding="utf-8")
    predict(home, "pos", path, output)
    blocks = output.read_text().split("\n\n")
    assert [block.split("\t")[0] for block in blocks] == ["w5", "\nw7"]
    result = predict(home, "pos", path, output, "--json")
    assert json.loads(result.stdout) == {"output": str(output), "items": 3, "cut": 0}
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["line"] for row in rows] == [1, 2, 3]
    zipped = tmp_path / "b.tsv.gz"
    predict(home, "sentiment", path, zipped)
    texts = gzip.decompress(zipped.read_bytes()).decode().split("\n")
    assert [text.split("\t")[0] for text in texts] == ["w5 w6", "", "w7", ""]


def test_output_is_looked_at_before_the_work(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("w5 w6\n", encoding="utf-8")
    refused = predict(home, "pos", path, tmp_path / "none" / "b.txt", code=2)
    assert "there is no folder" in refused.stderr
    refused = predict(home, "pos", path, tmp_path, code=2)
    assert "it is a folder" in refused.stderr


def test_questions_without_answer(home: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "a.json", tmp_path / "b.json"
    path.write_text(json.dumps(squad(10)), encoding="utf-8")
    predict(home, "qa", path, output)
    answers = json.loads(output.read_text())
    assert list(answers) == [f"q{n}" for n in range(10)]
    evaluate = ("evaluate", "en", "en", str(path), "--task", "qa", "--no-record", "--json")
    measured = json.loads(call(home, *evaluate).stdout)["metrics"]
    # SQuAD 2.0: a question without answer is right if nothing is answered
    gold = {f"q{n}": "w90" if n % 2 == 0 else "" for n in range(10)}
    right = sum(answers[key] == gold[key] for key in gold)
    assert measured["exact_match"] == pytest.approx(right / 10)
    assert "" in answers.values()

"""From an empty home to labels and scores, by commands alone, on a tiny random base."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from adapterhub_lite import Home
from adapterhub_lite.cli import main
from adapterhub_lite.cli.evaluating import _print_report
from adapterhub_lite.evaluation import Report
from adapterhub_lite.testing.homes import copy_home
from adapterhub_lite.testing.models import save_tiny_base

SHORT = ("--steps", "3", "--batch-size", "4", "--setting", "block=16", "--quiet")
SENTENCE = "w5 w6 w7"


def call(home: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--home", str(home), *arguments])
    assert result.exit_code == code, result.output
    return result


def write_data(folder: Path) -> None:
    """Text of two languages that share no word, and words tagged by their number."""
    draw = random.Random(0)
    for tag, words in {"en": range(5, 50), "gv": range(50, 95)}.items():
        lines = (" ".join(f"w{n}" for n in draw.choices(words, k=12)) for _ in range(80))
        (folder / f"{tag}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tagged = ((f"w{n}", "NOUN" if n % 2 else "VERB") for n in draw.choices(range(5, 50), k=120))
    rows = [f"{word}\t{tag}\n" + "\n" * (i % 6 == 5) for i, (word, tag) in enumerate(tagged)]
    (folder / "pos.tsv").write_text("".join(rows), encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which en, gv, the pair and pos were trained by commands."""
    home = Home.init(tmp_path_factory.mktemp("trained") / "home").path
    save_tiny_base(home / "bases" / "tiny", "xlm-roberta")
    write_data(home)
    assert call(home, "add", str(home / "bases" / "tiny"), "--name", "tiny").stdout == "tiny\n"
    for tag in ("en", "gv"):
        text = str(home / f"{tag}.txt")
        call(home, "train", "language", tag, "--text", text, "--set", "reduction=4", *SHORT)
    texts = [f"--text=en={home / 'en.txt'}", f"--text=gv={home / 'gv.txt'}"]
    call(home, "train", "bilingual", "en", "gv", *texts, "--ratio", "1:2", *SHORT)
    task = ("train", "task", "pos", "--train", str(home / "pos.tsv"), "--source", "en")
    call(home, *task, "--over", "en", "--steps", "3", "--quiet")
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    return copy_home(trained, tmp_path / "home").path


@pytest.fixture
def ahl_json(home: Path) -> Callable[..., Any]:
    def run(*arguments: str, code: int = 0) -> Any:
        return json.loads(call(home, *arguments, "--json", code=code).stdout)

    return run


def test_training_recorded_what_was_asked_for(ahl_json: Callable[..., Any]) -> None:
    shown = ahl_json("show", "gv")
    manifest = shown["manifest"]
    assert manifest["config"]["reduction"] == 4.0
    assert manifest["training"]["steps"] == 3
    assert manifest["training"]["settings"]["block"] == 16
    assert manifest["training"]["corpora"][0]["name"] == "gv.txt"
    over = ahl_json("show", ahl_json("list", "--task", "pos")[0]["name"])["manifest"]
    assert over["trained_over"][0]["digest"] == ahl_json("show", "en")["digest"]
    assert ahl_json("show", "en-gv")["manifest"]["training"]["settings"]["ratio"] == [1, 2]


def test_bases_are_listed(ahl_json: Callable[..., Any], home: Path) -> None:
    (base,) = ahl_json("list", "--bases")
    assert base["location"] == "bases/tiny"
    assert base["identity"]["layers"] == 3
    _, line = call(home, "list", "--bases").stdout.splitlines()
    assert line.split("\t")[:3] == ["tiny", "xlm-roberta", "3 × 32"]


def test_predict_a_sentence(home: Path, ahl_json: Callable[..., Any]) -> None:
    lines = call(home, "predict", "en", "gv", SENTENCE, "--task", "pos").stdout.splitlines()
    words, labels, sure = zip(*(line.split("\t") for line in lines), strict=True)
    assert words == ("w5", "w6", "w7")
    assert set(labels) <= {"NOUN", "VERB"}
    assert all(0.5 <= float(value) <= 1 for value in sure)
    (item,) = ahl_json("predict", "en", "gv", SENTENCE, "--task", "pos")
    assert item["inputs"] == list(words)
    assert item["labels"] == list(labels)


def test_two_languages_in_one_call_are_as_two_calls(ahl_json: Callable[..., Any]) -> None:
    both = ahl_json("predict", "en", "gv,en", SENTENCE, SENTENCE, "--task", "pos")
    assert [item["language"] for item in both] == ["gv", "en"]
    for item in both:
        (alone,) = ahl_json("predict", "en", item["language"], SENTENCE, "--task", "pos")
        assert item["labels"] == alone["labels"]
        assert item["probabilities"] == pytest.approx(alone["probabilities"], abs=2e-4)


def test_a_composition_can_be_named(ahl_json: Callable[..., Any]) -> None:
    answer = ahl_json("resolve", "en", "gv", "--task", "pos")
    (item,) = ahl_json("predict", "--composition", answer["composition"], SENTENCE)
    (resolved,) = ahl_json("predict", "en", "gv", "--task", "pos", SENTENCE)
    assert item["probabilities"] == pytest.approx(resolved["probabilities"], abs=2e-4)


def test_predict_a_file(home: Path, ahl_json: Callable[..., Any], tmp_path: Path) -> None:
    text = tmp_path / "two.txt"
    text.write_text("w5 w6\nw7\n", encoding="utf-8")
    found = call(home, "predict", "en", "gv", "--task", "pos", "--file", str(text)).stdout
    blocks = [block.split("\n") for block in found.strip().split("\n\n")]
    assert [block[0] for block in blocks] == ["# line = 1", "# line = 2"]
    assert [len(block) - 1 for block in blocks] == [2, 1]
    records = tmp_path / "mixed.jsonl"
    rows = [{"words": ["w5", "w6"], "language": tag} for tag in ("gv", "en")]
    records.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    items = ahl_json("predict", "en", "--task", "pos", "--file", str(records))
    assert [item["language"] for item in items] == ["gv", "en"]
    records.write_text(records.read_text(encoding="utf-8").replace("language", "lang"))
    command = ("predict", "en", "--task", "pos", "--file", str(records))
    assert ahl_json(*command, "--lang-column", "lang") == items


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["predict", "en", "gv", "--task", "pos"], 2, "TEXT"),
        (["predict", "en", "gv", SENTENCE], 2, "--task"),
        (["predict", "--composition", "gv"], 2, "TEXT"),
        (["predict", "--composition", "stack(gv", SENTENCE], 2, ">>>"),
        (["predict", "en", "gv", "--task", "pos", "--file", "none.txt"], 1, "none.txt"),
        (["predict", "en", "gv,en", "--task", "pos", SENTENCE], 2, "2"),
        (["predict", "en", "gv", "--task", "ner", SENTENCE], 3, "ner"),
        (["evaluate", "en", "gv", "none.tsv", "--task", "pos"], 1, "none.tsv"),
        (["train", "language", "gv", "--text", "none.txt", *SHORT], 1, "none.txt"),
        (["train", "language", "gv", "--text", "gv.txt", "--setting", "blok=3"], 2, "block"),
        (["train", "language", "gv", "--text", "gv.txt", "--setting", "block=x"], 2, "int"),
        (["train", "language", "gv", "--text", "gv.txt", "--set", "reduktion=3"], 1, "reduction"),
        (["train", "language", "gv", "--text", "gv.txt", "--set", "reduction"], 1, "name=value"),
        (["train", "language", "gv", "--text", "gv.txt", "--leave-out", "9"], 2, "9"),
        (["train", "bilingual", "en", "gv", "--text", "gv.txt"], 2, "LANG=FILE"),
        (["train", "bilingual", "en", "gv", "--text", "en=en.txt", "--ratio", "1"], 2, "1:2"),
    ],
)
def test_mistakes_end_in_one_error(
    home: Path,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(trained)
    result = call(home, *arguments, code=code)
    assert result.stdout == ""
    assert [line[:7] for line in result.stderr.splitlines()].count("error: ") == 1
    assert words in result.stderr


def test_garbled_text_is_reported_with_its_line(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"w5 w6\nw7 \xff\xfe\n")
    result = call(home, "train", "language", "gv", "--text", str(path), *SHORT, code=1)
    assert result.stderr.startswith(f"error: {path}:2: ")


def test_progress_is_on_stderr_and_quiet_is_quiet(trained: Path, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home").path
    shutil.copy(trained / "gv.txt", tmp_path)
    train = ("train", "language", "gv", "--text", str(tmp_path / "gv.txt"), "--name", "again")
    short = ("--steps", "2", "--batch-size", "2", "--setting", "block=16")
    result = call(home, *train, *short)
    assert result.stdout.startswith("again@")
    assert result.stdout.count("\n") == 1
    assert "trained language adapter `again`" in result.stderr
    assert call(home, *train, *short, "--no-resume", "--quiet").stderr == ""


def test_evaluate_an_answer_a_composition_and_a_table(
    home: Path, trained: Path, ahl_json: Callable[..., Any]
) -> None:
    data = str(trained / "pos.tsv")
    answer = ahl_json("evaluate", "en", "gv", data, "--task", "pos")
    assert answer["low"] <= answer["value"] <= answer["high"]
    assert (answer["language"], answer["n"], answer["metric"]) == ("gv", 120, "accuracy")
    named = ("evaluate", "gv", data, "--composition", answer["composition"])
    assert ahl_json(*named)["value"] == answer["value"]
    measured = ahl_json("evaluate", "en", f"gv={data}", f"en={data}", "--task", "pos")
    assert measured["targets"] == ["gv", "en"]
    assert {"source-kept", "mad-x"} <= set(measured["strategies"])
    kept = {c["target"]: c for c in measured["cells"] if c["strategy"] == "source-kept"}
    assert kept["gv"]["mean"] == kept["en"]["mean"], "the same composition on the same file"
    assert len(Home.find(home).registry.scores(task="pos", language="gv")) >= 3


def test_evaluate_prints_uncertainty_and_draws(home: Path, trained: Path, tmp_path: Path) -> None:
    data, drawn = str(trained / "pos.tsv"), tmp_path / "table.svg"
    full = ("--full", data, "--full-seed", "0", "--full-seed", "1", "--quiet")
    options = ("--task", "pos", "--no-record", "--picture", str(drawn))
    result = call(home, "evaluate", "en", f"gv={data}", *options, *full)
    head, row, blank, *differences = (line.split("\t") for line in result.stdout.splitlines())
    assert head[0] == "target"
    assert blank == [""]
    assert differences[0] == ["target", "strategy", "against", "difference", "95 %", "p"]
    (resolved,) = [name for name, text in zip(head, row, strict=True) if text.endswith(" *")]
    others = [name for name in head if name not in {"target", resolved}]
    assert [line[:3] for line in differences[1:]] == [["gv", name, resolved] for name in others]
    assert "* is what `ahl resolve` answers" not in result.stderr, "--quiet"
    assert head[-1] == "full-fine-tuning"
    assert " ± " in row[-1]
    assert " to " in row[head.index("mad-x")]
    assert drawn.read_text(encoding="utf-8").startswith("<?xml")
    assert Home.find(home).registry.scores() == []


def test_evaluate_reports_by_label_and_draws_the_confusion(
    home: Path, trained: Path, tmp_path: Path
) -> None:
    data, drawn = str(trained / "pos.tsv"), tmp_path / "confusion.svg"
    asked = ("evaluate", "en", "gv", data, "--task", "pos", "--no-record", "--report")
    result = call(home, *asked, "--picture", str(drawn))
    score, labels, confusion = (
        [line.split("\t") for line in block.splitlines()] for block in result.stdout.split("\n\n")
    )
    assert score[0][-1] == "composition"
    assert "@" in score[1][-1], "by names"
    assert labels[0] == ["label", "precision", "recall", "f1", "support", "predicted"]
    assert labels[-3][0] == "micro average"
    names = confusion[0][1:]
    assert [row[0] for row in confusion[1:]] == names
    counts = [[0 if cell == "." else int(cell) for cell in row[1:]] for row in confusion[1:]]
    assert sum(map(sum, counts)) == 120
    drawn_text = drawn.read_text(encoding="utf-8")
    assert "gold" in drawn_text
    found = json.loads(call(home, *asked, "--json").stdout)
    assert found["report"]["confusion"] == {"labels": names, "matrix": counts}
    assert {row["label"] for row in found["report"]["labels"]} == set(names)


def test_a_confusion_matrix_too_wide_for_the_terminal_becomes_a_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [f"LABEL-{number}" for number in range(9)]
    confusion = Counter({(one, other): 1 for one in labels for other in labels})
    confusion["LABEL-3", "LABEL-5"] = 6
    report = Report((), {}, confusion)
    for width, head in ((60, ["gold", "predicted", "count"]), (200, ["gold", "\\", "predicted"])):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        with click.Context(main):
            _print_report(report)
        printed = capsys.readouterr()
        lines = [line.split() for line in click.unstyle(printed.out).splitlines() if line.strip()]
        (at,) = [number for number, line in enumerate(lines) if line[0] == "gold"]
        assert lines[at][:3] == head
        if width == 60:  # 6 of 14 with that gold label
            assert lines[at + 2] == ["LABEL-3", "LABEL-5", "6", "42.9", "%"]
            assert "`--picture FILE` or `--json`" in printed.err


def test_evaluate_a_lock(home: Path, trained: Path, tmp_path: Path) -> None:
    data, lock = str(trained / "pos.tsv"), str(tmp_path / "gv.lock")
    call(home, "resolve", "en", "gv", "--task", "pos", "--lock", lock)
    answer = json.loads(call(home, "evaluate", "en", "gv", data, "--task", "pos", "--json").stdout)
    for words in ((data,), ("Manx", data)):
        found = json.loads(call(home, "evaluate", *words, "--lock", lock, "--json").stdout)
        assert found == answer
    other = json.loads(call(home, "evaluate", "fo", data, "--lock", lock, "--json").stdout)
    assert (other["language"], other["value"]) == ("fo", answer["value"])
    call(home, "remove", "--force", answer["composition"].partition("(")[2].partition("@")[0])
    refused = call(home, "evaluate", data, "--lock", lock, code=1)
    assert "is not in this home" in refused.stderr
    assert "there is no lock file" in call(home, "evaluate", data, "--lock", "x", code=1).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["en", "gv", "pos.tsv"], "--task"),
        (["en", "gv", "--task", "pos"], "FILE"),
        (["gv", "--composition", "pos-en-over-en"], "TARGET FILE"),
        (["en", "gv=pos.tsv", "fo", "--task", "pos"], "TARGET=FILE"),
        (["en", "gv=pos.tsv", "--task", "pos", "--strategy", "madx"], "madx"),
        (["en", "gv=pos.tsv", "--task", "pos", "--picture", "table.xyz"], "table.xyz"),
        (["en", "gv", "pos.tsv", "--task", "pos", "--strategy", "mad-x"], "TARGET=FILE"),
        (["en", "gv", "pos.tsv", "--task", "pos", "--against", "mad-x"], "TARGET=FILE"),
        (["en", "gv=pos.tsv", "--task", "pos", "--report"], "`--report`"),
        (["gv", "pos.tsv", "--lock", "x.lock", "--composition", "pos-en"], "`--composition`"),
        (["pos.tsv", "--lock", "x.lock", "--task", "pos"], "`--task`"),
        (["gv", "pos.tsv", "--composition", "pos-en-over-en", "--full", "pos.tsv"], "`--full`"),
    ],
)
def test_wrong_evaluations_are_usage_errors(
    trained: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(trained)
    result = call(trained, "evaluate", *words, code=2)
    assert said in result.stderr


def test_an_interrupt_is_exit_code_130_and_the_run_goes_on_later(
    trained: Path, tmp_path: Path
) -> None:
    home = copy_home(trained, tmp_path / "home").path
    options = ("--text", str(trained / "gv.txt"), "--name", "long", "--batch-size", "2")
    train = ("train", "language", "gv", *options, "--setting=block=16", "--setting=save_every=5")
    command = [sys.executable, "-m", "adapterhub_lite", "--home", str(home), *train, "--steps=400"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has SIGINT ignored, and that is inherited
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        give_up = time.monotonic() + 120
        while not list((home / "runs").rglob("checkpoint-*/trainer_state.json")):
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.rstrip().endswith("interrupted")
    assert "Traceback" not in said
    resumed = call(home, *train, "--steps=400")
    assert "going on from checkpoint" in resumed.stderr
    assert resumed.stdout.startswith("long@")

"""Scores and predictions on data that do not suit the head or the base."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapterhub_lite.cli import main
from adapterhub_lite.errors import DataError
from adapterhub_lite.evaluation import evaluate, evaluate_table
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.prediction import predict, predict_file
from adapterhub_lite.testing.models import save_tiny_base

TAGGER = "pos-en-over-en"


@pytest.fixture
def ahl(home: Home, base: Base) -> Callable[..., Result]:
    save_tiny_base(home.path / "tiny", "xlm-roberta")
    home.registry.add_base(base.identity, "tiny")

    def call(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(home.path), *arguments])
        assert result.exit_code == code, result.output
        return result

    return call


def scores(home: Home) -> int:
    return len(home.registry.scores())


def write(path: Path, tags: str, words: str = "w5 w6 w7 w8") -> Path:
    rows = zip(words.split(), tags.split(), strict=True)
    sentence = "\n".join(f"{word}\t{tag}" for word, tag in rows)
    path.write_text("\n\n".join([sentence] * 6) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("tags", ["XXX YYY XXX YYY", "neg pos neg pos", "B-PER I-PER O O"])
def test_a_file_of_which_no_label_is_known_gives_no_score(
    home: Home, base: Base, tmp_path: Path, tags: str
) -> None:
    path = write(tmp_path / "test.tsv", tags)
    before = scores(home)
    with pytest.raises(DataError, match="the head knows none of the labels") as caught:
        evaluate(TAGGER, path, language="fo", base=base, home=home)
    assert caught.value.facts["unknown_labels"] == {
        t: 6 * tags.split().count(t) for t in set(tags.split())
    }
    with pytest.raises(DataError, match="the head knows none of the labels"):
        evaluate(TAGGER, path, language="fo", base=base, home=home, allow_unsuitable=True)
    assert scores(home) == before


def test_no_cell_of_a_table_is_measured_if_one_file_does_not_fit(
    home: Home, base: Base, test_file: Path, tmp_path: Path
) -> None:
    files = {"en": test_file, "fo": write(tmp_path / "test.tsv", "XXX YYY XXX YYY")}
    before = scores(home)
    with pytest.raises(DataError, match="the head knows none of the labels"):
        evaluate_table("pos", files, source="en", base=base, home=home)
    assert scores(home) == before


def test_unknown_labels_are_counted_in_words_and_in_json(
    ahl: Callable[..., Result], home: Home, tmp_path: Path
) -> None:
    path = write(tmp_path / "test.tsv", "NOUN XXX VERB ADJ")
    command = ("evaluate", "fo", str(path), "--composition", TAGGER)
    result = ahl(*command)
    assert (
        "6 of 24 labels (25.0%) are unknown to the head and count as wrong: `XXX` 6"
        in result.stderr
    )
    measured = json.loads(ahl(*command, "--json").stdout)
    assert measured["n"] == 24
    assert measured["unknown_labels"] == {"share": 0.25, "of": 24, "labels": {"XXX": 6}}
    assert measured["value"] <= 0.75
    table = ("evaluate", "en", f"fo={path}", "--task", "pos", "--strategy", "MAD-X", "--json")
    (cell,) = json.loads(ahl(*table).stdout)["cells"]
    assert cell["unknown_labels"]["labels"] == {"XXX": 6}


def test_labels_in_another_case_are_said_to_be(ahl: Callable[..., Result], tmp_path: Path) -> None:
    path = write(tmp_path / "test.tsv", "noun verb noun adj")
    refused = ahl("evaluate", "fo", str(path), "--composition", TAGGER, code=1).stderr
    assert "`noun` is `NOUN` there" in refused
    assert "hint: write the labels as the head has them" in refused


def test_a_file_with_one_label_is_a_warning(
    home: Home, base: Base, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "test.tsv", "NOUN NOUN NOUN NOUN")
    evaluate(TAGGER, path, language="fo", base=base, home=home)
    assert any("every label is `NOUN`" in message for message in caplog.messages)


def test_text_that_cannot_be_read_is_neither_scored_nor_labelled(
    ahl: Callable[..., Result], home: Home, tmp_path: Path
) -> None:
    words = "ⵣⵣⵣ ⵏⵏⵏ ⵛⵛⵛ w5"
    path = write(tmp_path / "test.tsv", "NOUN NOUN VERB ADJ", words)
    refusal = "cannot read 18 of 24 words (75%), as `ⵣⵣⵣ`, `ⵏⵏⵏ`, `ⵛⵛⵛ`"
    before = scores(home)
    assert refusal in ahl("evaluate", "fo", str(path), "--composition", TAGGER, code=1).stderr
    assert scores(home) == before
    allowed = ahl("evaluate", "fo", str(path), "--composition", TAGGER, "--allow-unsuitable")
    assert refusal in allowed.stderr
    assert refusal in ahl("predict", "en", "fo", "--file", str(path), "--task=pos", code=1).stderr
    one = ahl("predict", "--composition", TAGGER, words, code=1)
    assert "the text: the vocabulary of" in one.stderr
    assert "3 of 4 words (75%)" in one.stderr
    assert "ⵣⵣⵣ\t" in ahl("predict", "--composition", TAGGER, words, "--allow-unsuitable").stdout


def test_each_language_of_a_batch_is_looked_at_by_itself(home: Home, base: Base) -> None:
    texts = ["w5 w6 w7 w8 w9 w10 w11", "ⵣⵣⵣ ⵏⵏⵏ ⵛⵛⵛ"]
    with pytest.raises(DataError, match=r"the text for `fo`: .* cannot read 3 of 3 words"):
        predict(texts, source="en", target=["en", "fo"], task="pos", base=base, home=home)


def test_lines_of_text_are_looked_at_as_words_are(home: Home, base: Base, tmp_path: Path) -> None:
    path = tmp_path / "zgh.txt"
    path.write_text("ⵣⵣⵣ ⵏⵏⵏ ⵛⵛⵛ\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"zgh.txt: the vocabulary of .* 3 of 3 words"):
        predict_file(path, source="en", target="fo", task="pos", base=base, home=home)


def test_what_is_fine_tuned_for_a_table_is_looked_at_too(
    ahl: Callable[..., Result], test_file: Path, tmp_path: Path
) -> None:
    full = write(tmp_path / "full.tsv", "NOUN VERB ADJ NOUN", "ⵣⵣⵣ ⵏⵏⵏ ⵛⵛⵛ w5")
    command = (
        "evaluate", "en", f"en={test_file}", "--task", "pos", "--full", str(full),
        "--full-seed=0",
    )  # fmt: skip
    refused = ahl(*command, code=1).stderr
    assert "full.tsv: the vocabulary of `tiny` cannot read 18 of 24 words" in refused

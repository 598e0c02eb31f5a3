"""Data that do not suit the job are noticed before any training starts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adapterhub_lite.cli import main
from adapterhub_lite.errors import DataError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import (
    LanguageSettings,
    TaskSettings,
    train_bilingual,
    train_full,
    train_language,
    train_task,
)
from tests.training.writing import write_tagged, write_text

SHORT = ("--steps=2", "--batch-size=2")
LANGUAGE = LanguageSettings(steps=2, batch_size=2, block=16)
TASK = TaskSettings(steps=2, batch_size=2)


@pytest.fixture
def ahl(home: Home) -> Callable[..., Result]:
    save_tiny_base(home.path / "tiny", "xlm-roberta")

    def call(*arguments: str, code: int = 0) -> Result:
        command = ["--home", str(home.path), *arguments, "--base", str(home.path / "tiny")]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == code, result.output
        assert code == 0 or isinstance(result.exception, SystemExit)
        return result

    return call


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def treebank(path: Path, *, sentences: int = 40, text: bool = True) -> Path:
    """CoNLL-U of the tiny tokenizer's words; the comment says what the words do not: `w95`."""
    lines: list[str] = []
    draw = random.Random(0)
    for number in range(sentences):
        words = [f"w{draw.randint(5, 90)}" for _ in range(6)]
        lines += [f"# sent_id = {number}"]
        lines += [f"# text = {' '.join(words)} w95"] if text else []
        lines += [f"{n}\t{w}\t{w}\tNOUN\t_\t_\t0\t_\t_\t_" for n, w in enumerate(words, 1)]
        lines += [""]
    return write(path, *lines)


@pytest.fixture
def annotated(tmp_path: Path) -> dict[str, Path]:
    draw = random.Random(1)
    words = [f"w{draw.randint(5, 90)}" for _ in range(120)]
    rows = [f"{w}\t{['NOUN', 'VERB'][n % 2]}" for n, w in enumerate(words)]
    texts = [" ".join(words[n : n + 6]) for n in range(0, 120, 2)]
    return {
        "CoNLL-U annotation": treebank(tmp_path / "a.conllu"),
        "words with tags": write(tmp_path / "b.txt", *rows),
        "JSON lines": write(tmp_path / "c.txt", *(json.dumps({"text": t}) for t in texts)),
        "a table": write(tmp_path / "d.txt", "text;label", *(f"{t};a" for t in texts)),
        "XML or HTML": write(tmp_path / "e.txt", *(f"<p>{t}</p>" for t in texts)),
    }


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return our warnings: transformers has some of its own, of the file system for one."""
    records = [r for r in caplog.records if r.name.startswith("adapterhub_lite.")]
    return [record.message for record in records if record.levelname == "WARNING"]


def test_annotated_files_are_no_text_to_train_a_language_on(
    home: Home, base: Base, text: Path, annotated: dict[str, Path]
) -> None:
    common: dict[str, Any] = {
        "base": base, "home": home, "settings": LANGUAGE, "quiet": True,
    }  # fmt: skip
    for name, path in annotated.items():
        with pytest.raises(DataError, match=f"this is {name}.*, not running text") as caught:
            train_language("fo", path, **common)
        assert "`--allow-unsuitable` goes on all the same" in (caught.value.hint or "")
        with pytest.raises(DataError, match=f"this is {name}"):
            train_bilingual("en", "fo", text={"en": text, "fo": path}, **common)
    assert home.registry.count() == 0


def test_sentences_are_taken_out_of_annotated_files(
    home: Home, base: Base, annotated: dict[str, Path], tmp_path: Path
) -> None:
    common: dict[str, Any] = {"base": base, "home": home, "settings": LANGUAGE, "quiet": True}
    plain = write(
        tmp_path / "plain.txt",
        *(
            line.removeprefix("# text = ")
            for line in annotated["CoNLL-U annotation"].read_text().splitlines()
            if line.startswith("# text = ")
        ),
    )
    expected = train_language("fo", plain, name="plain", **common)
    for number, (name, path) in enumerate(annotated.items()):
        if name == "XML or HTML":
            with pytest.raises(DataError, match="nothing says which part of it is the text"):
                train_language("fo", path, extract_text=True, **common)
            continue
        adapter = train_language("fo", path, name=f"fo-{number}", extract_text=True, **common)
        record = adapter.manifest.training
        assert record is not None
        assert record.settings["extracted"] is True
        if name.startswith("CoNLL-U"):
            assert expected.manifest.training is not None
            assert record.tokens == expected.manifest.training.tokens
            assert record.metrics == expected.manifest.training.metrics


def test_the_hint_of_a_treebank_works(ahl: Callable[..., Result], tmp_path: Path) -> None:
    path = treebank(tmp_path / "fo.conllu", text=False)
    command = ("train", "language", "fo", "--text", str(path), *SHORT, "--setting=block=16")
    refused = ahl(*command, code=1)
    assert "this is CoNLL-U annotation, not running text" in refused.stderr
    assert "`--extract-text` takes the sentences out of it" in refused.stderr
    assert "took 40 sentences out of CoNLL-U annotation" in ahl(*command, "--extract-text").stderr
    allowed = ahl(*command, "--allow-unsuitable", "--name=meant")
    assert "this is CoNLL-U annotation, not running text" in allowed.stderr


@pytest.fixture
def tifinagh(tmp_path: Path) -> Path:
    letters = "ⴰⴱⴳⴷⴹⴻⴼⴽⵀⵃⵄⵅⵇⵉⵊⵍⵎⵏⵓⵔⵕⵖⵙⵚⵛⵜⵟⵡⵢⵣⵥ"
    draw = random.Random(2)
    words = ["".join(draw.choices(letters, k=4)) for _ in range(400)]
    return write(tmp_path / "zgh.txt", *(" ".join(words[n : n + 8]) for n in range(0, 400, 8)))


def test_text_in_a_script_that_the_vocabulary_lacks_is_refused(
    ahl: Callable[..., Result], home: Home, tifinagh: Path, tmp_path: Path
) -> None:
    block = "--setting=block=16"
    language = ("train", "language", "zgh", "--text", str(tifinagh), block, *SHORT)
    words = "cannot read 400 of 400 words (100%), as `ⴰ"[:40]
    assert words in ahl(*language, code=1).stderr
    rows = [f"{word}\t{['NOUN', 'VERB'][n % 2]}" for n, word in enumerate(tifinagh.read_text().split())]  # fmt: skip # noqa: E501
    task = (
        "train",
        "task",
        "pos",
        "--train",
        str(write(tmp_path / "a.tsv", *rows)),
        "--source=zgh",
    )
    assert words in ahl(*task, *SHORT, code=1).stderr
    assert json.loads(ahl(*task, *SHORT, "--json", code=1).stdout)["facts"]["unreadable"] == 400
    assert words in ahl(*task, *SHORT, "--allow-unsuitable").stderr
    # Nothing but unknown pieces: there is nothing to predict, whatever is allowed.
    nothing = ahl(*language, "--allow-unsuitable", code=1)
    assert "has no token that could be predicted" in nothing.stderr
    assert home.registry.count() == 1


def test_a_little_text_that_cannot_be_read_is_a_warning(
    home: Home, base: Base, text: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = text.read_text().splitlines()
    write(text, *(f"{line} ⵣⵣⵣ" if n % 2 else line for n, line in enumerate(lines)))
    train_language("fo", text, base=base, home=home, settings=LANGUAGE, quiet=True)
    (warning,) = warnings_of(caplog)
    assert "cannot read 100 of 1300 words (8%), as `ⵣⵣⵣ`" in warning


def test_bad_lines_are_skipped_on_request_and_counted(
    ahl: Callable[..., Result], home: Home, tmp_path: Path
) -> None:
    path = write_text(tmp_path / "text.txt", random.Random(1), low=5, high=50)
    lines = path.read_bytes().splitlines()
    lines[2] += b" \xef\xbf\xbd"
    lines[16] += b" caf\xe9"
    lines[40] += b" \x00"
    path.write_bytes(b"\n".join(lines))
    command = ("train", "language", "fo", "--text", str(path), *SHORT, "--setting=block=16")
    refused = ahl(*command, code=1).stderr
    assert f"{path}:3: garbled: U+FFFD" in refused
    assert "3 of 200 lines are bad: 3, 17, 41" in refused
    assert "hint: `--skip-bad` leaves such lines out" in refused
    assert json.loads(ahl(*command, "--json", code=1).stdout)["facts"]["bad_lines"] == [3, 17, 41]
    assert "skipped 3 of 200 lines: 3, 17, 41" in ahl(*command, "--skip-bad").stderr
    record = home.registry.get("fo").manifest.training
    assert record is not None
    assert record.settings["skipped_lines"] == 3
    assert record.corpora[0].examples == 197


def test_a_file_in_another_encoding_is_not_skipped_line_by_line(
    ahl: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\n".join(f"w{n} café" for n in range(5, 60)).encode("latin-1"))
    command = ("train", "language", "fo", "--text", str(path), *SHORT, "--setting=block=16")
    result = ahl(*command, "--skip-bad", code=1)
    assert "55 of 55 lines are like that" in result.stderr
    assert "iconv -f LATIN1" in result.stderr


def test_bad_pairs_are_skipped_too(
    home: Home, base: Base, text: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"w{5 + n % 40} w{6 + n % 40}\tw{7 + n % 40}" for n in range(100)]
    lines[7] = "w5 without translation"
    lines[9] = "w5\tw6 \ufffd"
    pairs = write(tmp_path / "pairs.tsv", *lines)
    common: dict[str, Any] = {
        "parallel": pairs, "base": base, "home": home, "settings": LANGUAGE, "quiet": True,
    }  # fmt: skip
    with pytest.raises(DataError, match=r"pairs\.tsv:10: garbled") as caught:
        train_language("fo", text, **common)
    assert caught.value.hint == "`--skip-bad` leaves such lines out"
    train_language("fo", text, skip_bad=True, **common)
    assert any("skipped 2 of 100 lines: 8, 10" in message for message in caplog.messages)


def train(task: str, path: Path, home: Home, base: Base, **more: Any) -> None:
    train_task(
        task, train=path, source="en", base=base, home=home, settings=TASK, quiet=True, **more
    )


def texts(count: int = 20) -> list[str]:
    return [f"w{5 + n} w{6 + n} w{7 + n}" for n in range(count)]


@pytest.mark.parametrize(
    ("task", "rows", "words"),
    [
        ("ner", [f"w{5 + n}\t{['NOUN', 'VERB', 'DET'][n % 3]}" for n in range(12)],
         r"universal parts of speech \(`NOUN`, `VERB`, `DET`\), and the task is `ner`"),
        ("ner", [f"w{5 + n}\t{['NOUN', 'VERB', 'XXX'][n % 3]}" for n in range(12)],
         "the labels are universal parts of speech"),
        ("pos", [f"w{5 + n}\t{['O', 'B-PER', 'I-PER'][n % 3]}" for n in range(12)],
         r"the labels are tags of spans .* and the task is `pos`"),
        ("sentiment", [f"w{5 + n}\t{['NOUN', 'VERB'][n % 2]}" for n in range(12)],
         "the labels are universal parts of speech"),
        ("topic", [f"{t}\t{['entailment', 'neutral'][n % 2]}" for n, t in enumerate(texts())],
         "the labels are labels of inference"),
        ("sentiment", [f"{n % 2}\t{t}" for n, t in enumerate(texts())],
         "20 labels in 20, nearly every one its own"),
        ("sentiment", [f"{t}\t{n / 7:.2f}" for n, t in enumerate(texts())],
         r"the labels are numbers \(`0.00`, .* no task type here predicts numbers"),
    ],
)  # fmt: skip
def test_labels_of_something_else_are_refused(
    home: Home, base: Base, tmp_path: Path, task: str, rows: list[str], words: str
) -> None:
    path = write(tmp_path / "train.tsv", *rows)
    with pytest.raises(DataError, match=words):
        train(task, path, home, base)
    assert home.registry.count() == 0
    train(task, path, home, base, allow_unsuitable=True)
    assert home.registry.count() == 1


def test_texts_are_no_words(home: Home, base: Base, tmp_path: Path) -> None:
    labels = ["pos", "neg"] * 10
    rows = [f"{t}\t{label}" for t, label in zip(texts(), labels, strict=True)]
    with pytest.raises(DataError, match="expected a word a line, found texts of several words"):
        train("pos", write(tmp_path / "train.tsv", *rows), home, base)
    records: Any = [{"words": texts(), "tags": labels}]
    with pytest.raises(DataError, match="whole texts where words should be, as `w5 w6 w7`"):
        train("pos", records, home, base)


def test_full_fine_tuning_looks_at_its_data_too(home: Home, base: Base, tagged: Path) -> None:
    with pytest.raises(DataError, match="the labels are universal parts of speech"):
        train_full("ner", train=tagged, source="en", base=base, home=home, settings=TASK)


@pytest.mark.parametrize(
    ("task", "rows"),
    [
        ("words-of-mine", [f"w{5 + n}\t{['NOUN', 'VERB'][n % 2]}" for n in range(12)]),
        ("pos", [f"w{5 + n}\t{['NN', 'VB', 'DT'][n % 3]}" for n in range(12)]),
        ("ner", [f"w{5 + n}\t{['O', 'PER', 'LOC'][n % 3]}" for n in range(12)]),
    ],
)
def test_tags_of_ones_own_are_let_through(
    home: Home, base: Base, tmp_path: Path, task: str, rows: list[str]
) -> None:
    path = write(tmp_path / "train.tsv", *rows)
    train(task, path, home, base, task_type="token-classification")


def test_labels_that_differ_in_case_are_a_warning(
    home: Home, base: Base, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"{t}\t{['Cats', 'cats', 'dogs'][n % 3]}" for n, t in enumerate(texts())]
    train("topic", write(tmp_path / "a.tsv", *rows), home, base)
    assert any("`Cats` and `cats` differ in case alone" in m for m in caplog.messages)
    rows = [f"w{5 + n}\t{['noun', 'verb'][n % 2]}" for n in range(12)]
    train("pos", write(tmp_path / "b.tsv", *rows), home, base)
    assert any("universal parts of speech in another case" in m for m in caplog.messages)


def test_tags_that_are_not_trained_on_are_counted(
    home: Home, base: Base, tagged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tagged.write_text(tagged.read_text().replace("NOUN", "_NEG", 2))
    train("pos", tagged, home, base)
    (warning,) = warnings_of(caplog)
    assert "are no universal parts of speech and are not trained on: `_NEG` 2" in warning


def test_unseen_labels_of_development_data_are_counted(
    home: Home, base: Base, tagged: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dev = write_tagged(tmp_path / "dev.tsv", random.Random(4), sentences=10)
    total = sum(bool(line) for line in dev.read_text().splitlines())
    dev.write_text(dev.read_text().replace("ADJ", "INTJ", 1))
    train("pos", tagged, home, base, dev=dev)
    (warning,) = warnings_of(caplog)
    assert f"1 of {total} labels" in warning
    assert "unknown to the head and count as wrong: `INTJ` 1" in warning


def test_development_data_of_which_no_label_is_known_are_refused(
    home: Home, base: Base, tagged: Path, tmp_path: Path
) -> None:
    dev = write_tagged(tmp_path / "dev.tsv", random.Random(4), sentences=10)
    dev.write_text(dev.read_text().lower())
    with pytest.raises(DataError, match="the head knows none of the labels") as caught:
        train("pos", tagged, home, base, dev=dev)
    assert "`noun` is `NOUN` there" in caught.value.message
    assert caught.value.hint == "write the labels as the head has them"
    with pytest.raises(DataError, match="the head knows none of the labels"):
        train("pos", tagged, home, base, dev=dev, allow_unsuitable=True)
    assert home.registry.count() == 0

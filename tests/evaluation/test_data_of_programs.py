"""Frames, splits, dictionaries and generators, on `predict`, `evaluate` and `train_task`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import adapterhub_lite as ahl
from adapterhub_lite.errors import DataError, UsageError
from adapterhub_lite.evaluation import evaluate
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.training import TaskSettings, train_task

TAGS = ("ADJ", "NOUN", "VERB")
ROWS = [
    {"id": f"s{n}", "words": [f"w{n + 5}", f"w{n + 6}"], "tags": [TAGS[n % 3], TAGS[(n + 1) % 3]]}
    for n in range(6)
]
STACK = "pos-en-alone"


def split(rows: list[dict[str, Any]]) -> Any:
    """A split of `datasets`, with its labels as numbers, as its hub has them."""
    import datasets

    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.Sequence(datasets.Value("string")),
            "pos_tags": datasets.Sequence(datasets.ClassLabel(names=list(TAGS))),
        }
    )
    columns = {
        "id": [row["id"] for row in rows],
        "tokens": [row["words"] for row in rows],
        "pos_tags": [[TAGS.index(tag) for tag in row["tags"]] for row in rows],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def frame(rows: list[dict[str, Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows)


FORMS: dict[str, Any] = {
    "dictionaries": lambda rows: rows,
    "a generator": lambda rows: (row for row in rows),
    "a frame": frame,
    "a split": split,
    "a data set of one split": lambda rows: {"test": split(rows)},
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_one_data_set(home: Home, base: Base, tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(
        "\n".join(
            "".join(f"{w}\t{t}\n" for w, t in zip(row["words"], row["tags"], strict=True))
            for row in ROWS
        )
    )
    common: dict[str, Any] = {"home": home, "base": base}
    direct = ahl.predict([row["words"] for row in ROWS], composition=STACK, **common)
    predicted = ahl.predict(FORMS[form](ROWS), composition=STACK, **common)
    assert [p.labels for p in predicted] == [d.labels for d in direct]
    assert [p.key for p in predicted] == [row["id"] for row in ROWS]
    options = {"language": "en", "record": False, **common}
    scored = evaluate(STACK, FORMS[form](ROWS), **options)
    assert scored.value == evaluate(STACK, path, **options).value
    assert scored.dataset.startswith("records-")
    adapter = train_task(
        "pos",
        train=FORMS[form](ROWS),
        dev=FORMS[form](ROWS),
        source="en",
        name="again",
        settings=TaskSettings(steps=1, batch_size=2),
        quiet=True,
        **common,
    )
    assert adapter.manifest.head is not None
    assert adapter.manifest.head.labels == TAGS
    assert adapter.manifest.training is not None
    assert adapter.manifest.training.corpora[0].examples == len(ROWS)


def test_texts_of_a_frame(home: Home, base: Base) -> None:
    table = frame([{"Review": "w5 w6", "Class": "a"}, {"Review": "w7", "Class": "b"}])
    common: dict[str, Any] = {"home": home, "base": base, "quiet": True}
    settings = TaskSettings(steps=1, batch_size=2)
    train_task("topic", train=table, source="en", name="topic", settings=settings, **common)
    texts = ahl.predict(table["Review"], composition="topic", home=home, base=base)
    assert [p.labels for p in ahl.predict(table, composition="topic", home=home, base=base)] == [
        p.labels for p in texts
    ]
    table.loc[1, "Class"] = None
    with pytest.raises(DataError, match=r"data\[1\]: no `Class` here"):
        evaluate("topic", table, language="en", home=home, base=base)


def test_inputs_one_by_one(home: Home, base: Base) -> None:
    common: dict[str, Any] = {"composition": STACK, "home": home, "base": base}

    def sentences() -> Iterator[str]:
        yield "w5 w6"
        yield ""
        yield "w7"

    (alone,) = ahl.predict("w5 w6", **common)
    assert alone.inputs == ("w5", "w6")
    first, blank, last = ahl.predict(sentences(), **common)
    assert first.labels == alone.labels
    assert (blank.inputs, blank.labels) == ((), ())
    assert last.inputs == ("w7",)


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (["w5", None], DataError, r"inputs\[1\] is `None`"),
        (["w5", float("nan")], DataError, r"inputs\[1\] is `nan`"),
        (["w5", 7], UsageError, r"inputs\[1\]: a sentence is a text or a list of words, found 7"),
        ([["w5"], ["w5", None]], UsageError, r"inputs\[1\]: a sentence is"),
        ([{"words": ["w5"]}, {"words": None}], DataError, r"inputs\[1\]: `words` must be a list"),
        ([{"words": ["w5"]}, "w5"], UsageError, r"inputs\[0\]: a sentence is"),
        (7, UsageError, "`inputs` is int, expected"),
    ],
)
def test_wrong_inputs_are_named(
    home: Home, base: Base, inputs: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ahl.predict(inputs, composition=STACK, home=home, base=base)


def test_several_splits_are_not_one(home: Home, base: Base) -> None:
    both = {"train": split(ROWS), "test": split(ROWS)}
    with pytest.raises(UsageError, match="several splits: `train`, `test`") as caught:
        ahl.predict(both, composition=STACK, home=home, base=base)
    assert "['train']" in str(caught.value)


def test_languages_of_records(home: Home, base: Base) -> None:
    rows = [{"words": ["w5", "w6"], "lang": tag} for tag in ("fo", "en")]
    options: dict[str, Any] = {"source": "en", "task": "pos", "home": home, "base": base}
    assert [p.language for p in ahl.predict(rows, **options)] == ["fo", "en"]


def test_none_of_these_libraries_is_imported() -> None:
    script = (
        "import sys\n"
        "from adapterhub_lite.tasks import memory\n"
        "memory.records([{'a': 1}])\n"
        "print(sorted({'pandas', 'datasets', 'pyarrow'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"

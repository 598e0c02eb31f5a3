"""`ahl lang`, `ahl merge`, `ahl scores`, and names of languages on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ahl

Json = Callable[..., Any]
HEAD = "target,source,value,task,dataset,metric,composition\n"
LINE = "gv,en,0.5,dep,ud,las,full-fine-tuning\n"


def test_lang_says_what_is_known_and_what_is_near(ahl_json: Json) -> None:
    found = ahl_json("lang", "gd")
    assert (found["tag"], found["name"], found["glottocode"]) == (
        "gd",
        "Scottish Gaelic",
        "scot1245",
    )
    assert found["families"][0] == "Indo-European"
    assert [near["tag"] for near in found["nearest"]] == ["gv", "fo", "en"]
    terms = {"score", "genealogy", "km", "geography", "script", "typology", "level"}
    assert terms <= set(found["nearest"][0])


def test_lang_in_words(ahl: Ahl) -> None:
    result = ahl("lang", "Manx", "--base", "tiny")
    assert "Goidelic" in result.stdout
    assert "language adapters  1 here" in result.stdout
    assert "related languages with a language adapter" in result.stderr


def test_no_relative_is_an_answer(ahl: Ahl) -> None:
    result = ahl("lang", "Basque")
    assert "none: an isolate" in result.stdout
    assert "no relative of `eu` has a language adapter, here or remote" in result.stderr


def test_lang_compares_with_languages_that_are_named(ahl_json: Json) -> None:
    found = ahl_json("lang", "sr-Cyrl", "--to", "sr-Latn", "--to", "Croatian", "--to", "eu")
    assert [(near["tag"], near["level"]) for near in found["nearest"]] == [
        ("sr-Latn", "variant"),
        ("hr", "macro"),
        ("eu", "unrelated"),
    ]


def test_names_are_accepted_where_tags_are(ahl_json: Json) -> None:
    assert ahl_json("resolve", "English", "Manx", "--task", "pos")["request"]["target"] == "gv"
    assert [a["name"] for a in ahl_json("list", "--lang", "Faroese")] == ["fo-wiki"]


def test_unknown_names_come_with_near_misses(ahl: Ahl) -> None:
    result = ahl("resolve", "Englsh", "gv", "--task", "pos", code=2)
    assert "`Englsh` is not a registered language tag" in result.stderr
    assert "did you mean `en` (English)" in result.stderr


def test_a_target_without_adapter_gets_the_average_of_relatives(ahl_json: Json) -> None:
    answer = ahl_json("resolve", "en", "gd", "--task", "pos")
    assert answer["strategy"] == "average"
    assert answer["composition"].startswith("stack(average(")
    assert [near["tag"] for near in answer["relatives"]] == ["gv", "fo", "en"]
    assert len(answer["choices"]) == 4


def test_merge_refuses_in_words(ahl: Ahl) -> None:
    assert "configs" not in ahl("merge", "gv-wiki", "nope", "--name", "m", code=1).stderr
    weights = ahl("merge", "gv-wiki", "fo-wiki", "--weights", "1", "--name", "m", code=2).stderr
    assert "is not 2 numbers" in weights
    again = ahl("merge", "average(gv-wiki, fo-wiki)", "--weights", "1,2", "--name", "m", code=2)
    assert "weights of its own" in again.stderr


def write(tmp_path: Path, text: str, name: str = "table.csv") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_scores_are_imported_and_listed(ahl: Ahl, ahl_json: Json, tmp_path: Path) -> None:
    table = write(tmp_path, HEAD + LINE + "Welsh,en,0.75,dep,ud,las,full-fine-tuning\n")
    assert ahl("scores", "import", table, "--dry-run").stdout == "2\n"
    assert ahl_json("scores", "list") == []
    assert ahl_json("scores", "import", table) == {"scores": 2, "recorded": True}
    (score,) = ahl_json("scores", "list", "--target", "cy")
    assert (score["source"], score["value"], score["origin"]) == ("en", 0.75, "table.csv")
    assert ahl("scores", "import", table).stdout == "2\n"
    assert len(ahl_json("scores", "list", "--task", "dep")) == 2


def test_json_lines_and_compositions_of_this_home(ahl_json: Json, tmp_path: Path) -> None:
    line = '{"target": "fo", "value": 0.5, "composition": "stack(fo-wiki, pos-en)"}\n'
    table = write(tmp_path, line, "t.jsonl")
    more = ("--task", "pos", "--dataset", "ud", "--metric", "accuracy")
    ahl_json("scores", "import", table, *more)
    (score,) = ahl_json("scores", "list")
    assert score["source"] == "en"
    assert score["composition"].startswith("stack(fo-wiki@")


def test_options_map_columns_and_percent(ahl_json: Json, tmp_path: Path) -> None:
    table = write(tmp_path, "to\tlabels\tlas\tsize\ngv\ten\t36.74\t9\n", "t.tsv")
    ahl_json(
        "scores", "import", table, "--percent", "--ignore", "size", "--task", "dep",
        "--dataset", "ud", "--metric", "las", "--composition", "full-fine-tuning",
        "--column", "target=to", "--column", "source=labels", "--column", "value=las",
    )  # fmt: skip
    (score,) = ahl_json("scores", "list")
    assert score["value"] == pytest.approx(0.3674)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + LINE + LINE, "table.csv:3: the same as line 2"),
        (HEAD.replace("value", "score") + LINE, "table.csv:2: scores have no column `score`"),
        (HEAD + LINE.replace("0.5", "50"), "table.csv:2: las is between 0 and 1, found 50"),
        (HEAD + LINE.replace("0.5", "nan"), "table.csv:2: `value` is a finite number, found `nan`"),
        (HEAD + LINE.replace("0.5", ""), "table.csv:2: no `value` here"),
        (HEAD + LINE.replace("gv", "Englsh"), "table.csv:2: `Englsh` is not a registered"),
        (HEAD + LINE.replace(",en", ","), "table.csv:2: `full-fine-tuning` needs a `source`"),
        (HEAD + LINE.replace("full-fine-tuning", "nope"), "table.csv:2: no adapter `nope`"),
        (HEAD + LINE.replace("full-fine-tuning", "stack("), "table.csv:2: not a composition"),
        (LINE, "table.csv:1: the first line names no column"),
        (HEAD + "gv,en\n", "table.csv:2: expected 7 columns, found 2"),
    ],
)
def test_what_is_not_understood_is_told_by_line(
    ahl: Ahl, ahl_json: Json, tmp_path: Path, text: str, said: str
) -> None:
    result = ahl("scores", "import", write(tmp_path, text), code=1)
    assert said in result.stderr
    assert ahl_json("scores", "list") == []


def test_records_rank_the_sources_of_a_task(ahl: Ahl, ahl_json: Json, tmp_path: Path) -> None:
    """Welsh is nearer to Manx than German; a table says that German is the better source."""
    lines = [
        f"{target},{source},{value},dep,ud,las,full-fine-tuning\n"
        for target in ("ga", "gd", "br")
        for source, value in (("cy", 0.3), ("de", 0.6))
    ]
    assert ahl_json("lang", "gv", "--task", "dep")["sources"] == []
    ahl_json("scores", "import", write(tmp_path, HEAD + "".join(lines)))
    sources = ahl_json("lang", "gv", "--task", "dep")["sources"]
    assert [source["tag"] for source in sources] == ["de", "cy"]
    assert sources[0]["recorded"] > sources[1]["recorded"]
    assert sources[0]["score"] < sources[1]["score"]
    assert "most promising for `gv` first" in ahl("lang", "gv", "--task", "dep").stderr


TABLE = HEAD + (
    "gv,en,0.5,dep,ud,las,full-fine-tuning\n"
    "gv,en,0.9,dep,ud,uas,full-fine-tuning\n"
    'gv,en,0.6,pos,ud,accuracy,"stack(gv-wiki, pos-en)"\n'
    "fo,en,0.4,pos,mine,accuracy,pos-en\n"
)


def left(ahl_json: Json) -> set[tuple[str, str]]:
    return {(row["dataset"], row["metric"]) for row in ahl_json("scores", "list")}


def test_a_wrong_score_is_removed(ahl: Ahl, ahl_json: Json, tmp_path: Path) -> None:
    ahl("scores", "import", write(tmp_path, TABLE))
    filters = ("--task", "dep", "--target", "Manx", "--metric", "uas")
    would = ahl_json("scores", "remove", *filters, "--dry-run")
    assert [(row["value"], row["target"]) for row in would["scores"]] == [(0.9, "gv")]
    assert would["removed"] is False
    assert len(left(ahl_json)) == 4
    assert ahl_json("scores", "remove", *filters) == {**would, "removed": True}
    assert left(ahl_json) == {("ud", "las"), ("ud", "accuracy"), ("mine", "accuracy")}
    listed = ahl_json("scores", "list", "--composition", "stack(gv-wiki, pos-en)")
    removed = ahl("scores", "remove", "--composition", listed[0]["composition"])
    assert "removed 1 score" in removed.stderr
    assert "0.6" in removed.stdout
    assert left(ahl_json) == {("ud", "las"), ("mine", "accuracy")}


def test_removing_a_score_gives_the_answer_without_it(
    ahl: Ahl, ahl_json: Json, tmp_path: Path
) -> None:
    """Also of an adapter that is gone, whose composition is listed by digest."""
    before = ahl_json("resolve", "en", "gv", "--task", "pos")
    wrong = HEAD + (
        'gv,en,0.01,pos,ud,accuracy,"stack(en-gv, pos-en-gv)"\n'
        'gv,en,0.02,pos,ud,accuracy,"stack(fo-wiki, pos-en)"\n'
        'gv,en,0.6,pos,ud,accuracy,"stack(gv-wiki, pos-en)"\n'
    )
    ahl("scores", "import", write(tmp_path, wrong))
    assert ahl_json("resolve", "en", "gv", "--task", "pos")["strategy"] != before["strategy"]
    ahl("remove", "fo-wiki")
    (gone,) = [row for row in ahl_json("scores", "list") if row["value"] == 0.02]
    ahl("scores", "remove", "--composition", gone["composition"])
    ahl("scores", "remove", "--target", "gv", "--dataset", "ud")
    assert ahl_json("resolve", "en", "gv", "--task", "pos") == before


def test_nothing_is_removed_unasked(ahl: Ahl, ahl_json: Json, tmp_path: Path) -> None:
    ahl("scores", "import", write(tmp_path, TABLE))
    bare = ahl("scores", "remove", code=2)
    assert "which scores?" in bare.stderr
    assert "`--all` removes every score" in bare.stderr
    assert "no other option" in ahl("scores", "remove", "--all", "--task", "pos", code=2).stderr
    for words in (("--task", "parsing"), ("--target", "cy"), ("--seed", "7")):
        assert "no recorded score fits" in ahl("scores", "remove", *words, code=1).stderr
    assert "no adapter `nope`" in ahl("scores", "remove", "--composition", "nope", code=1).stderr
    assert len(left(ahl_json)) == 4
    assert ahl_json("scores", "remove", "--all")["removed"] is True
    assert left(ahl_json) == set()
    assert "no score is recorded" in ahl("scores", "remove", "--all", code=1).stderr

"""Scores by hand, in the registry, and in tables."""

from __future__ import annotations

import json
import random
import statistics
from pathlib import Path
from typing import Any

import pytest

import adapterhub_lite as ahl
from adapterhub_lite import digests
from adapterhub_lite import lock as locks
from adapterhub_lite.composition import parse, refs
from adapterhub_lite.errors import CompositionError, DataError, LockError, RefError, UsageError
from adapterhub_lite.evaluation import evaluate, evaluate_table, picture
from adapterhub_lite.evaluation.bootstrap import difference, interval
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.plugins import load
from adapterhub_lite.prediction import predict
from adapterhub_lite.training import LanguageSettings, TaskSettings, train_full, train_language
from tests.training.writing import write_tagged, write_text

STACK = "stack(fo, pos-en-over-en)"


def gold(path: Path) -> list[list[tuple[str, str]]]:
    blocks = path.read_text().strip().split("\n\n")
    return [[tuple(line.split("\t")) for line in block.split("\n")] for block in blocks]  # type: ignore[misc]


def test_accuracy_by_hand_and_recorded(home: Home, base: Base, test_file: Path) -> None:
    result = evaluate(STACK, test_file, language="fo", home=home, base=base)
    sentences = gold(test_file)
    said = predict([[w for w, _ in s] for s in sentences], composition=STACK, home=home, base=base)
    right = sum(
        tag == label
        for sentence, found in zip(sentences, said, strict=True)
        for (_, tag), label in zip(sentence, found.labels, strict=True)
    )
    n = sum(map(len, sentences))
    assert (result.metric, result.n) == ("accuracy", n)
    assert result.value == pytest.approx(right / n)
    assert result.low <= result.value <= result.high
    assert 0.02 < result.high - result.low < 0.5
    (score,) = home.registry.scores(task="pos", language="fo")
    digest = {name: home.registry.get(name).digest for name in ("fo", "pos-en-over-en")}
    assert score.composition == f"stack({digest['fo']}, {digest['pos-en-over-en']})"
    assert (score.value, score.n, score.seed) == (result.value, n, 0)
    assert score.source_language == "en"
    assert score.dataset == f"test-{digests.of_file(test_file)[:12]}"
    evaluate(STACK, test_file, language="fo", home=home, base=base)
    assert len(home.registry.scores()) == 1


def test_requests_and_resolutions(home: Home, base: Base, test_file: Path) -> None:
    request = ahl.Request("en", "fo", "pos")
    resolution = ahl.resolve("en", "fo", task="pos", home=home)
    one = evaluate(request, test_file, home=home, base=base, record=False)
    other = evaluate(resolution, test_file, home=home, base=base, record=False)
    assert one == other
    assert one.language == "fo"
    assert [home.registry.get(r).ref for r in refs(parse(one.composition))] == list(
        refs(resolution.composition)
    )
    assert home.registry.scores() == []


def test_interval_of_equal_examples_is_a_point_and_of_coins_is_known() -> None:
    words = load(entry_points=False).task_type("token-classification")
    assert interval([[{"right": 3, "words": 4}] * 10], words, ("A", "B")) == (0.75, 0.75)
    coins = [{"right": number % 2, "words": 1} for number in range(400)]
    low, high = interval([coins], words, ("A", "B"))
    half = 1.96 * 0.5 / 400**0.5  # normal approximation of the binomial
    assert low == pytest.approx(0.5 - half, abs=0.01)
    assert high == pytest.approx(0.5 + half, abs=0.01)


def test_table_of_strategies_and_seeds(
    home: Home, base: Base, test_file: Path, tmp_path: Path
) -> None:
    full = [
        train_full(
            "pos",
            train=write_tagged(tmp_path / "train.tsv", random.Random(3), sentences=20),
            source="en",
            base=base,
            home=home,
            settings=TaskSettings(steps=2, batch_size=4, seed=seed),
            quiet=True,
        )
        for seed in (0, 1)
    ]
    said: list[str] = []
    table = evaluate_table(
        "pos",
        {"fo": test_file, "en": test_file},
        source="en",
        home=home,
        base=base,
        full=full,
        progress=said.append,
    )
    columns = (
        "no-language-adapter",
        "source-kept",
        "mad-x",
        "target-ready",
        "bad-x",
        "bilingual",
        "full-fine-tuning",
    )
    assert table.targets == ("fo", "en")
    assert table.strategies == columns
    assert {c.strategy for c in table.cells if c.target == "fo"} == set(columns)
    assert table.cell("en", "mad-x") is None
    assert said[0] == "fo: no-language-adapter"

    names = {a.digest: a.name for a in home.registry.find()}

    def stack(strategy: str) -> list[list[str]]:
        cell = table.cell("fo", strategy)
        assert cell is not None
        return [[names[r] for r in refs(parse(c))] for c in cell.compositions]  # type: ignore[index]

    assert stack("no-language-adapter") == [["pos-en-alone"], ["pos-en-alone-seed1"]]
    assert stack("source-kept") == [["en", "pos-en-over-en"], ["en", "pos-en-over-en-seed1"]]
    assert stack("mad-x") == [["fo", "pos-en-over-en"], ["fo", "pos-en-over-en-seed1"]]
    assert stack("target-ready") == [["fo", "pos-en-ready"], ["fo", "pos-en-ready-seed1"]]
    assert stack("bad-x")[0] == ["en-fo", "pos-en-over-en-fo"]
    assert stack("bilingual")[0] == ["en-fo", "pos-en-over-en"]

    for cell in table.cells:
        assert set(cell.values) == {0, 1}
        assert cell.mean == pytest.approx(statistics.fmean(cell.values.values()))
        assert cell.spread == pytest.approx(statistics.stdev(cell.values.values()))
        assert cell.low <= cell.mean <= cell.high
    alone = evaluate(STACK, test_file, language="fo", home=home, base=base)
    mad_x = table.cell("fo", "mad-x")
    assert mad_x is not None
    assert mad_x.values[0] == alone.value
    # fo: 7 strategies x 2 seeds; en: all but mad-x, bad-x and bilingual
    assert len(home.registry.scores()) == 14 + 8

    assert json.loads(json.dumps(table.to_json()))["strategies"] == list(columns)
    for name in ("table.png", "table.svg"):
        assert picture(table, tmp_path / name).stat().st_size > 5000
    with pytest.raises(UsageError, match="cannot draw to"):
        picture(table, tmp_path / "table.xyz")
    some = evaluate_table(
        "pos", {"fo": test_file}, source="en", home=home, base=base, strategies=["MAD-X"], limit=5
    )
    assert some.strategies == ("mad-x",)


def test_mistakes(home: Home, base: Base, test_file: Path, tmp_path: Path) -> None:
    common: dict[str, Any] = {"home": home, "base": base}
    for composition in ("fo", "average(en, fo)"):
        with pytest.raises(CompositionError, match="has no task adapter with a head"):
            evaluate(composition, test_file, language="fo", **common)
    for name in ("x", None):
        with pytest.raises(DataError, match="there is no such file"):
            evaluate(STACK, tmp_path / "none.tsv", language="fo", dataset=name, **common)
    with pytest.raises(DataError, match="in which language is it"):
        evaluate(STACK, test_file, **common)
    (tmp_path / "empty.tsv").write_text("w5\t_\n")
    with pytest.raises(DataError, match="nothing in it has a label"):
        evaluate(STACK, tmp_path / "empty.tsv", language="fo", **common)
    with pytest.raises(RefError, match="nothing to measure for `ner`"):
        evaluate_table("ner", {"fo": test_file}, source="en", **common)
    with pytest.raises(UsageError, match="did you mean `mad-x`"):
        evaluate_table("pos", {"fo": test_file}, source="en", strategies=["madx"], **common)


def test_differences_are_from_what_is_resolved_on_the_same_examples(
    home: Home, base: Base, test_file: Path
) -> None:
    resolution = ahl.resolve("en", "fo", task="pos", home=home)
    table = evaluate_table("pos", {"fo": test_file}, source="en", home=home, base=base)
    (resolved,) = [cell for cell in table.cells if cell.resolved]
    assert resolved.strategy == resolution.strategy
    assert resolved.difference is None
    others = [cell for cell in table.cells if cell is not resolved]
    assert {cell.against for cell in others} == {resolved.strategy}
    for cell in others:
        assert cell.difference is not None
        assert cell.difference.value == pytest.approx(cell.mean - resolved.mean)
        assert cell.difference.low <= cell.difference.value <= cell.difference.high
    from_first = evaluate_table(
        "pos",
        {"fo": test_file},
        source="en",
        home=home,
        base=base,
        strategies=["MAD-X", "source kept"],
        against="source kept",
        record=False,
    )
    assert from_first.strategies == ("source-kept", "mad-x")
    mad_x = from_first.cell("fo", "mad-x")
    assert mad_x is not None
    assert mad_x.against == "source-kept"


def test_paired_differences_equal_the_formula() -> None:
    words = load(entry_points=False).task_type("token-classification")
    draw = random.Random(3)
    hard = [draw.random() < 0.4 for _ in range(400)]  # wrong for both
    good = [float(not h) for h in hard]
    worse = [float(not h and draw.random() < 0.9) for h in hard]
    tallies = [[{"right": x, "words": 1.0} for x in scores] for scores in (good, worse)]
    found = difference([tallies[0]], [tallies[1]], words, ("A",), ("A",))
    each = [g - w for g, w in zip(good, worse, strict=True)]
    half = 1.96 * statistics.stdev(each) / 400**0.5  # the mean of paired differences, normal
    assert found.value == pytest.approx(statistics.fmean(each))
    assert found.low == pytest.approx(found.value - half, abs=0.01)
    assert found.high == pytest.approx(found.value + half, abs=0.01)
    assert found.p < 0.01
    own = [interval([side], words, ("A",)) for side in tallies]
    assert own[0][0] < own[1][1], "the intervals of the two overlap, the difference is clear"
    same = difference([tallies[0]], [tallies[0]], words, ("A",), ("A",))
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_fallbacks_are_measured_where_the_target_has_no_adapter(
    home: Home, base: Base, test_file: Path, tmp_path: Path
) -> None:
    """What `ahl resolve` answers is in the table; asked for by name, fallbacks are anywhere."""
    assert ahl.resolve("en", "is", task="pos", home=home).strategy == "average"
    table = evaluate_table("pos", {"is": test_file}, source="en", home=home, base=base)
    cell = table.cell("is", "average")
    assert cell is not None
    assert cell.resolved
    assert set(cell.values) == {0, 1}, "one for each seed of the task adapter"
    assert {"source-kept", "half-source"} <= set(table.strategies)
    assert "nearest-relative" in table.strategies

    text = write_text(tmp_path / "is.txt", random.Random(7), low=20, high=60)
    settings = LanguageSettings(steps=2, batch_size=4, block=20, lr=0.02)
    train_language("is", text, settings=settings, base=base, home=home, quiet=True)
    common: dict[str, Any] = {"source": "en", "home": home, "base": base, "record": False}
    known = evaluate_table("pos", {"is": test_file}, **common)
    assert {"mad-x", "source-kept"} <= set(known.strategies)
    assert not {"average", "half-source", "nearest-relative"} & set(known.strategies)
    asked = evaluate_table(
        "pos", {"is": test_file}, strategies=["average", "Half Source"], **common
    )
    assert asked.strategies == ("half-source", "average")
    with pytest.raises(RefError, match=r"nothing to measure for `pos` .* by `same-language`"):
        evaluate_table("pos", {"fo": test_file}, strategies=["same-language"], **common)


def test_a_lock_is_evaluated_exactly(home: Home, base: Base, test_file: Path) -> None:
    resolution = ahl.resolve("en", "fo", task="pos", home=home)
    request = resolution.request.to_json()
    lock = locks.make(STACK, home=home, request=request, strategy="mad-x")
    found = evaluate(lock, test_file, home=home, base=base, record=False)
    direct = evaluate(STACK, test_file, language="fo", home=home, base=base, record=False)
    assert (found.value, found.composition) == (direct.value, direct.composition)
    assert (found.language, found.source_language, found.task) == ("fo", "en", "pos")
    home.registry.remove("pos-en-over-en")
    with pytest.raises(LockError, match="is not in this home"):
        evaluate(lock, test_file, home=home, base=base)


def test_a_report_by_label(home: Home, base: Base, test_file: Path) -> None:
    result = evaluate(
        STACK, test_file, language="fo", home=home, base=base, record=False, report=True
    )
    assert result.report is not None
    tags = [tag for sentence in gold(test_file) for _, tag in sentence]
    assert {row.label: row.support for row in result.report.labels if row.support} == {
        tag: tags.count(tag) for tag in set(tags)
    }
    right = sum(result.report.confusion[tag, tag] for tag in set(tags))
    assert right / len(tags) == pytest.approx(result.value)
    assert result.report.averages["micro"].f1 == pytest.approx(result.value)


def test_words_with_tags_that_the_head_lacks_count(
    home: Home, base: Base, test_file: Path, tmp_path: Path
) -> None:
    """Whether the tag is no universal one, or one in another case."""
    text = test_file.read_text()
    before = evaluate(STACK, test_file, language="fo", home=home, base=base, record=False)
    for strange in ("XXX", "noun"):
        (tag,) = {tag for sentence in gold(test_file)[:1] for _, tag in sentence[:1]}
        changed = tmp_path / f"{strange}.tsv"
        changed.write_text(text.replace(f"\t{tag}\n", f"\t{strange}\n"))
        found = evaluate(STACK, changed, language="fo", home=home, base=base, report=True)
        assert found.n == before.n
        assert found.report is not None
        support = {row.label: row.support for row in found.report.labels}
        assert support[strange] > 0
        assert found.value == pytest.approx(
            before.value - sum(found.report.confusion[strange, tag] for tag in [tag]) / found.n
        )

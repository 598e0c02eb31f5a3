"""Prediction: requests, compositions and attachments; files; languages side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import adapterhub_lite as ahl
from adapterhub_lite.errors import (
    CompositionError,
    DataError,
    NoResolutionError,
    RefError,
    UsageError,
)
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.prediction import predict, predict_file

SENTENCES = ["w5 w6 w7", "w90, w41!", "w50 w60 w70 w80", "w9"]


def test_a_composition_equals_the_formula(home: Home, base: Base) -> None:
    with ahl.attach(base, "stack(fo, pos-en-over-en)", home=home) as attachment:
        ids = base.tokenizer("w5 w6 w7", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            hidden = base.trunk(input_ids=ids).last_hidden_state[0, 1:4]  # a piece a word
        spec, head = attachment.head()  # type: ignore[misc]
        sure, best = (hidden @ head["weight"].T + head["bias"]).softmax(-1).max(-1)
        (found,) = predict(["w5 w6 w7"], attachment=attachment, home=home)
    assert found.inputs == ("w5", "w6", "w7")
    assert found.labels == tuple(spec.labels[i] for i in best.tolist())
    assert found.probabilities == pytest.approx(sure.tolist(), abs=1e-5)
    (same,) = predict(
        [["w5", "w6", "w7"]], composition="stack(fo, pos-en-over-en)", home=home, base=base
    )
    assert same.labels == found.labels
    assert same.probabilities == pytest.approx(found.probabilities, abs=1e-6)


def test_a_request_is_resolved(home: Home, base: Base) -> None:
    resolution = ahl.resolve("en", "fo", task="pos", home=home)
    asked = predict(SENTENCES, source="en", target="fo", task="pos", home=home, base=base)
    direct = predict(SENTENCES, composition=resolution.composition, home=home, base=base)
    assert [a.labels for a in asked] == [d.labels for d in direct]
    assert {a.language for a in asked} == {"fo"}
    assert asked[1].inputs == ("w90", ",", "w41", "!")
    assert len(asked[1].pairs) == 4


def test_languages_in_one_batch_equal_separate_runs(home: Home, base: Base) -> None:
    compositions = {
        "a": "stack(fo, pos-en-over-en)",
        "b": "stack(en, pos-en-over-en-seed1)",
        "c": "pos-en-alone",
    }
    rows = ["a", "b", "c", "a"]
    with ahl.attach(base, compositions, home=home) as attachment:
        mixed = predict(SENTENCES, attachment=attachment, rows=rows, home=home)
    for sentence, name, found in zip(SENTENCES, rows, mixed, strict=True):
        (alone,) = predict([sentence], composition=compositions[name], home=home, base=base)
        assert found.labels == alone.labels
        assert found.probabilities == pytest.approx(alone.probabilities, abs=5e-5)


def test_a_target_for_every_sentence(home: Home, base: Base) -> None:
    targets = ["fo", "en", "fo", "en"]
    mixed = predict(SENTENCES, source="en", target=targets, task="pos", home=home, base=base)
    assert [found.language for found in mixed] == targets
    for tag in ("fo", "en"):
        alone = predict(SENTENCES, source="en", target=tag, task="pos", home=home, base=base)
        for one, other, target in zip(mixed, alone, targets, strict=True):
            if target == tag:
                assert one.probabilities == pytest.approx(other.probabilities, abs=5e-5)


def test_files(home: Home, base: Base, tmp_path: Path) -> None:
    common: dict[str, Any] = {"source": "en", "task": "pos", "home": home, "base": base}
    text = tmp_path / "a.txt"
    text.write_text("w5 w6\n\nw7\n")
    found = predict_file(text, target="fo", **common)
    direct = predict(["w5 w6", "w7"], source="en", target="fo", task="pos", home=home, base=base)
    assert [f.labels for f in found] == [direct[0].labels, (), direct[1].labels]
    conllu = tmp_path / "a.conllu"
    conllu.write_text("1\tw5" + "\t_" * 8 + "\n2\tw6" + "\t_" * 8 + "\n")
    assert predict_file(conllu, target="fo", **common)[0].labels == direct[0].labels
    lines: list[dict[str, Any]] = [
        {"words": ["w5", "w6"], "language": "fo"},
        {"text": "w7 w8", "language": "eng"},
    ]
    jsonl = tmp_path / "a.jsonl"
    jsonl.write_text("\n".join(map(json.dumps, lines)))
    mixed = predict_file(jsonl, **common)
    assert [m.language for m in mixed] == ["fo", "en"]
    assert mixed[0].labels == direct[0].labels
    assert json.loads(json.dumps(mixed[1].to_json()))["inputs"] == ["w7", "w8"]
    with pytest.raises(DataError, match="no field `language` here"):
        predict_file(text, **common)
    named = [{"words": line.get("words", ["w7"]), "lang": line["language"]} for line in lines]
    jsonl.write_text("\n".join(map(json.dumps, named)))
    again = predict_file(jsonl, language_column="lang", **common)
    assert [m.language for m in again] == ["fo", "en"]
    assert again[0].labels == direct[0].labels
    with pytest.raises(DataError, match="no column `tongue` for `language`"):
        predict_file(jsonl, language_column="tongue", **common)
    with pytest.raises(UsageError, match="`lang` says it for each record"):
        predict_file(jsonl, language_column="lang", target="fo", **common)


def test_long_sentences_lose_no_word(home: Home, base: Base) -> None:
    words = [f"w{5 + number % 90}" for number in range(200)]
    (found,) = predict([words], composition="pos-en-alone", home=home, base=base)
    assert len(found.labels) == 200


def test_mistakes(home: Home, base: Base) -> None:
    common: dict[str, Any] = {"home": home, "base": base}
    with pytest.raises(UsageError, match="what to run"):
        predict(["w5"], **common)
    with pytest.raises(UsageError, match="what to run"):
        predict(["w5"], task="pos", composition="en", **common)
    with pytest.raises(UsageError, match="a request needs `source`, `target` and `task`"):
        predict(["w5"], task="pos", source="en", **common)
    with pytest.raises(UsageError, match="2 items need as many targets, found 1"):
        predict(["w5", "w6"], task="pos", source="en", target=["fo"], **common)
    with pytest.raises(NoResolutionError):
        predict(["w5"], task="ner", source="en", target="fo", **common)
    with pytest.raises(RefError, match="no task adapter for `ner`"):
        predict_file("any", task="ner", source="en", target="fo", **common)
    with ahl.attach(base, {"a": "en", "b": "pos-en-alone"}, home=home) as attachment:
        with pytest.raises(CompositionError, match="`a` is for language-modelling"):
            predict(["w5", "w6"], attachment=attachment, rows=["b", "a"])
        with pytest.raises(UsageError, match=r"several compositions are attached \(a, b\)"):
            predict(["w5"], attachment=attachment)
    assert predict([], composition="pos-en-alone", **common) == []


def test_filling_in_a_masked_word(home: Home, base: Base) -> None:
    with ahl.attach(base, "fo", home=home) as attachment:
        (found,) = predict(["w41 <mask> w50"], attachment=attachment)
        ids = base.tokenizer("w41 <mask> w50", return_tensors="pt")["input_ids"]
        _, head = attachment.head()  # type: ignore[misc]
        with torch.no_grad():
            scores = base.model(input_ids=ids).logits[0, 2] + head["bias"]
    assert found.labels == (str(int(scores.argmax())),)
    assert found.probabilities == pytest.approx([float(scores.softmax(-1).max())], abs=1e-5)

"""Task adapters: what is underneath, what is recorded, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapterhub_lite.adapter import Adapter, LanguageUse, Role
from adapterhub_lite.errors import BaseMismatchError, DataError, RefError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import (
    LanguageSettings,
    TaskSettings,
    train_full,
    train_language,
    train_task,
)
from tests.training.writing import write_tagged

SHORT = TaskSettings(steps=3, batch_size=4)


@pytest.fixture
def languages(home: Home, base: Base, text: Path, other_text: Path) -> list[Adapter]:
    settings = LanguageSettings(steps=2, batch_size=2, block=20)
    return [
        train_language(
            tag, path, base=base, home=home, leave_out=[2], settings=settings, quiet=True
        )
        for tag, path in (("en", text), ("fo", other_text))
    ]


def test_over_a_language_adapter(
    home: Home, base: Base, tagged: Path, tmp_path: Path, languages: list[Adapter]
) -> None:
    dev = write_tagged(tmp_path / "dev.tsv", random.Random(9), sentences=10)
    before = home.folder_of(languages[0])
    frozen = load_file(before / "weights.safetensors")
    settings = TaskSettings(steps=150, batch_size=8, lr=0.02)
    adapter = train_task(
        "pos",
        train=tagged,
        dev=dev,
        source="en",
        over="en",
        dataset="numbers",
        base=base,
        home=home,
        settings=settings,
        quiet=True,
    )
    manifest = adapter.manifest
    assert adapter.name == "pos-en-over-en"
    assert manifest.trained_over == (languages[0].underneath(),)
    assert manifest.leave_out == (2,)
    assert manifest.languages == (LanguageUse("en", Role.SOURCE),)
    assert (manifest.task, manifest.dataset) == ("pos", "numbers")
    assert manifest.head is not None
    assert manifest.head.labels == ("ADJ", "NOUN", "VERB")
    assert manifest.training is not None
    assert manifest.training.metrics["dev_accuracy"] > 0.5  # a third by guessing
    after = load_file(before / "weights.safetensors")
    assert all(torch.equal(after[key], value) for key, value in frozen.items())
    keys = load_file(home.folder_of(adapter) / "weights.safetensors").keys()
    assert {"head.weight", "head.bias", "ffn_block.0.down"} <= keys
    assert not any(key.startswith("ffn_block.2") for key in keys)


def test_over_several_in_turn(
    home: Home, base: Base, tagged: Path, languages: list[Adapter]
) -> None:
    adapter = train_task(
        "pos",
        train=tagged,
        source="en",
        over=["en", "fo"],
        base=base,
        home=home,
        settings=SHORT,
        quiet=True,
    )
    assert adapter.name == "pos-en-ready"
    assert adapter.manifest.trained_over == ()
    assert adapter.manifest.seen == tuple(a.underneath() for a in languages)
    alone = train_task(
        "pos",
        train=tagged,
        source="en",
        over="en",
        base=base,
        home=home,
        settings=SHORT,
        quiet=True,
    )
    assert adapter.manifest.weights != alone.manifest.weights


def test_same_seed_same_adapter(home: Home, base: Base, tagged: Path, tmp_path: Path) -> None:
    def train(into: Home, seed: int) -> Adapter:
        return train_task(
            "pos",
            train=tagged,
            source="en",
            base=base,
            home=into,
            seed=seed,
            settings=SHORT,
            quiet=True,
        )

    other = Home.init(tmp_path / "other")
    assert train(home, 0).digest == train(other, 0).digest
    assert train(home, 1).digest != train(home, 0).digest
    assert train(home, 0).manifest.trained_over == ()


def test_classification_and_answers(home: Home, base: Base, tmp_path: Path) -> None:
    rng = random.Random(4)
    path = tmp_path / "topics.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(60):
            low = 5 if number % 2 else 50
            words = [f"w{rng.randint(low, low + 40)}" for _ in range(5)]
            writer.writerow([" ".join(words), "low" if number % 2 else "high"])
    settings = TaskSettings(steps=60, batch_size=8, lr=0.02)
    common: dict[str, Any] = {"source": "en", "base": base, "home": home, "quiet": True}
    adapter = train_task("topic", train=path, dev=path, settings=settings, **common)
    assert adapter.manifest.training is not None
    assert adapter.manifest.training.metrics["dev_macro_f1"] > 0.9

    lines = []
    for _ in range(60):
        words = [f"w{rng.randint(20, 95)}" for _ in range(8)]
        place = rng.randrange(8)
        words[place] = "w7"
        context = " ".join(words)
        answers = {"text": ["w7"], "answer_start": [context.index("w7")]}
        # the words around must not hold the answer's letters, as `w70` does
        if context.count("w7") == 1:
            lines.append(json.dumps({"question": "w5", "context": context, "answers": answers}))
    (tmp_path / "qa.jsonl").write_text("\n".join(lines))
    adapter = train_task(
        "qa", train=tmp_path / "qa.jsonl", dev=tmp_path / "qa.jsonl", settings=settings, **common
    )
    assert adapter.manifest.training is not None
    assert adapter.manifest.training.metrics["dev_exact_match"] > 0.8


def test_full_fine_tuning_leaves_the_base_alone(home: Home, base: Base, tagged: Path) -> None:
    before = {key: value.clone() for key, value in base.model.state_dict().items()}
    settings = TaskSettings(steps=5, batch_size=4, lr=1e-3)
    common: dict[str, Any] = {"source": "en", "base": base, "home": home, "quiet": True}
    model = train_full("pos", train=tagged, settings=settings, **common)
    assert all(torch.equal(base.model.state_dict()[key], value) for key, value in before.items())
    tuned = model.base.model.state_dict()
    assert any(not torch.equal(tuned[key], value) for key, value in before.items())
    assert not any(p.requires_grad for p in base.model.parameters())
    again = train_full("pos", train=tagged, settings=settings, **common)  # from the run folder
    for key, value in again.base.model.state_dict().items():
        assert torch.equal(tuned[key], value)
    assert home.registry.count() == 0


def test_mistakes(
    home: Home, base: Base, tagged: Path, tmp_path: Path, languages: list[Adapter]
) -> None:
    def train(task: str = "pos", path: Path = tagged, **more: Any) -> Adapter:
        given = {"base": base, "settings": SHORT, **more}
        return train_task(task, train=path, source="en", home=home, quiet=True, **given)

    with pytest.raises(UsageError, match="which type of task is `colour`"):
        train("colour")
    with pytest.raises(RefError, match="en-wiki"):
        train(over="en-wiki")
    with pytest.raises(UsageError, match="`over` names no adapter"):
        train(over=[])
    (tmp_path / "one.tsv").write_text("a\tNOUN\nb\tNOUN\n")
    with pytest.raises(DataError, match="at least two labels are needed, found only `NOUN`"):
        train(path=tmp_path / "one.tsv")
    (tmp_path / "ner.tsv").write_text("w5\tO\nw6\tB-PER\n")
    (tmp_path / "dev.tsv").write_text("w5\tO\nw6\tB-LOC\n")
    with pytest.raises(DataError, match="knows none of the labels"):
        train("ner", tmp_path / "ner.tsv", dev=tmp_path / "dev.tsv")
    stranger = load_base(save_tiny_base(tmp_path / "stranger", "xlm-roberta", seed=1))
    with pytest.raises(BaseMismatchError, match="other weights"):
        train(over="en", base=stranger)
    with pytest.raises(UsageError, match=r"has a dropout of 0\.1, but the settings"):
        train(method="lora", config={"dropout": 0.1})
    done = train(over="en")
    with pytest.raises(UsageError, match=f"`{done.name}` is a task adapter"):
        train(over=done.name)
    home.registry.add_base(dataclasses.replace(stranger.identity, name="stranger"))
    with pytest.raises(UsageError, match=r"which base\? this home has `stranger`, `"):
        train(base=None)

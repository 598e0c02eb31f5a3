"""Curves that stay, the best weights on development data, and stopping early."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from adapterhub_lite.adapter import Adapter
from adapterhub_lite.cli import main
from adapterhub_lite.errors import TrainingError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import (
    LanguageSettings,
    TaskSettings,
    curves,
    train_full,
    train_language,
    train_task,
)
from adapterhub_lite.training.batches import Numbered
from adapterhub_lite.training.curves import Curve
from adapterhub_lite.training.watching import Watch
from tests.training.writing import write_tagged

if TYPE_CHECKING:
    import torch

TASK = TaskSettings(steps=20, batch_size=8, lr=0.02, evaluate_every=4, save_every=3)


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    return write_tagged(tmp_path / "dev.tsv", random.Random(7), sentences=20)


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


def weights(home: Home, adapter: Adapter) -> dict[str, torch.Tensor]:
    return load_file(home.folder_of(adapter) / "weights.safetensors")


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the batch with a number end the process, as a kill does, before anything is cleaned."""
    whole = Numbered.__getitem__

    def interrupted(self: Numbered, index: int) -> Any:
        if index == number:
            raise KeyboardInterrupt
        return whole(self, index)

    monkeypatch.setattr(Numbered, "__getitem__", interrupted)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_curve_of_a_resumed_run_is_that_of_an_uninterrupted_one(
    home: Home,
    base: Base,
    tagged: Path,
    dev: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    accumulate: int,
) -> None:
    settings = TASK.changed(accumulate=accumulate, dropout=True, keep_best=False)

    def train(home: Home) -> Adapter:
        return train_task(
            "pos", train=tagged, dev=dev, source="en", name="a", base=base, home=home,
            settings=settings, quiet=True,
        )  # fmt: skip

    whole = Home.init(tmp_path / "whole")
    expected = train(whole)
    with monkeypatch.context() as patch:
        stop_at(patch, 14 * accumulate)  # checkpoints are at 3, 6, 9, 12; lines go on to 12 or 13
        with pytest.raises(KeyboardInterrupt):
            train(home)
    folder = home.path / "runs" / "a"
    with (folder / curves.FILE).open("a", encoding="utf-8") as file:
        file.write('{"step": 13, "loss": 7.0}\n{"step": 14, "lo')  # half a line, as after a crash
    assert train(home).digest == expected.digest
    records = curves.read(folder)
    assert records == curves.read(whole.path / "runs" / "a")
    assert [r["step"] for r in records if "loss" in r] == list(range(1, 21))
    assert [r["step"] for r in records if "dev_accuracy" in r] == [4, 8, 12, 16, 20]


def test_losses_in_the_curve_are_those_of_the_steps(
    home: Home, base: Base, text: Path, tmp_path: Path
) -> None:
    """With a rate of next to nothing, one loss a batch is the mean of two with half the batches."""
    settings = LanguageSettings(steps=4, batch_size=4, block=20, lr=1e-12, warmup=0.0)
    common: dict[str, Any] = {"base": base, "home": home, "quiet": True}
    train_language("fo", text, name="single", settings=settings, **common)
    half = settings.changed(steps=2, accumulate=2)
    train_language("fo", text, name="double", settings=half, **common)
    single, double = (
        [r["loss"] for r in curves.read(home.path / "runs" / name) if "loss" in r]
        for name in ("single", "double")
    )
    assert double == pytest.approx([sum(single[:2]) / 2, sum(single[2:]) / 2], rel=1e-5)
    ends = [r for r in curves.read(home.path / "runs" / "single") if "held_out_loss" in r]
    assert [r["step"] for r in ends] == [0, 4]


def test_development_data_choose_the_weights(
    home: Home, base: Base, tagged: Path, dev: Path
) -> None:
    """The rate is so high that the last weights are not the best ones."""
    common: dict[str, Any] = {
        "train": tagged, "source": "en", "base": base, "home": home, "quiet": True,
    }  # fmt: skip
    settings = TASK.changed(lr=0.3, warmup=0.0)
    kept = train_task("pos", dev=dev, name="kept", settings=settings, **common)
    record = kept.manifest.training
    assert record is not None
    measured = {
        r["step"]: r["dev_accuracy"]
        for r in curves.read(home.path / "runs" / "kept")
        if "dev_accuracy" in r
    }
    best = max(measured.values())
    assert record.settings["best_step"] == min(s for s, v in measured.items() if v == best)
    assert record.settings["stopped_early"] is False
    assert record.steps == 20
    assert record.metrics["dev_accuracy"] == pytest.approx(best, abs=1e-6)
    last = train_task(
        "pos", dev=dev, name="l", settings=settings.changed(keep_best=False), **common
    )
    assert last.manifest.training is not None
    assert last.manifest.training.metrics["dev_accuracy"] == pytest.approx(measured[20], abs=1e-6)
    assert "best_step" not in last.manifest.training.settings


def test_patience_stops_a_run_and_a_resumed_one_at_the_same_step(
    home: Home, base: Base, tagged: Path, dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TASK.changed(lr=1e-9, patience=2, evaluate_every=2)  # nothing ever gets better

    def train(home: Home) -> Adapter:
        return train_task(
            "pos", train=tagged, dev=dev, source="en", name="a", base=base, home=home,
            settings=settings, quiet=True,
        )  # fmt: skip

    whole = Home.init(tmp_path / "whole")
    expected = train(whole)
    record = expected.manifest.training
    assert record is not None
    assert (record.steps, record.settings["best_step"]) == (6, 2)
    assert record.settings["stopped_early"] is True
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            train(home)
    assert train(home).digest == expected.digest
    folder = home.path / "runs" / "a"
    assert curves.read(folder) == curves.read(whole.path / "runs" / "a")


def test_a_run_that_was_killed_after_it_had_stopped_is_not_gone_on_with(
    home: Home, base: Base, tagged: Path, dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterhub_lite.training import setup

    settings = TASK.changed(lr=1e-9, patience=1, evaluate_every=2)
    arguments: dict[str, Any] = {
        "train": tagged, "dev": dev, "source": "en", "name": "a", "base": base, "home": home,
        "settings": settings, "quiet": True,
    }  # fmt: skip

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(setup, "store", killed)
        with pytest.raises(KeyboardInterrupt):
            train_task("pos", **arguments)
    moved = home.path / "runs" / "b"
    (home.path / "runs" / "a").rename(moved)  # the best checkpoint is found where it is now
    adapter = train_task("pos", **arguments, output=moved)
    assert adapter.manifest.training is not None
    assert adapter.manifest.training.steps == 4
    assert adapter.manifest.training.settings["best_step"] == 2
    assert [r["step"] for r in curves.read(moved) if "loss" in r] == [1, 2, 3, 4]


def test_patience_for_a_language_goes_by_the_held_out_loss(
    home: Home, base: Base, text: Path
) -> None:
    settings = LanguageSettings(
        steps=12, batch_size=4, block=20, lr=1e-9, evaluate_every=2, patience=2, output_bias=False
    )
    adapter = train_language("fo", text, base=base, home=home, settings=settings, quiet=True)
    record = adapter.manifest.training
    assert record is not None
    assert record.steps < 12
    assert record.settings["stopped_early"] is True
    assert record.metrics["held_out_loss_after_fo"] == pytest.approx(
        min(r["held_out_loss"] for r in curves.read(home.path / "runs" / "fo") if "loss" not in r),
        abs=1e-5,
    )


def test_the_best_of_a_history() -> None:
    history = [{"loss": 1.0}, {"eval_x": 3.0}, {"eval_x": 2.0}, {"eval_x": 2.0}, {"eval_x": 2.5}]
    lower = Watch(dict, 1, best="x", patience=3)
    assert (lower.stale(history), lower.is_over(history)) == (2, False)
    higher = Watch(dict, 1, best="x", greater=True, patience=3)
    assert (higher.stale(history), higher.is_over(history)) == (3, True)
    assert lower.stale([]) == 0


@pytest.mark.parametrize(
    "change", [{"patience": 2}, {"evaluate_every": 5}, {"keep_best": True}], ids=str
)
def test_what_needs_development_data_is_refused_without(
    home: Home, base: Base, tagged: Path, change: dict[str, Any]
) -> None:
    settings = TaskSettings(steps=2, **change)
    common: dict[str, Any] = {"train": tagged, "source": "en", "base": base, "home": home}
    for train in (train_task, train_full):
        with pytest.raises(UsageError, match="needs something to measure on"):
            train("pos", **common, settings=settings, quiet=True)


def test_rounds_are_curves_of_their_own(tmp_path: Path) -> None:
    first, second = Curve(tmp_path, 1), Curve(tmp_path, 2)
    first.start(None)
    first.add([(1, {"loss": 3.0}), (2, {"loss": 2.0})])
    second.start(None)
    second.add([(1, {"loss": 2.5}), (2, {"loss": 1.5}), (3, {"loss": float("nan")})])
    resumed = Curve(tmp_path, 1)
    resumed.start(2)  # the first round is over: it goes on from its last checkpoint
    resumed.add([(2, {"loss": 9.0})])  # there already
    Curve(tmp_path, 2).start(2)
    assert curves.read(tmp_path) == [
        {"step": 1, "round": 1, "loss": 3.0},
        {"step": 2, "round": 1, "loss": 2.0},
        {"step": 1, "round": 2, "loss": 2.5},
        {"step": 2, "round": 2, "loss": 1.5},
    ]
    Curve(tmp_path, 1).start(None)
    assert curves.read(tmp_path) == []


def test_divergence_is_noticed_at_its_step(home: Home, base: Base, text: Path) -> None:
    settings = LanguageSettings(steps=50, batch_size=2, block=20, lr=1e30, clip=0.0, warmup=0.0)
    with pytest.raises(TrainingError, match=r"training diverged: the loss of step \d+ is not"):
        train_language("fo", text, base=base, home=home, settings=settings, quiet=True)
    records = curves.read(home.path / "runs" / "fo")
    assert max(r["step"] for r in records) < 50
    assert any(r.get("loss", 0) is None for r in records)


def test_the_summary_has_the_curve_and_the_picture_shows_it(
    ahl: Callable[..., Result], home: Home, tagged: Path, dev: Path
) -> None:
    drawn = home.path / "curve.svg"
    command = (
        "train", "task", "pos", "--train", str(tagged), "--dev", str(dev), "--source=en",
        "--steps=9", "--batch-size=4", "--evaluate-every=3", "--patience=1", "--lr=1e-9",
        "--name=tagger", "--picture", str(drawn), "--report-to=tensorboard",
    )  # fmt: skip
    result = ahl(*command, "--json")
    training = json.loads(result.stdout)["training"]
    assert (training["steps"], training["best_step"], training["stopped_early"]) == (6, 3, True)
    assert training["curve"]["file"] == str(home.path / "runs" / "tagger" / "curve.jsonl")
    assert training["curve"]["records"] == curves.read(home.path / "runs" / "tagger")
    assert "kept the weights of step 3; stopped after step 6 of 9" in result.stderr
    svg = drawn.read_text(encoding="utf-8")
    assert all(name in svg for name in ("<!-- tagger -->", "<!-- loss -->", "dev_accuracy"))
    # a finished run is drawn again, from what its folder keeps
    drawn.unlink()
    ahl(*command)
    assert drawn.read_text(encoding="utf-8") == svg

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(home.path / "runs" / "tagger" / "tensorboard"))
    events.Reload()
    measured = [(e.step, e.value) for e in events.Scalars("eval/dev_accuracy")]
    assert measured == [
        (r["step"], pytest.approx(r["dev_accuracy"]))
        for r in training["curve"]["records"]
        if "dev_accuracy" in r
    ]


def test_a_tracker_that_is_not_installed_is_named_with_its_command(
    ahl: Callable[..., Result], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)  # as if it were not there
    command = ("train", "language", "fo", "--text", str(text), "--report-to=wandb", "--json")
    refused = json.loads(ahl(*command, code=2).stdout)
    assert refused["error"] == "reporting to `wandb` needs the package `wandb`"
    assert refused["hint"] == "`pip install 'adapterhub_lite[wandb]'`"
    assert (
        "is not one of `tensorboard`, `wandb`"
        in ahl("train", "language", "fo", "--text", str(text), "--report-to=mlflow", code=2).stderr
    )

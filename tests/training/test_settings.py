"""Settings that cannot be, and devices that cannot do what is asked, end in one error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from adapterhub_lite.adapter import Adapter
from adapterhub_lite.cli import main
from adapterhub_lite.errors import TrainingError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.testing.models import DECODERS, MODEL_TYPES, save_tiny_base, tiny_model
from adapterhub_lite.training import (
    LanguageSettings,
    TaskSettings,
    train_full,
    train_language,
    train_task,
)
from adapterhub_lite.training.checkpointing import checkpointed_layers, gradient_checkpointing

SHORT = ("--steps=2", "--batch-size=2", "--setting=block=16", "--quiet")


@pytest.fixture
def ahl(home: Home) -> Callable[..., Result]:
    """Call `ahl train language fo` in a home whose base is on disk."""
    save_tiny_base(home.path / "tiny", "xlm-roberta")

    def call(*arguments: str) -> Result:
        command = ["--home", str(home.path), *arguments, "--base", str(home.path / "tiny")]
        return CliRunner().invoke(main, command)

    return call


@pytest.mark.parametrize("option", ["--bf16", "--setting=bf16=true"])
@pytest.mark.parametrize("as_json", [False, True])
def test_bfloat16_is_refused_on_a_cpu(
    ahl: Callable[..., Result], text: Path, tagged: Path, option: str, as_json: bool
) -> None:
    shared = (option, *SHORT[:2], *(("--json",) if as_json else ()))
    for command in (
        ("train", "language", "fo", "--text", str(text)),
        ("train", "task", "pos", "--train", str(tagged), "--source", "en"),
    ):
        result = ahl(*command, *shared)
        assert result.exit_code == 2
        assert isinstance(result.exception, SystemExit)
        words = json.loads(result.stdout)["error"] if as_json else result.stderr
        assert "`bf16` needs a device that trains in bfloat16, this run is on `cpu`" in words


def test_full_fine_tuning_asks_the_device_too(home: Home, base: Base, tagged: Path) -> None:
    with pytest.raises(UsageError, match="`bf16` needs a device"):
        train_full(
            "pos",
            train=tagged,
            source="en",
            base=base,
            home=home,
            settings=TaskSettings(steps=1, bf16=True),
        )


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("clip=-1", "`clip` must be a number from 0 up, found -1"),
        ("weight_decay=-0.1", "`weight_decay` must be a number from 0 up, found -0.1"),
        ("lr=NaN", "setting `lr` must be float, found `NaN`"),
        ("seed=-1", "`seed` must be between 0 and 4294967295, found -1"),
        ("seed=4294967296", "`seed` must be between 0 and 4294967295"),
        ("warmup=2", "`warmup` is a share of the steps, 0 to 1, found 2"),
        ("held_out=0.9", "`held_out` is a share of the blocks, above 0 and at most 0.5"),
        ("save_every=0", "`save_every` must be at least 1, found 0"),
        ("accumulate=0", "`accumulate` must be at least 1, found 0"),
    ],
)
def test_impossible_settings_end_in_one_error(
    ahl: Callable[..., Result], text: Path, setting: str, words: str
) -> None:
    result = ahl("train", "language", "fo", "--text", str(text), "--setting", setting, "--json")
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert words in json.loads(result.stdout)["error"]


def test_one_setting_is_given_in_one_way(ahl: Callable[..., Result], text: Path) -> None:
    shared = ("train", "language", "fo", "--text", str(text), *SHORT)
    result = ahl(*shared, "--gradient-accumulation=2", "--setting=accumulate=3")
    assert result.exit_code == 2
    assert "`--gradient-accumulation` and `--setting accumulate=...` say the same" in result.stderr


def test_what_the_trainer_refuses_is_one_error(
    ahl: Callable[..., Result], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accelerate reads this variable, and knows no such precision."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp1")
    result = ahl("train", "language", "fo", "--text", str(text), *SHORT, "--json")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert json.loads(result.stdout)["error"].startswith("training cannot go on: ")


def test_too_little_memory_is_one_error(home: Home, base: Base, text: Path) -> None:
    """The logits of so many rows are some petabytes."""
    settings = LanguageSettings(steps=1, block=16, batch_size=4, output_bias=False)
    huge = torch.empty(1).expand(2**40)
    with pytest.raises(TrainingError, match="not enough memory") as caught:
        train_language(
            "fo", text, base=_greedy(base, huge), home=home, settings=settings, quiet=True
        )
    assert "--gradient-accumulation" in (caught.value.hint or "")


def _greedy(base: Base, huge: torch.Tensor) -> Base:
    """Return a base of which every training step wants a copy of `huge`."""
    import copy

    greedy = Base(copy.deepcopy(base.model), base.tokenizer, base.identity)

    def copy_it(module: torch.nn.Module, inputs: Any) -> None:
        if torch.is_grad_enabled():
            huge.clone(memory_format=torch.contiguous_format)

    greedy.model.register_forward_pre_hook(copy_it)
    return greedy


def weights(home: Home, adapter: Adapter) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(home.folder_of(adapter) / "weights.safetensors")


@pytest.mark.parametrize("kind", ["xlm-roberta", "llama", "gpt2"])
def test_gradient_checkpointing_trains_the_same_adapter(
    home: Home, text: Path, tmp_path: Path, kind: str
) -> None:
    from adapterhub_lite.model.base import load_base

    base = load_base(save_tiny_base(tmp_path / kind, kind))
    settings = LanguageSettings(steps=3, batch_size=4, block=20, lr=0.01)
    common: dict[str, Any] = {"base": base, "home": home, "quiet": True}
    plain = train_language("fo", text, name="plain", settings=settings, **common)
    changed = settings.changed(gradient_checkpointing=True)
    saving = train_language("fo", text, name="saving", settings=changed, **common)
    assert saving.manifest.training is not None
    assert saving.manifest.training.settings["gradient_checkpointing"] is True
    computed, expected = weights(home, saving), weights(home, plain)
    for key, value in expected.items():
        torch.testing.assert_close(computed[key], value, atol=1e-6, rtol=1e-5)
    assert not any("_call_impl" in vars(module) for module in base.model.modules())


def test_gradient_checkpointing_of_a_stack_with_dropout(
    home: Home, base: Base, text: Path, tagged: Path
) -> None:
    """Language and task adapter share a residual within a layer, and dropout draws again."""
    short = LanguageSettings(steps=1, batch_size=2, block=20)
    train_language("en", text, base=base, home=home, settings=short, quiet=True)
    settings = TaskSettings(steps=3, batch_size=4, lr=0.01, dropout=True)
    trained = [
        weights(
            home,
            train_task(
                "pos",
                train=tagged,
                source="en",
                over="en",
                name=f"pos-{saving}",
                base=base,
                home=home,
                settings=settings.changed(gradient_checkpointing=saving),
                quiet=True,
            ),
        )
        for saving in (False, True)
    ]
    for key, value in trained[0].items():
        torch.testing.assert_close(trained[1][key], value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_checkpointed_layers_keep_less(kind: str) -> None:
    model = tiny_model(kind)
    assert len(checkpointed_layers(model)) == 3
    ids = torch.arange(5, 45).view(4, 10)
    more: dict[str, Any] = {"use_cache": False} if kind in DECODERS else {}
    embeddings = model.get_input_embeddings()

    def kept() -> int:
        sizes = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        inputs = embeddings(ids).detach().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(inputs_embeds=inputs, **more)
        return sum(sizes)

    plain = kept()
    with gradient_checkpointing(model):
        assert kept() < plain / 2
    assert kept() == plain

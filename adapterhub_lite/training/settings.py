"""Settings of a training run: frozen, all with defaults that work on a small machine.

This is the only list of them.  Python keywords, the options of `ahl train`, their help and their
defaults are made from the fields here, so nothing heavy may be imported.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from adapterhub_lite.errors import UsageError

SHORTEST = 8
"""Tokens of the shortest block."""
_SEEDS = 2**32
"""Seeds are below this: numpy, which the trainer seeds too, takes no others."""


def _setting(default: Any, help: str, *, option: str | None = None, late: bool = False) -> Any:
    """Return a field with what the command line says of it.

    A `late` setting was added after runs had been recorded without it.  At its default it is left
    out of a run's identity, so that those runs are still recognised.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "option": option, "late": late}
    )


@dataclass(frozen=True)
class Settings:
    """What every run has.

    Args:
        steps: updates of the weights, at most.
        batch_size: blocks of text, or examples, in one batch.
        lr: learning rate at its highest.
        warmup: share of the steps in which the rate rises from 0; afterwards it falls to 0.
        weight_decay: AdamW's, on matrices.
        clip: largest norm of the gradient.
        accumulate: batches to one step.
        dropout: keep the frozen base's dropout on (and that of methods that have one).
        bf16: compute in bfloat16 where that is safe (mixed precision); weights stay in float32.
        gradient_checkpointing: compute each layer's activations again in the backward pass.
        save_every: steps between checkpoints.
        evaluate_every: steps between measurements on held-out text or development data.
        keep_best: keep the weights that measured best, not the last ones.
        patience: stop after so many measurements in a row without a better one.
        seed: of the first weights, the order of the data, masks and dropout.
    """

    steps: int = _setting(300, "Updates of the weights, at most.", option="--steps")
    batch_size: int = _setting(16, "Items in a batch.", option="--batch-size")
    lr: float = _setting(1e-3, "Learning rate at its highest.", option="--lr")
    warmup: float = _setting(0.1, "Share of the steps in which the rate rises.")
    weight_decay: float = _setting(0.0, "AdamW's weight decay, on matrices.")
    clip: float = _setting(1.0, "Largest norm of the gradient.")
    accumulate: int = _setting(
        1, "Batches to one update of the weights.", option="--gradient-accumulation"
    )
    dropout: bool = _setting(False, "Keep dropout on.")
    bf16: bool = _setting(
        False,
        "Compute in bfloat16, on a device that can.",
        option="--bf16",
    )
    gradient_checkpointing: bool = _setting(
        False,
        "Take less memory, and more time.",
        option="--gradient-checkpointing",
        late=True,
    )
    save_every: int = _setting(50, "Steps between checkpoints.")
    evaluate_every: int | None = _setting(
        None,
        "Steps between measurements.",
        option="--evaluate-every",
        late=True,
    )
    keep_best: bool | None = _setting(None, "Keep the weights that measured best.", late=True)
    patience: int | None = _setting(
        None,
        "Stop after so many that are no better.",
        option="--patience",
        late=True,
    )
    seed: int = _setting(0, "Seed of weights, order and masks.", option="--seed")

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "save_every"):
            self._at_least_one(name)
        for name in ("evaluate_every", "patience"):
            if getattr(self, name) is not None:
                self._at_least_one(name)
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise UsageError(f"`lr` must be a number above 0, found {self.lr}")
        for name in ("weight_decay", "clip"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"`{name}` must be a number from 0 up, found {value}")
        if not 0 <= self.warmup <= 1:
            raise UsageError(f"`warmup` is a share of the steps, 0 to 1, found {self.warmup}")
        if not 0 <= self.seed < _SEEDS:
            raise UsageError(f"`seed` must be between 0 and {_SEEDS - 1}, found {self.seed}")
        if self.patience is not None and self.keep_best is False:
            raise UsageError("`patience` needs the best weights, `keep_best=false` drops them")

    def _at_least_one(self, name: str) -> None:
        value = getattr(self, name)
        if value < 1:
            raise UsageError(f"`{name}` must be at least 1, found {value}")

    def measures_every(self) -> int:
        """Return the steps between measurements: as set, else a tenth of all steps."""
        return self.evaluate_every or max(1, self.steps // 10)

    def changed(self, **values: Any) -> Self:
        """Return these settings with the values that are not `None` put in."""
        changes = {name: value for name, value in values.items() if value is not None}
        return dataclasses.replace(self, **changes)

    def to_mapping(self) -> dict[str, Any]:
        """Return the settings as JSON values; the seed is recorded beside them."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "seed"
            and not (field.metadata["late"] and getattr(self, field.name) == field.default)
        }


@dataclass(frozen=True)
class LanguageSettings(Settings):
    """Settings for language and bilingual adapters.

    Args:
        block: tokens in a block of text, special tokens included.
        masked: share of the tokens to predict (not used by decoders, which predict them all).
        whole_words: mask all pieces of a word together.
        output_bias: train a bias over the vocabulary with the adapter.
        held_out: share of the blocks that is kept out to measure the loss on, at most a half.
        evaluate_every: steps between measurements; `None`: before and after, and ten times where
            the best weights are kept.
        parallel_ratio: batches of text, batches of parallel text, in turn (where there is any).
        keep_best: keep the weights with the lowest held-out loss, not the last ones
            (`None`: for bilingual adapters, by the target's loss, and with `patience`).
    """

    lr: float = _setting(2e-3, "Learning rate at its highest.", option="--lr")
    block: int = _setting(128, "Tokens in a block of text.")
    masked: float = _setting(0.15, "Share of the tokens to predict.")
    whole_words: bool = _setting(False, "Mask all pieces of a word together.")
    output_bias: bool = _setting(True, "Train a bias over the vocabulary.")
    held_out: float = _setting(0.05, "Share of the blocks to measure the loss on.")
    evaluate_every: int | None = _setting(
        None, "Steps between measurements.", option="--evaluate-every"
    )
    parallel_ratio: tuple[int, int] = _setting((1, 2), "Batches of text, of parallel text.")
    keep_best: bool | None = _setting(None, "Keep the weights with the lowest loss.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block < SHORTEST:
            raise UsageError(f"`block` must be at least {SHORTEST} tokens, found {self.block}")
        if not 0 < self.masked < 1:
            raise UsageError(f"`masked` is a share between 0 and 1, found {self.masked}")
        if not 0 < self.held_out <= 0.5:
            raise UsageError(
                f"`held_out` is a share of the blocks, above 0 and at most 0.5, found "
                f"{self.held_out}"
            )
        if len(self.parallel_ratio) != 2 or min(self.parallel_ratio) < 1:
            raise UsageError(
                f"a ratio is two numbers of at least 1, found {list(self.parallel_ratio)}"
            )


@dataclass(frozen=True)
class TaskSettings(Settings):
    """Settings for task adapters and for full fine-tuning.

    Args:
        max_length: longest window in tokens (`None`: what the base reads).
        limit: use only the first so many training examples.
        keep_best: with development data, keep the weights that score best on it, by the task
            type's main metric (`None`: yes, where there are development data).
    """

    max_length: int | None = _setting(None, "Longest window in tokens.")
    limit: int | None = _setting(None, "Only the first so many training examples.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_length", "limit"):
            if getattr(self, name) is not None:
                self._at_least_one(name)


def options(kind: type[Settings]) -> Iterator[tuple[str, str, str]]:
    """Yield (field, option, help) of the settings that have an option of their own."""
    for field in dataclasses.fields(kind):
        if field.metadata["option"]:
            yield field.name, field.metadata["option"], field.metadata["help"]

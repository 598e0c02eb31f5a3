"""Settings of a training run: frozen, all with defaults that work on a small machine."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from adapterhub_lite.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """What every run has.

    Args:
        steps: updates of the weights.
        batch_size: blocks of text, or examples, in one batch.
        lr: learning rate at its highest.
        warmup: share of the steps in which the rate rises from 0; afterwards it falls to 0.
        weight_decay: AdamW's, on matrices.
        clip: largest norm of the gradient.
        accumulate: batches to one step.
        dropout: keep the frozen base's dropout on (and that of methods that have one).
        bf16: compute in bfloat16 where that is safe (mixed precision); weights stay in float32.
        save_every: steps between checkpoints.
        seed: of the first weights, the order of the data, masks and dropout.
    """

    steps: int = 300
    batch_size: int = 16
    lr: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    accumulate: int = 1
    dropout: bool = False
    bf16: bool = False
    save_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "save_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"`{name}` must be at least 1, found {getattr(self, name)}")
        if self.lr <= 0:
            raise UsageError(f"`lr` must be above 0, found {self.lr}")
        if not 0 <= self.warmup <= 1:
            raise UsageError(f"`warmup` is a share of the steps, 0 to 1, found {self.warmup}")

    def changed(self, **values: Any) -> Self:
        """Return these settings with the values that are not `None` put in."""
        given = {name: value for name, value in values.items() if value is not None}
        return dataclasses.replace(self, **given)

    def to_mapping(self) -> dict[str, Any]:
        """Return the settings as JSON values; the seed is recorded beside them."""
        values = dataclasses.asdict(self)
        del values["seed"]
        return values


@dataclass(frozen=True)
class LanguageSettings(Settings):
    """Settings for language and bilingual adapters.

    Args:
        block: tokens in a block of text, special tokens included.
        masked: share of the tokens to predict (not used by decoders, which predict them all).
        whole_words: mask all pieces of a word together.
        output_bias: train a bias over the vocabulary with the adapter.
        held_out: share of the blocks that is kept out to measure the loss on.
        evaluate_every: steps between measurements; `None`: before and after (bilingual: 10 times).
        parallel_ratio: batches of text, batches of parallel text, in turn (where there is any).
        keep_best: keep the weights with the lowest held-out loss, not the last ones
            (`None`: for bilingual adapters, by the target's loss).
    """

    lr: float = 2e-3
    block: int = 128
    masked: float = 0.15
    whole_words: bool = False
    output_bias: bool = True
    held_out: float = 0.05
    evaluate_every: int | None = None
    parallel_ratio: tuple[int, int] = (1, 2)
    keep_best: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block < 8:
            raise UsageError(f"`block` must be at least 8 tokens, found {self.block}")
        for name in ("masked", "held_out"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(
                    f"`{name}` is a share between 0 and 1, found {getattr(self, name)}"
                )
        if len(self.parallel_ratio) != 2 or min(self.parallel_ratio) < 1:
            raise UsageError(
                f"a ratio is two numbers of at least 1, found {list(self.parallel_ratio)}"
            )
        if self.evaluate_every is not None and self.evaluate_every < 1:
            raise UsageError(f"`evaluate_every` must be at least 1, found {self.evaluate_every}")


@dataclass(frozen=True)
class TaskSettings(Settings):
    """Settings for task adapters and for full fine-tuning.

    Args:
        max_length: longest window in tokens (`None`: what the base reads).
        limit: use only the first so many training examples.
    """

    max_length: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_length", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"`{name}` must be at least 1, found {value}")

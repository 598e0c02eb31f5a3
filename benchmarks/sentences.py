"""Sentences of random ids whose lengths are like those of a treebank: they cost what text costs.

Lengths are drawn from a log-normal distribution with a median of 24 tokens (sigma 0.6, at most
254); the mean is 29.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lengths(count: int) -> list[int]:
    """Return lengths of sentences in tokens, special tokens included."""
    generator = torch.Generator().manual_seed(7)
    drawn = torch.randn(count, generator=generator) * 0.6 + torch.tensor(24.0).log()
    return [int(n) for n in (drawn.exp() + 2).clamp(4, 256).tolist()]


def sentences(vocabulary: int, count: int) -> list[Tensor]:
    """Return sentences of random ids with their special tokens."""
    generator = torch.Generator().manual_seed(8)
    return [
        torch.cat(
            (
                torch.tensor([0]),
                torch.randint(5, vocabulary, (n - 2,), generator=generator),
                torch.tensor([2]),
            )
        )
        for n in lengths(count)
    ]

"""The first value of a language's output bias, from how often its pieces occur.

The base's mean prediction p over masked places is what it takes the language's frequencies to be;
q are the real ones.  Adding log q - log p to its scores turns the mean prediction (nearly) into q.
A second round mends what the first leaves, since the mean of softmaxes is no softmax of means.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.base import IGNORED, Batch
from adapterhub_lite.tasks.forward import on_device, vocabulary_scores

ROUNDS = 2
AT_ONCE = 256
"""Rows whose probabilities are in memory together."""
SMOOTHING = 0.1
"""Count added to every piece: those not seen become unlikely, not impossible."""


@torch.no_grad()
def bias_from_counts(base: Base, counts: Tensor, batches: Iterable[Batch]) -> Tensor:
    """Return the bias that moves the base's mean prediction to the frequencies in `counts`."""
    scores = torch.cat([_scores(base, batch) for batch in batches])
    vocabulary = scores.shape[-1]
    smoothed = counts[:vocabulary].to(scores.device, torch.float32) + SMOOTHING
    wanted = (smoothed / smoothed.sum()).log()
    bias = torch.zeros(vocabulary, device=scores.device)
    for _ in range(ROUNDS):
        mean = torch.zeros_like(bias)
        for part in scores.tensor_split(-(-len(scores) // AT_ONCE)):
            mean += (part + bias).softmax(-1).sum(0) / len(scores)
        bias = bias + wanted - (mean + 1e-10).log()
    centred: Tensor = bias - bias.mean()
    return centred


def _scores(base: Base, batch: Batch) -> Tensor:
    batch = on_device(batch, base)
    scores = vocabulary_scores(base, batch)
    kept: Tensor = scores[batch["targets"] != IGNORED].float()
    return kept

"""Sequence classification at one token, as transformers' own classes compute it.

Encoders read the first token (with a dense layer and tanh before the labels, if the head has one),
decoders the last.  Adapters that were trained elsewhere bring such heads along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from adapterhub_lite.adapter import BaseIdentity, HeadSpec
from adapterhub_lite.tasks.base import Batch, linear_head
from adapterhub_lite.tasks.sequences import SequenceClassification

if TYPE_CHECKING:
    from torch import Tensor


class FirstToken(SequenceClassification):
    """A label a text, from the first token's vector."""

    name = "sequence-classification-first"

    def init_head(self, head: HeadSpec, base: BaseIdentity) -> dict[str, Tensor]:
        """Return a linear layer; with `dense` in the config a square one before it.

        `bias: false` in the config leaves out the labels' bias.
        """
        weights = linear_head(base.hidden_size, len(head.labels))
        if not head.config.get("bias", True):
            del weights["bias"]
        if head.config.get("dense", False):
            before = linear_head(base.hidden_size, base.hidden_size)
            weights |= {f"dense_{key}": tensor for key, tensor in before.items()}
        return weights

    def logits(self, head: Mapping[str, Tensor], outputs: Tensor, batch: Batch) -> Tensor:
        """Return (rows, 1, labels): the linear layer's values at one token of every text."""
        from torch.nn.functional import linear

        vectors = self.vectors(outputs, batch["units"]).unsqueeze(1)
        if "dense_weight" in head:
            vectors = linear(vectors, head["dense_weight"], head["dense_bias"]).tanh()
        return linear(vectors, head["weight"], head.get("bias"))

    def vectors(self, outputs: Tensor, units: Tensor) -> Tensor:
        """Return a text's vector, (rows, hidden size); `units` is -1 at padding."""
        return outputs[:, 0]


class LastToken(FirstToken):
    """A label a text, from the last token's vector."""

    name = "sequence-classification-last"

    def vectors(self, outputs: Tensor, units: Tensor) -> Tensor:
        """Return the last vector that is not padding."""
        import torch

        places = torch.arange(units.shape[1], device=units.device)
        last = (places * (units >= 0)).argmax(-1)
        return outputs[torch.arange(len(outputs), device=outputs.device), last]

"""From a batch to a head's logits: what of the base model a head reads, computed where needed.

The projection on the vocabulary costs more than the rest of a small model.  It is computed at the
units of a batch only (masked places), by cutting them out right before the output embedding; a
method's own work there (the inverse of an invertible part) then sees just those places.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import TaskTypeError
from adapterhub_lite.tasks.base import Batch, Objective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from adapterhub_lite.model.base import Base


def task_logits(
    base: Base, task_type: Objective, head: Mapping[str, Tensor], batch: Batch
) -> Tensor:
    """Return the head's logits (rows, units, choices) for a batch on the base's device."""
    return task_type.logits(head, outputs_of(base, task_type, batch), batch)


def outputs_of(base: Base, task_type: Objective, batch: Batch) -> Tensor:
    """Return what heads of a task type read of the base for a batch on its device."""
    if task_type.reads == "vocabulary":
        return vocabulary_scores(base, batch)
    outputs: Tensor = base.trunk(**_inputs(base, batch)).last_hidden_state
    return outputs


def on_device(batch: Batch, base: Base) -> Batch:
    """Return the batch with its tensors where the base model is."""
    device = base.model.device
    return {k: v.to(device) if hasattr(v, "to") else v for k, v in batch.items()}


def vocabulary_scores(base: Base, batch: Batch) -> Tensor:
    """Return the base's own scores over its vocabulary, (rows, units, vocabulary)."""
    places = _places(batch["units"])
    output = base.vocabulary
    if output is None:
        raise TaskTypeError(
            f"base `{base.identity.name}` has no language-modelling head",
            hint="use a base whose weights hold one (`...ForMaskedLM`, `...ForCausalLM`)",
        )

    caller = threading.get_ident()

    def cut_out(_: nn.Module, inputs: tuple[Any, ...]) -> Any:
        if threading.get_ident() != caller:  # other threads have places of their own
            return None
        hidden = inputs[0]
        index = places.unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
        return (hidden.gather(1, index), *inputs[1:])

    handle = output.register_forward_pre_hook(cut_out, prepend=True)
    try:
        scores: Tensor = base.model(**_inputs(base, batch)).logits
    finally:
        handle.remove()
    return scores


def is_causal(base: Base) -> bool:
    """Whether the base predicts the next token (a decoder) and not masked ones."""
    return type(base.model).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def _inputs(base: Base, batch: Batch) -> dict[str, Any]:
    mask = batch["attention_mask"]
    inputs = {"input_ids": batch["input_ids"], "attention_mask": None if mask.all() else mask}
    return {**inputs, "use_cache": False} if is_causal(base) else inputs


def _places(units: Tensor) -> Tensor:
    """Return the token of every unit, (rows, units); where a row has fewer, any token."""
    count = max(int(units.max()) + 1, 0)
    return (units < 0).int().argsort(dim=1, stable=True)[:, :count]

"""The fingerprint of a base with a vocabulary as large as XLM-R's."""

from __future__ import annotations

from typing import Any

import torch

from adapterhub_lite.model.fingerprint import fingerprint
from adapterhub_lite.testing.models import tiny_model


def test_a_table_of_more_than_16_million_entries() -> None:
    large = tiny_model("bert", vocab_size=600_000)  # 19.2 M entries: float32 rounds 2**24 + 1
    first = fingerprint(large)
    assert len(first) == 64
    with torch.no_grad():
        table: Any = large.get_input_embeddings()
        table.weight[-1, -1] += 1
    assert fingerprint(large) != first

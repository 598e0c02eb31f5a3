"""Extractive answers: spans in windows, and back to text."""

from __future__ import annotations

from typing import Any

import torch

from adapterhub_lite.tasks.answers import QuestionAnswering
from adapterhub_lite.tasks.base import IGNORED, Example

TYPE = QuestionAnswering()
CONTEXT = "The cat watched the birds in the old garden until the children came along the river."
EXAMPLE = Example(("Where ?", CONTEXT), ("old garden",), (CONTEXT.index("old garden"),))


def test_the_answer_is_found_in_a_window_that_holds_it(tokenizer: Any) -> None:
    windows = TYPE.encode(tokenizer, [EXAMPLE], (), 24)
    assert len(windows) > 1
    holding = [w for w in windows if w.targets[0] != IGNORED]
    assert holding
    for window in holding:
        start, end = window.targets
        found = CONTEXT[window.offsets[start][0] : window.offsets[end][1]]
        assert found.strip() == "old garden"
    for window in windows:
        inside = [window.offsets[u] for u in window.units if u >= 0]
        whole = inside[0][0] <= EXAMPLE.starts[0] and inside[-1][1] >= EXAMPLE.starts[0] + 10
        assert whole == (window in holding)


def test_the_best_span_over_windows_becomes_text(tokenizer: Any) -> None:
    windows = TYPE.encode(tokenizer, [EXAMPLE], (), 24)
    scored = []
    for window in windows:
        logits = torch.zeros(len(window.ids), 2)
        if window.targets[0] != IGNORED:
            logits[window.targets[0], 0] = logits[window.targets[1], 1] = 9.0
        outside = torch.tensor(window.units) < 0
        scored.append((window, logits.masked_fill(outside[:, None], float("-inf"))))
    prediction = TYPE.decode(EXAMPLE, scored, ())
    assert prediction.labels[0].strip() == "old garden"
    assert prediction.probabilities[0] > 0.9


def test_loss_is_the_mean_of_start_and_end(tokenizer: Any) -> None:
    windows = TYPE.encode(tokenizer, [EXAMPLE], (), 24)
    batch = TYPE.collate(windows, 1)
    outputs = torch.randn(*batch["input_ids"].shape, 8, generator=torch.Generator().manual_seed(1))
    head = {"weight": torch.ones(2, 8) / 3, "bias": torch.zeros(2)}
    logits = TYPE.logits(head, outputs, batch)
    expected = []
    for row, window in enumerate(windows):
        if window.targets[0] != IGNORED:
            start, end = logits[row].log_softmax(0)[list(window.targets), [0, 1]]
            expected.append(-(start + end) / 2)
    torch.testing.assert_close(TYPE.loss(logits, batch), torch.stack(expected).mean())
    without = TYPE.collate([w for w in windows if w.targets[0] == IGNORED], 1)
    assert (
        float(TYPE.loss(TYPE.logits(head, outputs[: len(without["units"])], without), without)) == 0
    )

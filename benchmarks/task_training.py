"""Training a task adapter on a frozen language adapter, beside `adapters` on its own trainer.

Of 800 windows (`sentences.py`), sorted by length and cut into 50 batches, a round takes every
seventh batch: its windows have the lengths of the whole set, and sorting them gives batches with as
little padding as sorting the whole set does.  All train one epoch on these windows, 16 in a batch:

- ours sorts by length;
- the same trainer of ours, batches as they come: what the batches alone bring;
- the peer, batches as they come, padded to the longest, as its example scripts do;
- the peer with `group_by_length=True`, which those who know it would set, sorting as many batches
  together as it does for a large set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from adapterhub_lite.model.attach import Attachment, attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.tasks.base import Window
from adapterhub_lite.tasks.forward import on_device, task_logits
from adapterhub_lite.tasks.words import TokenClassification
from adapterhub_lite.training.batches import Shuffled, WindowBatches
from adapterhub_lite.training.loop import Trainee, fit
from adapterhub_lite.training.settings import TaskSettings
from benchmarks.asking import send_adapter
from benchmarks.lines import Line, rate_lines
from benchmarks.peer import Peer
from benchmarks.sentences import sentences
from benchmarks.setting import LANGUAGE, TASK, TOLERANCE, Size, make_adapter, make_base, scratch
from benchmarks.timing import Spread, clock, device

WINDOWS, BATCH, LABELS, PAD = 800, 16, 5, 1
EVERY = 7
OFFSETS = (0, 3, 6)
EPOCHS_ON_A_GPU = 20
STACK = ["language", "task"]
KIND = TokenClassification()


def task_lines(size: Size, python: str | None) -> list[Line]:
    """Return the lines of task training."""
    base = make_base(size)
    peer = _Theirs(base, python) if python else None
    runs: dict[str, Callable[[list[Window], int], float]] = {
        "ours": lambda windows, seed: _ours(base, _sorted(windows, seed), len(windows)),
        "unsorted": lambda windows, seed: _ours(base, _AsTheyCome(windows, seed), len(windows)),
    }
    if peer:
        runs["peer"] = lambda windows, seed: peer.train(windows, seed, grouped=False)
        runs["grouped"] = lambda windows, seed: peer.train(windows, seed, grouped=True)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for number, offset in enumerate(OFFSETS):
        windows = _windows(size.vocabulary, offset)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            rates[name].append(_epochs() * len(windows) / runs[name](windows, number))
    if peer:
        peer.close()
    return _lines(rates)


def _lines(rates: dict[str, list[float]]) -> list[Line]:
    what, unit = "task adapter, real lengths", "examples a second"
    ours = rates["ours"]
    lines = rate_lines(
        f"{what}; the peer as its examples do", unit, ours, rates.get("peer", []), reach=1.5
    )
    if "grouped" in rates:
        lines += rate_lines(f"{what}; the peer groups by length", unit, ours, rates["grouped"])
    alone = [a / b for a, b in zip(ours, rates["unsorted"], strict=True)]
    return [
        *lines,
        Line(
            f"{what}: what sorting alone brings",
            "times the rate of batches as they come",
            Spread.of(alone),
            better="high",
            note="the same trainer of ours on both sides",
        ),
    ]


def _epochs() -> int:
    return EPOCHS_ON_A_GPU if device().type == "cuda" else 1


def _windows(vocabulary: int, offset: int) -> list[Window]:
    """Return every seventh batch of 16 from all windows, sorted by length."""
    rows = sorted(sentences(vocabulary, WINDOWS), key=len)
    chosen = [
        row
        for start in range(offset * BATCH, WINDOWS, EVERY * BATCH)
        for row in rows[start : start + BATCH]
    ]
    return [_window(number, row.tolist()) for number, row in enumerate(chosen)]


def _window(number: int, ids: list[int]) -> Window:
    count = len(ids) - 2
    targets = tuple(token % LABELS for token in ids[1:-1])
    return Window(number, tuple(ids), (-1, *range(count), -1), count, targets)


def _sorted(windows: list[Window], seed: int) -> WindowBatches:
    return WindowBatches(windows, KIND, pad=PAD, batch_size=BATCH, seed=seed)


class _AsTheyCome:
    """Batches of 16 windows in a random order, padded to the longest."""

    def __init__(self, windows: Sequence[Window], seed: int) -> None:
        self.order = Shuffled(len(windows), seed)
        self.windows = windows

    def _chosen(self, number: int) -> list[Window]:
        return [self.windows[self.order[number * BATCH + place]] for place in range(BATCH)]

    def batch(self, number: int) -> dict[str, Any]:
        """Return batch `number`."""
        return KIND.collate(self._chosen(number), PAD)

    def tokens(self, number: int) -> int:
        """Return its tokens."""
        return sum(len(window.ids) for window in self._chosen(number))


def _adapters(base: Base) -> dict[str, LoadedAdapter]:
    """Return both adapters; the task's is stacked as the peer stacks, so that outputs are equal."""
    return {
        "language": make_adapter(base, "bottleneck", LANGUAGE, "language"),
        "task": make_adapter(
            base, "bottleneck", {**TASK, "stacking": "chained"}, "task", seed=2, labels=LABELS
        ),
    }


def _attached(base: Base) -> Attachment:
    return attach(
        base, f"stack({', '.join(STACK)})", adapters=_adapters(base), trainable={STACK[-1]}
    )


def _ours(base: Base, batches: Any, windows: int) -> float:
    settings = TaskSettings(
        steps=_epochs() * windows // BATCH,
        batch_size=BATCH,
        save_every=10**6,
        bf16=device().type == "cuda",
    )
    with _attached(base) as attached:
        parameters = attached.parameters_of(STACK[-1])
        trainee = Trainee(base, KIND, parameters, lambda _: _head(attached))
        start = clock()
        fit(trainee, batches, settings, scratch(), label="task", quiet=True)
        return clock() - start


def _head(attached: Attachment) -> dict[str, torch.Tensor]:
    found = attached.head()
    assert found is not None
    return found[1]


class _Theirs:
    """The peer with the same base, adapters and head."""

    def __init__(self, base: Base, python: str) -> None:
        self._folder = scratch()
        config = base.model.config
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
        config.num_labels = LABELS
        trunk: Any = base.trunk
        trunk.save_pretrained(self._folder)
        self._peer = Peer(python)
        self.close = self._peer.close
        self._peer.ask("load", base=str(self._folder), kind="words", device=device().type)
        for name, adapter in _adapters(base).items():
            send_adapter(self._peer, name, adapter, self._folder)
        self._check(base)

    def _check(self, base: Base) -> None:
        """Make sure that both sides have the same loss."""
        windows = _windows(base.model.config.vocab_size, 3)[::BATCH]
        theirs = self._peer.ask("loss", rows=self._rows(windows), stack=STACK)["loss"]
        batch = on_device(KIND.collate(windows, PAD), base)
        with _attached(base) as attached, torch.inference_mode():
            logits = task_logits(base, KIND, _head(attached), batch)
            ours = float(KIND.loss(logits, batch))
        if abs(ours - theirs) > TOLERANCE:
            raise RuntimeError(f"not the same work: a loss of {ours:.4f}, theirs {theirs:.4f}")

    def _rows(self, windows: Sequence[Window]) -> str:
        path: Path = self._folder / "rows.pt"
        rows = [
            {
                "input_ids": torch.tensor(window.ids),
                "labels": torch.tensor([-100, *window.targets, -100]),
            }
            for window in windows
        ]
        torch.save(rows, path)
        return str(path)

    def train(self, windows: Sequence[Window], seed: int, *, grouped: bool) -> float:
        """Return the seconds of an epoch."""
        options = {
            "num_train_epochs": _epochs(),
            "per_device_train_batch_size": BATCH,
            "learning_rate": 1e-4,
            "seed": seed,
            "group_by_length": grouped,
        }
        answer = self._peer.ask(
            "train",
            rows=self._rows(windows),
            folder=str(self._folder / "run"),
            stack=STACK,
            masked=0.0,
            options=options,
        )
        if answer["rows"] != _epochs() * len(windows):
            raise RuntimeError(f"not the same work: {answer['rows']} examples of {len(windows)}")
        return float(answer["seconds"])

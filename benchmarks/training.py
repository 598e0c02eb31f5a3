"""Training: tokens a second and peak memory, beside `adapters` on its trainer, and the loss curve.

Lengths are drawn from a log-normal distribution with a median of 24 tokens (sigma 0.6, at most
254), which is close to sentences of a treebank.  Ids are random: they cost what text costs.
Dropout is off on both sides.  Ours packs the sentences into blocks; the peer pads every batch to
its longest sentence, as its example script does line by line, with as many tokens in a batch.
"""

from __future__ import annotations

import gc
import multiprocessing
import resource
import time
from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.base import IGNORED, Window
from adapterhub_lite.tasks.forward import on_device
from adapterhub_lite.tasks.language import LanguageModelling
from adapterhub_lite.tasks.words import TokenClassification
from adapterhub_lite.training.batches import TextBatches, WindowBatches
from adapterhub_lite.training.loop import Trainee, fit
from adapterhub_lite.training.settings import LanguageSettings, TaskSettings
from adapterhub_lite.training.text import Masking
from benchmarks.lines import Line
from benchmarks.peer import Peer
from benchmarks.setting import LANGUAGE, Size, make_adapter, make_base, scratch
from benchmarks.timing import Spread, fix_threads

BLOCK, BLOCKS = 128, 4
MASK = 4


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


def training_lines(size: Size, peer_python: str | None) -> list[Line]:
    """Return the lines of language-adapter and task-adapter training."""
    lines = [_curve(size)]
    ours, theirs = [], []
    context = multiprocessing.get_context("spawn")
    for _ in range(3 if size.name == "full" else 2):  # processes in turn, each with its own peak
        with context.Pool(1) as pool:
            ours.append(pool.apply(_ours, (size,)))
        if peer_python:
            theirs.append(_theirs(size, peer_python))
    rate = Spread.of([n / s for n, s, _ in ours])
    peers = {"adapters": Spread.of([n / s for n, s, _ in theirs])} if theirs else {}
    gain = rate.median / peers["adapters"].median if peers else None
    name = f"language adapter, vocabulary {size.training_vocabulary:,}"
    lines.append(
        Line(
            name,
            "tokens a second",
            rate,
            peers=peers,
            better="high",
            note=f"{gain:.2f} times the peer, reach 3" if gain else "",
        )
    )
    lines.append(
        Line(
            f"{name}: peak memory",
            "GiB",
            Spread.of([k / 2**20 for _, _, k in ours]),
            peers={"adapters": Spread.of([k / 2**20 for _, _, k in theirs])} if theirs else {},
        )
    )
    return [*lines, _task(size)]


def _parts(size: Size) -> tuple[Base, Any, Masking]:
    base = make_base(size, size.training_vocabulary)
    adapter = make_adapter(base, "bottleneck", LANGUAGE, "new")
    return base, adapter, Masking(base, share=0.15, whole_words=False, causal=False)


def _blocks(size: Size) -> Tensor:
    stream = torch.cat([s[1:] for s in sentences(size.training_vocabulary, 600)])
    count = len(stream) // BLOCK
    return stream[: count * BLOCK].view(count, BLOCK)


def _ours(size: Size) -> tuple[int, float, int]:
    """Return tokens, CPU seconds and peak KiB of a run, in this process."""
    fix_threads()
    base, adapter, masking = _parts(size)
    settings = LanguageSettings(steps=size.steps, batch_size=BLOCKS, block=BLOCK, save_every=10**6)
    batches = TextBatches(_blocks(size), masking, batch_size=BLOCKS, seed=0)
    with attach(base, "new", adapters={"new": adapter}, trainable={"new"}) as attached:
        trainee = Trainee(base, LanguageModelling(), attached.parameters_of("new"), lambda _: {})
        start = time.process_time()
        tokens = fit(trainee, batches, settings, scratch(), label="ours", quiet=True)
        spent = time.process_time() - start
    return tokens, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _theirs(size: Size, python: str) -> tuple[int, float, int]:
    base, adapter, _ = _parts(size)
    base.model.config.hidden_dropout_prob = base.model.config.attention_probs_dropout_prob = 0.0
    folder = scratch()
    base.model.save_pretrained(folder)
    save_file(adapter.weights, folder / "new.safetensors")
    rows = sentences(size.training_vocabulary, 600)
    mean = sum(map(len, rows)) / len(rows)
    torch.save(
        {
            "rows": rows,
            "adapter": "new",
            "mask": MASK,
            "batch_size": max(1, round(BLOCK * BLOCKS / mean)),
            "folder": str(folder / "run"),
        },
        folder / "rows.pt",
    )
    del base
    gc.collect()
    peer = Peer(python)
    peer.ask("load", base=str(folder), head=True)
    path = str(folder / "new.safetensors")
    peer.ask("add", name="new", path=path, reduction=2.0, invertible=True)
    rows_file = str(folder / "rows.pt")
    answer = peer.ask("train", blocks=rows_file, steps=size.steps, rate=1e-4, masked=0.15)
    peer.close()
    return answer["tokens"], answer["seconds"], answer["peak_kib"]


def _curve(size: Size) -> Line:
    """Compare the losses with those of the plain recipe: all positions, unpacked optimiser."""
    small = Size("curve", 2, 2000, 1, 30, 2000)
    losses = []
    for plain in (False, True):
        base, adapter, masking = _parts(small)
        batches = TextBatches(_blocks(small) % 2000, masking, batch_size=BLOCKS, seed=0)
        with attach(base, "new", adapters={"new": adapter}, trainable={"new"}) as attached:
            weights = list(attached.parameters_of("new").values())
            losses.append(_descend(base, batches, weights, small.steps, plain=plain))
    difference = [abs(a - b) for a, b in zip(*losses, strict=True)]
    return Line(
        f"loss over {small.steps} steps, projection where masked against everywhere",
        "nats of difference",
        Spread.of(difference),
        reach=1e-3,
        floor=0.0,
        note=f"{losses[0][0]:.2f} to {losses[0][-1]:.2f}, both; size {size.name}",
    )


def _descend(
    base: Base, batches: TextBatches, weights: Sequence[nn.Parameter], steps: int, *, plain: bool
) -> list[float]:
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.0)
    found = []
    objective = LanguageModelling()
    for number in range(steps):
        batch = on_device(batches.batch(number), base)
        if plain:
            scores = base.model(input_ids=batch["input_ids"]).logits
            labels = torch.full_like(batch["input_ids"], IGNORED)
            chosen = batch["units"] >= 0
            labels[chosen] = batch["targets"][batch["targets"] != IGNORED]
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten())
        else:
            from adapterhub_lite.tasks.forward import task_logits

            loss = objective.loss(task_logits(base, objective, {}, batch), batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(float(loss))
    return found


def _task(size: Size) -> Line:
    """Time task training with batches by length, and with batches as they come (the peers')."""
    base = make_base(size)
    windows = [
        Window(
            n,
            tuple(row.tolist()),
            (-1, *range(len(row) - 2), -1),
            len(row) - 2,
            (1,) * (len(row) - 2),
        )
        for n, row in enumerate(sentences(size.vocabulary, 800))
    ]
    settings = TaskSettings(steps=size.steps, batch_size=16, save_every=10**6)
    kind = TokenClassification()
    ordered = WindowBatches(windows, kind, pad=1, batch_size=16, seed=0)
    rates: dict[str, list[float]] = {"ours": [], "padded": []}
    for _ in range(3):
        for name, found in rates.items():
            adapters = {
                "language": make_adapter(base, "bottleneck", LANGUAGE, "language"),
                "task": make_adapter(base, "bottleneck", {"reduction": 16.0}, "task", labels=5),
            }
            batches: Any = ordered if name == "ours" else _AsTheyCome(windows, kind)
            composition = "stack(language, task)"
            with attach(base, composition, adapters=adapters, trainable={"task"}) as attached:
                trainee = Trainee(base, kind, attached.parameters_of("task"), _head_of(attached))
                start = time.process_time()
                fit(trainee, batches, settings, scratch(), label=name, quiet=True)
                spent = time.process_time() - start
            found.append(settings.steps * 16 / spent)
    gain = Spread.of([a / b for a, b in zip(rates["ours"], rates["padded"], strict=True)])
    return Line(
        "task adapter, real length distribution",
        "times the rate of batches as they come",
        gain,
        reach=1.5,
        better="high",
        note=f"{Spread.of(rates['ours']).median:.1f} examples a second; the same trainer on both "
        "sides, so only the batches differ",
    )


def _head_of(attached: Any) -> Any:
    return lambda _: attached.head()[1]


class _AsTheyCome:
    """Batches of 16 windows in a random order, padded to the longest."""

    def __init__(self, windows: Sequence[Window], kind: TokenClassification) -> None:
        generator = torch.Generator().manual_seed(1)
        self.order = torch.randperm(len(windows), generator=generator).tolist()
        self.windows = windows
        self.kind = kind

    def _chosen(self, number: int) -> list[Window]:
        places = range(number * 16, number * 16 + 16)
        return [self.windows[self.order[place % len(self.order)]] for place in places]

    def batch(self, number: int) -> dict[str, Any]:
        """Return batch `number`."""
        return self.kind.collate(self._chosen(number), 1)

    def tokens(self, number: int) -> int:
        """Return its tokens."""
        return sum(len(window.ids) for window in self._chosen(number))

"""Training a language adapter: rate and memory beside `adapters` on its trainer; the loss curve.

Sentences have real lengths (`sentences.py`); dropout is off and the same weights are trained on
both sides.  Ours packs the sentences into blocks.  The peer trains once on sentences, a batch
padded to its longest, as many tokens in a batch; and once on the very blocks that ours has, which
is the best a user gets who groups texts beforehand.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.tasks.base import IGNORED
from adapterhub_lite.tasks.forward import on_device, task_logits
from adapterhub_lite.tasks.language import LanguageModelling
from adapterhub_lite.training.batches import TextBatches
from adapterhub_lite.training.loop import Trainee, fit
from adapterhub_lite.training.settings import LanguageSettings
from adapterhub_lite.training.text import Masking
from benchmarks.asking import send_adapter
from benchmarks.lines import Line, rate_lines
from benchmarks.peer import Peer
from benchmarks.sentences import sentences
from benchmarks.setting import FULL, LANGUAGE, Size, make_adapter, make_base, read_base, scratch
from benchmarks.timing import Spread, clock, device, fix_threads, peak_kib

BLOCK, BLOCKS = 128, 4
MASKED = 0.15
ON_A_GPU = 25
"""Times as many steps, for there a step is short beside what comes before the first."""
Found = dict[str, float]
"""`tokens`, `seconds` and `peak_kib` of one run in a process of its own."""


def training_lines(size: Size, peer_python: str | None) -> list[Line]:
    """Return the lines of language-adapter training."""
    return [_curve(size), *_language(size, peer_python)]


def _language(size: Size, python: str | None) -> list[Line]:
    folder, adapter = _save_base(size)
    found: dict[str, list[Found]] = {"ours": [], "padded": [], "packed": []}
    context = multiprocessing.get_context("spawn")
    for number in range(3 if size.name == "full" else 2):  # processes in turn
        with context.Pool(1) as pool:
            found["ours"].append(pool.apply(_ours, (size, folder, number)))
        for name in ("padded", "packed") if python else ():
            assert python is not None
            found[name].append(
                _theirs(size, folder, adapter, number, python, packed=name == "packed")
            )
    rates = {name: [run["tokens"] / run["seconds"] for run in runs] for name, runs in found.items()}
    peaks = {name: [run["peak_kib"] / 2**20 for run in runs] for name, runs in found.items()}
    what = f"language adapter, vocabulary {size.training_vocabulary:,}"
    unit = "tokens a second"
    reach = 3.0 if size.training_vocabulary == FULL.training_vocabulary else None
    padded = f"{what}; the peer pads sentences"
    lines = rate_lines(padded, unit, rates["ours"], rates["padded"], reach=reach)
    if python:
        lines += rate_lines(f"{what}; the peer packs too", unit, rates["ours"], rates["packed"])
    names = {"padded": "adapters"} if python else {}
    return [
        *lines,
        Line(
            f"{what}: peak memory",
            "GiB",
            Spread.of(peaks["ours"]),
            peers={peer: Spread.of(peaks[name]) for name, peer in names.items()},
            note=f"{Spread.of(peaks['packed']).median:.2f} for packed batches" if python else "",
        ),
    ]


def _steps(size: Size) -> int:
    return size.steps * (ON_A_GPU if device().type == "cuda" else 1)


def _parts(base: Base) -> tuple[LoadedAdapter, Masking]:
    adapter = make_adapter(base, "bottleneck", LANGUAGE, "new")
    return adapter, Masking(base, share=MASKED, whole_words=False, causal=False)


def _save_base(size: Size) -> tuple[Path, LoadedAdapter]:
    """Return a folder with the base, dropout off in its config, that both sides read."""
    base, folder = make_base(size, size.training_vocabulary), scratch()
    config = base.model.config
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    base.model.save_pretrained(folder)
    return folder, _parts(base)[0]


def _blocks(vocabulary: int) -> Tensor:
    stream = torch.cat([s[1:] for s in sentences(vocabulary, 600)])
    count = len(stream) // BLOCK
    return stream[: count * BLOCK].view(count, BLOCK)


def _ours(size: Size, folder: Path, seed: int) -> Found:
    """Train in this process, which is a new one."""
    fix_threads()
    base = read_base(folder)
    adapter, masking = _parts(base)
    settings = LanguageSettings(
        steps=_steps(size),
        batch_size=BLOCKS,
        block=BLOCK,
        save_every=10**6,
        bf16=device().type == "cuda",
    )
    blocks = _blocks(size.training_vocabulary)
    batches = TextBatches(blocks, masking, batch_size=BLOCKS, seed=seed)
    with attach(base, "new", adapters={"new": adapter}, trainable={"new"}) as attached:
        trainee = Trainee(base, LanguageModelling(), attached.parameters_of("new"), lambda _: {})
        start = clock()
        fitted = fit(trainee, batches, settings, scratch(), label="ours", quiet=True)
        return {"tokens": fitted.tokens, "seconds": clock() - start, "peak_kib": peak_kib()}


def _theirs(
    size: Size, folder: Path, adapter: LoadedAdapter, seed: int, python: str, *, packed: bool
) -> Found:
    """Train in the peer's process: on blocks, or on sentences with as many tokens in a batch."""
    ids = list(_blocks(size.training_vocabulary))
    if not packed:
        ids = sentences(size.training_vocabulary, 600)
    mean = sum(map(len, ids)) / len(ids)
    rows = scratch() / "rows.pt"
    torch.save([{"input_ids": row} for row in ids], rows)
    options = {
        "max_steps": _steps(size),
        "per_device_train_batch_size": round(BLOCK * BLOCKS / mean),
        "learning_rate": 1e-4,
        "seed": seed,
    }
    peer = Peer(python)
    try:
        peer.ask("load", base=str(folder), kind="language", device=device().type)
        send_adapter(peer, "new", adapter, rows.parent)
        return peer.ask(
            "train",
            rows=str(rows),
            folder=str(rows.parent / "run"),
            stack=["new"],
            masked=MASKED,
            options=options,
        )
    finally:
        peer.close()


def _curve(size: Size) -> Line:
    """Compare the losses with those of the plain recipe: all positions, unpacked optimiser."""
    small = Size("curve", 2, 2000, 1, 30, 2000)
    losses = []
    for plain in (False, True):
        base = make_base(small)
        adapter, masking = _parts(base)
        batches = TextBatches(_blocks(small.vocabulary) % 2000, masking, batch_size=BLOCKS, seed=0)
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
            loss = objective.loss(task_logits(base, objective, {}, batch), batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(loss.item())
    return found

"""One forward pass: a stack over the base, LoRA over the base, and rows of one batch over one.

Measured is the trunk (token ids to hidden states).  Models are copies with equal weights, so the
plain one has no hook on it at all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from adapterhub_lite.model.attach import Attachment, attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from benchmarks.lines import Line
from benchmarks.setting import LANGUAGE, TASK, Size, make_adapter, make_base, make_batch, scratch
from benchmarks.timing import Spread, Times, Variant, device, ratio, take_turns

if TYPE_CHECKING:
    from benchmarks.peer import Peer

SHAPES = ((8, 64), (1, 32))
LORA = {"rank": 8, "alpha": 16.0}
TOLERANCE = 5e-4
"""Largest difference between hidden states of two libraries, which sum in other orders."""


def run_lines(size: Size, peer: Peer | None) -> list[Line]:
    """Return the lines of stack and LoRA."""
    base, merged = make_base(size), make_base(size)
    plain: Any = copy.deepcopy(base.trunk)
    adapters = {
        "language": make_adapter(base, "bottleneck", LANGUAGE, "language"),
        "smaller": make_adapter(base, "bottleneck", {"reduction": 2.0}, "smaller"),
        "task": make_adapter(base, "bottleneck", TASK, "task", seed=2),
        "lora": make_adapter(base, "lora", LORA, "lora", seed=3),
    }
    twin = copy.deepcopy(plain)
    tuned = _peft(plain, adapters["lora"])
    folded = copy.deepcopy(tuned)
    folded.merge_adapter()
    named = {
        "stack": "stack(smaller, task)",
        "invertible": "stack(language, task)",
        "lora": "lora",
        "alone": "smaller",
    }
    lines = []
    with (
        attach(base, named, adapters=adapters) as attached,
        attach(merged, "lora", adapters={"lora": adapters["lora"]}, merge=True),
    ):
        for rows, tokens in SHAPES:
            batch = make_batch(size.vocabulary, rows, tokens)
            variants = {
                "plain": Variant(_pass(plain, batch)),
                "copy": Variant(_pass(twin, batch)),
                **{
                    name: Variant(_pass(base.trunk, batch), _user(attached, name))
                    for name in ("stack", "invertible", "lora")
                },
                "merged": Variant(_pass(merged.trunk, batch)),
                "peft": Variant(_pass(tuned, batch)),
                "peft merged": Variant(_pass(folded, batch)),
            }
            _same(attached, "lora", base, tuned, batch)
            times = take_turns(variants, size.rounds * (1 if rows > 1 else 3))
            attached.use("alone")
            theirs = _stack_of_peer(peer, base, adapters, batch, size) if peer else {}
            lines += _lines(times, theirs, rows, tokens)
    return lines


def _lines(times: Times, theirs: Times, rows: int, tokens: int) -> list[Line]:
    where = f"{rows} x {tokens}"
    reach = {(8, 64): 1.10, (1, 32): 1.12}[rows, tokens]
    names = {
        "stack": "stack of language (1/2) and task (1/16)",
        "invertible": "with invertible part",
    }
    control = "the base against a copy of itself: what noise does"
    lines = [Line(f"{control}, {where}", "base forward passes", ratio(times, "copy", "plain"))]
    lines += [
        Line(
            f"{text}, {where}",
            "base forward passes",
            ratio(times, name, "plain"),
            reach=reach if name == "stack" else None,
            floor=counted(name, tokens),
            peers={"adapters": ratio(theirs, name, "plain")} if theirs else {},
        )
        for name, text in names.items()
    ]
    for name, other, reach, text in (
        ("lora", "peft", 1.01, "unmerged"),
        ("merged", "peft merged", 1.0, "merged"),
    ):
        lines.append(
            Line(
                f"LoRA (8) on query and value, {text}, {where}",
                "base forward passes",
                ratio(times, name, "plain"),
                reach=reach,
                floor=counted(name, tokens),
                peers={"peft": ratio(times, other, "plain")},
            )
        )
    return lines


def counted(name: str, tokens: int, *, layers: int = 12, width: int = 768) -> float:
    """Return the multiply-adds of a variant over those of the base, per token."""
    layer = 4 * width**2 + 2 * 4 * width**2 + 2 * tokens * width
    more = {
        "stack": 2 * width * (width // 2 + width // 16),
        "invertible": 2 * width * (width // 2 + width // 16) + 2 * (width // 2) ** 2 / layers,
        "lora": 2 * 2 * width * 8,
        "merged": 0,
    }[name]
    return (layer + more) / layer


def row_lines(size: Size, peer: Peer | None) -> list[Line]:
    """Return the lines of batches with another composition in every row."""
    base = make_base(size)
    adapters: dict[str, LoadedAdapter] = {}
    top = size.layers - 1
    for n in range(8):
        left_out = (top,) if n % 2 else ()
        adapters[f"b{n}"] = make_adapter(base, "bottleneck", LANGUAGE, f"b{n}", seed=n)
        adapters[f"d{n}"] = make_adapter(
            base, "bottleneck", LANGUAGE, f"d{n}", seed=n, leave_out=left_out
        )
        adapters[f"p{n}"] = make_adapter(base, "prefix", {"length": 10}, f"p{n}", seed=n)
        adapters[f"t{n}"] = make_adapter(base, "bottleneck", TASK, f"t{n}", seed=n, labels=5)
    for n in range(32):
        adapters[f"l{n}"] = make_adapter(base, "lora", LORA, f"l{n}", seed=n)
    stacks: dict[str, str | None] = {f"s{n}": f"stack(b{n}, t{n})" for n in range(8)}
    stacks |= {name: name for name in adapters if name[0] in "bdpl"} | {"plain": None}
    mixed = ["s0", "l1", "p2", "plain", "d3", "s4", "l5", "p6"]
    cases: list[tuple[str, list[str], str, int, float | None]] = [
        ("bottleneck with invertible part", [f"b{n}" for n in range(8)], "b0", 64, 1.03),
        ("stacks, a task and head a row", [f"s{n}" for n in range(8)], "s0", 64, 1.03),
        ("other layers left out", [f"d{n}" for n in range(8)], "d0", 64, 1.03),
        ("LoRA", [f"l{n}" for n in range(8)], "l0", 64, 1.01),
        ("prefix", [f"p{n}" for n in range(8)], "p0", 64, 1.03),
        ("all methods mixed, one row without", mixed, "s0", 64, 1.03),
        ("32 rows, 32 LoRA adapters", [f"l{n}" for n in range(32)], "l0", 16, 1.05),
    ]
    tuned = _peft(copy.deepcopy(base.trunk), *(adapters[f"l{n}"] for n in range(32)))
    lines = []
    with attach(base, stacks, adapters=adapters) as attached:
        for text, rows, one, tokens, reach in cases:
            batch = make_batch(size.vocabulary, len(rows), tokens)
            forward = _pass(base.trunk, batch)
            variants = {
                "one": Variant(forward, _user(attached, one)),
                "rows": Variant(_in_rows(attached, rows, forward)),
                "apart": Variant(_apart(attached, rows, base, batch)),
            }
            if rows[0] == "l0":
                variants["peft one"] = Variant(_pass(tuned, batch), lambda: tuned.set_adapter("l0"))
                variants["peft rows"] = Variant(_pass(tuned, batch, adapter_names=rows))
            times = take_turns(variants, size.rounds)
            peers = {"peft": ratio(times, "peft rows", "peft one")} if rows[0] == "l0" else {}
            if peer and rows[0] == "b0":
                peers["adapters"] = _rows_of_peer(peer, base, adapters, size)
            apart = ratio(times, "apart", "rows").median
            lines.append(
                Line(
                    f"{len(rows)} x {tokens}: {text}",
                    "passes with one adapter",
                    ratio(times, "rows", "one"),
                    reach=reach,
                    floor=1.0,
                    peers=peers,
                    note=f"one pass a row takes {apart:.2f} times as long",
                )
            )
    return lines


def _pass(model: Any, batch: Mapping[str, Tensor], **more: Any) -> Callable[[], None]:
    half = torch.autocast("cuda", torch.bfloat16) if device().type == "cuda" else nullcontext()

    def run() -> None:
        with torch.inference_mode(), half:
            model(**batch, **more)

    return run


def _user(attached: Attachment, name: str) -> Callable[[], None]:
    return lambda: attached.use(name)


def _in_rows(
    attached: Attachment, rows: list[str], forward: Callable[[], None]
) -> Callable[[], None]:
    def run() -> None:
        with attached.rows(rows):
            forward()

    return run


def _apart(
    attached: Attachment, rows: list[str], base: Base, batch: Mapping[str, Tensor]
) -> Callable[[], None]:
    """Return one pass for each composition: what has to be done without rows."""
    parts = [{k: v[n : n + 1] for k, v in batch.items()} for n in range(len(rows))]

    def run() -> None:
        for name, part in zip(rows, parts, strict=True):
            attached.use(name)
            _pass(base.trunk, part)()

    return run


def _peft(trunk: Any, *adapters: LoadedAdapter) -> Any:
    """Return a copy of the model in `peft`, with our weights."""
    import peft

    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"])
    model: Any = peft.get_peft_model(copy.deepcopy(trunk), config, adapter_name=adapters[0].ref)
    for adapter in adapters[1:]:
        model.add_adapter(adapter.ref, config)
    layers = model.base_model.model.encoder.layer
    with torch.no_grad():
        for adapter in adapters:
            for number, layer in enumerate(layers):
                for part in ("query", "value"):
                    module = getattr(layer.attention.self, part)
                    for letter in "AB":
                        weight = getattr(module, f"lora_{letter}")[adapter.ref].weight
                        weight.copy_(adapter.weights[f"{part}.{number}.{letter}"])
    return model.eval()


def _same(attached: Attachment, name: str, base: Base, other: Any, batch: Any) -> None:
    """Make sure that both libraries compute the same."""
    attached.use(name)
    with torch.inference_mode():
        ours, theirs = base.trunk(**batch)[0], other(**batch)[0]
    difference = float((ours - theirs).abs().max())
    if difference > TOLERANCE:
        raise RuntimeError(f"not the same work: outputs differ by {difference:.2g}")


def _send(peer: Peer, base: Base, adapters: Mapping[str, LoadedAdapter]) -> Path:
    folder = scratch()
    trunk: Any = base.trunk
    trunk.save_pretrained(folder)
    peer.ask("load", base=str(folder))
    for name, adapter in adapters.items():
        save_file(adapter.weights, folder / f"{name}.safetensors")
        config = adapter.config
        peer.ask(
            "add",
            name=name,
            path=str(folder / f"{name}.safetensors"),
            reduction=config.reduction,
            invertible=config.invertible,
        )
    return folder


def _stack_of_peer(
    peer: Peer, base: Base, adapters: Mapping[str, LoadedAdapter], batch: Any, size: Size
) -> Times:
    bottlenecks = {name: adapters[name] for name in ("language", "smaller", "task")}
    _send(peer, base, bottlenecks)
    with torch.inference_mode():
        ours = base.trunk(**batch)[0][0, 0, :8].tolist()
    _asking(peer, {}, batch)
    theirs = peer.ask("forward", batch="batch", setup=["smaller"])["first"]
    difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    if difference > TOLERANCE:
        raise RuntimeError(f"not the same work: outputs differ by {difference:.2g}")
    setups = {"plain": None, "stack": ["smaller", "task"], "invertible": ["language", "task"]}
    return take_turns(_asking(peer, setups, batch), size.rounds)


def _rows_of_peer(
    peer: Peer, base: Base, adapters: Mapping[str, LoadedAdapter], size: Size
) -> Spread:
    """Return what `BatchSplit` costs (it runs the first invertible part for all rows)."""
    names = [f"b{n}" for n in range(8)]
    _send(peer, base, {name: adapters[name] for name in names})
    setups = {"one": ["b0"], "rows": [[name] for name in names]}
    batch = make_batch(size.vocabulary, 8, 64)
    return ratio(take_turns(_asking(peer, setups, batch), size.rounds), "rows", "one")


def _asking(peer: Peer, setups: Mapping[str, Any], batch: Any) -> dict[str, Variant]:
    peer.ask("batch", name="batch", ids=batch["input_ids"].tolist())

    def asker(setup: Any) -> Callable[[], float]:
        return lambda: float(peer.ask("forward", batch="batch", setup=setup)["seconds"])

    return {name: Variant(asker(setup)) for name, setup in setups.items()}

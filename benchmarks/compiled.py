"""Forward passes under `torch.compile`: with adapters over without, in one graph each.

The compiled trunk is one object on the same weights.  Every composition is a trace of its own in
it, chosen by its guards; without any it is the base.  A graph break is an error (`fullgraph=True`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch

from adapterhub_lite.model.attach import Attachment, attach
from benchmarks.asking import check_same
from benchmarks.lines import Line
from benchmarks.setting import (
    LANGUAGE,
    LORA,
    TASK,
    TOLERANCE,
    Size,
    forward,
    make_adapter,
    make_base,
    make_batch,
    scratch,
)
from benchmarks.timing import Variant, device, half, keep_memory, ratio, take_turns

EACH = [f"b{n}" for n in range(8)]
IN_HALF = 0.1
"""Largest difference in bfloat16, where other kernels round at other places."""
Setup = str | list[str] | None
STACK = ("stack of language (1/2) and task (1/16)", "stack", "base")
WITH_LORA = ("LoRA (8) on query and value, unmerged", "lora", "base")
ROWS = ("bottlenecks with invertible parts, another in every row", EACH, "one")
CASES: dict[tuple[int, int], list[tuple[str, Setup, str]]] = {
    (8, 64): [STACK, WITH_LORA, ROWS],
    (1, 32): [STACK, WITH_LORA],
}
"""For a shape: what, its setup, and what it is compared with."""
SETUPS: dict[str, Setup] = {"base": None, "one": "b0"}
UNITS = {"base": "compiled base forward passes", "one": "compiled passes with one adapter"}


def compiled_lines(size: Size) -> list[Line]:
    """Return the lines of compiled forward passes, and what compiling is worth to the base."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(scratch())  # what was compiled once stays unknown
    keep_memory()
    base = make_base(size)
    adapters = {
        name: make_adapter(base, "bottleneck", LANGUAGE, name, seed=seed)
        for seed, name in enumerate(EACH)
    }
    adapters["smaller"] = make_adapter(base, "bottleneck", {"reduction": 2.0}, "smaller")
    adapters["task"] = make_adapter(base, "bottleneck", TASK, "task", seed=2)
    adapters["lora"] = make_adapter(base, "lora", LORA, "lora", seed=3)
    named = {"stack": "stack(smaller, task)"} | {name: name for name in ("lora", *EACH)}
    lines = []
    with attach(base, named, adapters=adapters) as attached:
        for shape in CASES:
            torch.compiler.reset()
            lines += _lines(attached, shape, size)
    torch.compiler.reset()
    return lines


def _lines(attached: Attachment, shape: tuple[int, int], size: Size) -> list[Line]:
    rows, tokens = shape
    cases, trunk = CASES[shape], attached.base.trunk
    batch = make_batch(size.vocabulary, rows, tokens)
    compiled = torch.compile(trunk, fullgraph=True, dynamic=False)
    setups = {to: SETUPS[to] for _, _, to in cases} | {text: setup for text, setup, _ in cases}
    variants = {
        name: Variant(_in_setup(attached, setup, forward(compiled, batch)))
        for name, setup in setups.items()
    }
    first = {name: _wall(variant) for name, variant in variants.items()}
    for setup in setups.values():
        _check(attached, setup, trunk, compiled, batch)
    variants["eager"] = Variant(_in_setup(attached, None, forward(trunk, batch)))
    times = take_turns(variants, size.rounds * (1 if rows > 1 else 3))
    text = f"the base, compiled over not compiled, {rows} x {tokens}"
    gain = ratio(times, "base", "eager")
    note = f"its first pass takes {first['base']:.0f} s"
    return [
        Line(text, "base forward passes", gain, note=note),
        *(
            Line(
                f"{text}, {rows} x {tokens}",
                UNITS[to],
                ratio(times, text, to),
                note=f"one graph; its first pass takes {first[text]:.0f} s",
            )
            for text, _, to in cases
        ),
    ]


def _wall(variant: Variant) -> float:
    """Return the seconds of a first pass by the wall clock: compilers are other processes."""
    start = time.perf_counter()
    variant.run()
    return time.perf_counter() - start


def _in_setup(attached: Attachment, setup: Setup, run: Callable[[], None]) -> Callable[[], None]:
    """Return `run` with one composition, one a row, or none."""

    def inside() -> None:
        if not isinstance(setup, list):
            attached.use(setup)
        with attached.rows(setup) if isinstance(setup, list) else nullcontext():
            run()

    return inside


def _check(
    attached: Attachment, setup: Setup, eager: Any, compiled: Any, batch: Mapping[str, Any]
) -> None:
    """Make sure that the compiled model computes the same."""
    found: list[torch.Tensor] = []

    def both() -> None:
        with torch.inference_mode(), half():
            found.extend(model(**batch)[0] for model in (eager, compiled))

    _in_setup(attached, setup, both)()
    check_same(*found, within=TOLERANCE if device().type == "cpu" else IN_HALF)

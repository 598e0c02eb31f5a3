"""Forward passes under `torch.compile`: with adapters over without, in one graph each.

The compiled trunk is one object on the same weights.  Every composition is a trace of its own in
it, chosen by its guards; without any it is the base.  A graph break is an error (`fullgraph=True`).
"""

from __future__ import annotations

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
)
from benchmarks.timing import Variant, device, half, ratio, seconds, take_turns

ROWS, TOKENS = 8, 64
IN_HALF = 0.1
"""Largest difference in bfloat16, where other kernels round at other places."""
Setup = str | list[str] | None
EACH = [f"b{n}" for n in range(ROWS)]
CASES: list[tuple[str, Setup, str]] = [
    ("stack of language (1/2) and task (1/16)", "stack", "base"),
    ("LoRA (8) on query and value, unmerged", "lora", "base"),
    (f"{ROWS} bottlenecks with invertible parts in {ROWS} rows", EACH, "one"),
]
UNITS = {"base": "compiled base forward passes", "one": "compiled passes with one adapter"}


def compiled_lines(size: Size) -> list[Line]:
    """Return the lines of compiled forward passes, and what compiling is worth to the base."""
    base = make_base(size)
    adapters = {
        name: make_adapter(base, "bottleneck", LANGUAGE, name, seed=seed)
        for seed, name in enumerate(EACH)
    }
    adapters["smaller"] = make_adapter(base, "bottleneck", {"reduction": 2.0}, "smaller")
    adapters["task"] = make_adapter(base, "bottleneck", TASK, "task", seed=2)
    adapters["lora"] = make_adapter(base, "lora", LORA, "lora", seed=3)
    named = {"stack": "stack(smaller, task)"} | {name: name for name in ("lora", *EACH)}
    batch = make_batch(size.vocabulary, ROWS, TOKENS)
    compiled = torch.compile(base.trunk, fullgraph=True, dynamic=False)
    setups: dict[str, Setup] = {"base": None, "one": "b0"}
    setups |= {text: setup for text, setup, _ in CASES}
    with attach(base, named, adapters=adapters) as attached:
        variants = {
            name: Variant(_in_setup(attached, setup, forward(compiled, batch)))
            for name, setup in setups.items()
        }
        first = {name: seconds(variant.run) for name, variant in variants.items()}
        for setup in setups.values():
            _check(attached, setup, base.trunk, compiled, batch)
        variants["eager"] = Variant(_in_setup(attached, None, forward(base.trunk, batch)))
        times = take_turns(variants, size.rounds)
    torch.compiler.reset()
    gain = Line(
        f"the base, compiled over not compiled, {ROWS} x {TOKENS}",
        "base forward passes",
        ratio(times, "base", "eager"),
        note=f"its first pass takes {first['base']:.0f} s",
    )
    return [
        gain,
        *(
            Line(
                f"{text}, {ROWS} x {TOKENS}",
                UNITS[to],
                ratio(times, text, to),
                note=f"one graph; its first pass takes {first[text]:.0f} s",
            )
            for text, _, to in CASES
        ),
    ]


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

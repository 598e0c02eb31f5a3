"""Rows: a batch with another composition in every row, over one with the same in all rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from adapterhub_lite.model.attach import Attachment, attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from benchmarks.asking import forwards, send
from benchmarks.lines import Line
from benchmarks.setting import (
    LANGUAGE,
    LORA,
    TASK,
    Size,
    forward,
    in_peft,
    make_adapter,
    make_base,
    make_batch,
)
from benchmarks.timing import Spread, Variant, keep_memory, least, ratio, take_turns

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.peer import Peer

MIXED = ["s0", "l1", "p2", "plain", "d3", "s4", "l5", "p6"]
Case = tuple[str, list[str], str, int, float]
CASES: list[Case] = [
    ("bottleneck with invertible part", [f"b{n}" for n in range(8)], "b0", 64, 1.03),
    ("stacks, a task and head a row", [f"s{n}" for n in range(8)], "s0", 64, 1.03),
    ("other layers left out", [f"d{n}" for n in range(8)], "d0", 64, 1.03),
    ("LoRA", [f"l{n}" for n in range(8)], "l0", 64, 1.01),
    ("prefix", [f"p{n}" for n in range(8)], "p0", 64, 1.03),
    ("all methods mixed, one row without", MIXED, "s0", 64, 1.03),
    ("32 rows, 32 LoRA adapters", [f"l{n}" for n in range(32)], "l0", 16, 1.05),
]
"""What, a composition a row, the one it is compared with, tokens, reach."""


def row_lines(size: Size, peer: Peer | None) -> list[Line]:
    """Return the lines of batches with another composition in every row."""
    keep_memory()
    base = make_base(size)
    adapters = _adapters(base, size.layers - 1)
    stacks: dict[str, str | None] = {f"s{n}": f"stack(b{n}, t{n})" for n in range(8)}
    stacks |= {name: name for name in adapters if name[0] in "bdpl"} | {"plain": None}
    tuned = in_peft(base.trunk, *(adapters[f"l{n}"] for n in range(32)))
    with attach(base, stacks, adapters=adapters) as attached:
        lines = []
        for case in CASES:
            text, rows, one, tokens, reach = case
            batch = make_batch(size.vocabulary, len(rows), tokens)
            ours = forward(base.trunk, batch)
            variants = {
                "one": Variant(ours, _user(attached, one)),
                "rows": Variant(_in_rows(attached, rows, ours)),
            }
            peers = {}
            if one == "l0":
                variants["peft one"] = Variant(
                    forward(tuned, batch), lambda: tuned.set_adapter("l0")
                )
                variants["peft rows"] = Variant(forward(tuned, batch, adapter_names=rows))
            times = take_turns(variants, size.rounds)
            if one == "l0":
                peers["peft"] = ratio(times, "peft rows", "peft one")
            if peer and one == "b0":
                peers["adapters"] = _rows_of_peer(peer, base, adapters, size)
            lines.append(
                Line(
                    f"{len(rows)} x {tokens}: {text}",
                    "passes with one adapter",
                    ratio(times, "rows", "one"),
                    reach=reach,
                    floor=1.0,
                    peers=peers,
                    note=f"{least(times, 'rows', 'one')}; "
                    + _note_apart(attached, rows, base, batch),
                )
            )
    return lines


def _adapters(base: Base, top: int) -> dict[str, LoadedAdapter]:
    adapters = {}
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
    return adapters


def _user(attached: Attachment, name: str) -> Callable[[], None]:
    return lambda: attached.use(name)


def _in_rows(attached: Attachment, rows: list[str], run: Callable[[], None]) -> Callable[[], None]:
    def inside() -> None:
        with attached.rows(rows):
            run()

    return inside


def _note_apart(
    attached: Attachment, rows: list[str], base: Base, batch: Mapping[str, Tensor]
) -> str:
    """Say what one pass for each composition costs, which has to be done without rows."""
    parts = [{k: v[n : n + 1] for k, v in batch.items()} for n in range(len(rows))]

    def apart() -> None:
        for name, part in zip(rows, parts, strict=True):
            attached.use(name)
            forward(base.trunk, part)()

    together = _in_rows(attached, rows, forward(base.trunk, batch))
    times = take_turns({"rows": Variant(together), "apart": Variant(apart)}, 3)
    return f"one pass a row takes {ratio(times, 'apart', 'rows').median:.2f} times as long"


def _rows_of_peer(
    peer: Peer, base: Base, adapters: Mapping[str, LoadedAdapter], size: Size
) -> Spread:
    """Return what `BatchSplit` costs (it runs the first invertible part for all rows)."""
    names = [f"b{n}" for n in range(8)]
    send(peer, base, {name: adapters[name] for name in names})
    setups = {"one": ["b0"], "rows": [[name] for name in names]}
    batch = make_batch(size.vocabulary, 8, 64)
    return ratio(take_turns(forwards(peer, setups, batch), size.rounds), "rows", "one")

"""One forward pass: a stack over the base, and LoRA over the base, merged and unmerged.

Measured is the trunk (token ids to hidden states).  Ours is attached before its turn and detached
after it, outside the clock: with and without adapters it is the same module with the same weights,
and the plain one has no hook on it at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from benchmarks.asking import check_same, forwards, send
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
    twin,
)
from benchmarks.timing import Times, Variant, keep_memory, least, ratio, take_turns

if TYPE_CHECKING:
    from benchmarks.peer import Peer

SHAPES = ((8, 64), (1, 32))
STACKS = {"stack": "stack(smaller, task)", "invertible": "stack(language, task)"}


class OneAtATime:
    """What changes a model that others share: it is undone before the next turn begins."""

    def __init__(self) -> None:
        self._now = ExitStack()

    def variant(
        self, run: Callable[[], None], begin: Callable[[], AbstractContextManager[object]] | None
    ) -> Variant:
        """Return `run` after `begin`, which ends before the next turn.

        One pass before it is not timed: the allocator has to settle after what came and went.
        """

        def prepare() -> None:
            self.end()
            if begin:
                self._now.enter_context(begin())
            run()

        return Variant(run, prepare)

    def end(self) -> None:
        """End the last turn."""
        self._now.close()


def run_lines(size: Size, peer: Peer | None) -> list[Line]:
    """Return the lines of stack and LoRA."""
    keep_memory()
    base = make_base(size)
    adapters = {
        "language": make_adapter(base, "bottleneck", LANGUAGE, "language"),
        "smaller": make_adapter(base, "bottleneck", {"reduction": 2.0}, "smaller"),
        "task": make_adapter(base, "bottleneck", TASK, "task", seed=2),
        "lora": make_adapter(base, "lora", LORA, "lora", seed=3),
    }
    begin = {name: _on(base, text, adapters) for name, text in {**STACKS, "lora": "lora"}.items()}
    begin["merged"] = _on(base, "lora", adapters, merge=True)
    tuned, again = in_peft(base.trunk, adapters["lora"]), twin(base.trunk)
    lines = []
    for rows, tokens in SHAPES:
        batch = make_batch(size.vocabulary, rows, tokens)
        _check_peft(base, adapters, tuned, batch)
        ours, one = forward(base.trunk, batch), OneAtATime()
        variants = {
            "plain": one.variant(ours, None),
            "again": one.variant(forward(again, batch), None),
            **{name: one.variant(ours, on) for name, on in begin.items()},
            "peft": one.variant(forward(tuned, batch), None),
            "peft merged": one.variant(forward(tuned, batch), lambda: _merged(tuned)),
        }
        rounds = size.rounds * (1 if rows > 1 else 3)
        times = take_turns(variants, rounds)
        one.end()
        theirs = _stack_of_peer(peer, base, adapters, batch, rounds) if peer else {}
        lines += _lines(times, theirs, rows, tokens)
    return lines


def _on(
    base: Base, text: str, adapters: Mapping[str, LoadedAdapter], *, merge: bool = False
) -> Callable[[], AbstractContextManager[object]]:
    return lambda: attach(base, text, adapters=adapters, merge=merge)


@contextmanager
def _merged(tuned: Any) -> Iterator[None]:
    """Merge in `peft`: into the weights that all share, so it is taken out again."""
    tuned.merge_adapter()
    yield
    tuned.unmerge_adapter()


def _check_peft(
    base: Base, adapters: Mapping[str, LoadedAdapter], tuned: Any, batch: Mapping[str, Any]
) -> None:
    with attach(base, "lora", adapters=adapters), torch.inference_mode():
        ours = base.trunk(**batch)[0]
    with torch.inference_mode():
        check_same(ours, tuned(**batch)[0])


def _lines(times: Times, theirs: Times, rows: int, tokens: int) -> list[Line]:
    where = f"{rows} x {tokens}"
    reach = {(8, 64): 1.10, (1, 32): 1.12}[rows, tokens]
    names = {
        "stack": "stack of language (1/2) and task (1/16)",
        "invertible": "with invertible part",
    }
    control = "the base against itself: what noise does"
    lines = [
        Line(
            f"{control}, {where}",
            "base forward passes",
            ratio(times, "again", "plain"),
            note=least(times, "again", "plain"),
        )
    ]
    lines += [
        Line(
            f"{text}, {where}",
            "base forward passes",
            ratio(times, name, "plain"),
            reach=reach if name == "stack" else None,
            floor=counted(name, tokens),
            peers={"adapters": ratio(theirs, name, "plain")} if theirs else {},
            note=least(times, name, "plain"),
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
                note=least(times, name, "plain"),
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


def _stack_of_peer(
    peer: Peer, base: Base, adapters: Mapping[str, LoadedAdapter], batch: Any, rounds: int
) -> Times:
    send(peer, base, {name: adapters[name] for name in ("language", "smaller", "task")})
    with attach(base, "smaller", adapters=adapters), torch.inference_mode():
        ours = base.trunk(**batch)[0][0, 0, :8].tolist()
    setups = {"plain": None, "stack": ["smaller", "task"], "invertible": ["language", "task"]}
    variants = forwards(peer, setups, batch)
    theirs = peer.ask("forward", batch="batch", setup=["smaller"], exact=True)["first"]
    check_same(torch.tensor(ours), torch.tensor(theirs))
    return take_turns(variants, rounds)

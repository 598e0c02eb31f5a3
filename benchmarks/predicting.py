"""A file of eight languages in random order: tokens a second, beside one language at a time.

One language at a time, the rows of each by themselves and sorted by length, is what the peers'
documentation recommends.  It runs on our model, so that only the recipe differs, and in `adapters`
with batches of 8 and of 32 rows, of which the faster counts.  The peer gets token ids and computes
no head: ours cuts words into pieces, and turns scores into labels, in the time that is taken.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from adapterhub_lite.model.attach import attach
from adapterhub_lite.tasks.base import Example
from adapterhub_lite.tasks.inference import predict_examples
from adapterhub_lite.tasks.words import TokenClassification
from benchmarks.asking import send
from benchmarks.lines import Line, rate_lines
from benchmarks.peer import Peer
from benchmarks.sentences import lengths
from benchmarks.setting import LANGUAGE, TASK, Size, make_adapter, make_base
from benchmarks.timing import Times, Variant, half, keep_memory, ratio, take_turns

LANGUAGES = 8
BATCHES = (8, 32)
LONGEST = 56


def predicting_lines(size: Size, peer: Peer | None) -> list[Line]:
    """Return the lines of a mixed file."""
    keep_memory()
    base = make_base(size)
    adapters = {
        f"b{n}": make_adapter(base, "bottleneck", LANGUAGE, f"b{n}", seed=n)
        for n in range(LANGUAGES)
    }
    adapters["task"] = make_adapter(base, "bottleneck", TASK, "task", labels=5)
    draw = random.Random(0)
    count = 256 if size.name == "full" else 64
    found = [min(n, LONGEST) for n in lengths(count)]
    examples = [Example(tuple(f"w{draw.randrange(5, 95)}" for _ in range(n))) for n in found]
    names = [f"b{draw.randrange(LANGUAGES)}" for _ in examples]
    kind = TokenClassification()
    named = {f"b{n}": f"stack(b{n}, task)" for n in range(LANGUAGES)}
    with attach(base, named, adapters=adapters) as attached:

        def mixed() -> None:
            with half():
                predict_examples(attached, kind, examples, names)

        def apart() -> None:
            for name in named:
                mine = [e for e, own in zip(examples, names, strict=True) if own == name]
                with half():
                    predict_examples(attached, kind, mine, [name] * len(mine))

        variants = {"mixed": Variant(mixed), "apart": Variant(apart)}
        if peer:
            for adapter in adapters.values():
                adapter.weights = {k: v for k, v in adapter.weights.items() if "head." not in k}
            send(peer, base, adapters)
            windows = kind.encode(base.tokenizer, examples, (), LONGEST + 2)
            rows = [(names[w.example], list(w.ids)) for w in windows]
            groups = [([n, "task"], [ids for own, ids in rows if own == n]) for n in named]
            variants |= {f"peer {b}": Variant(_asker(peer, groups, b)) for b in BATCHES}
        times = take_turns(variants, 3)
    return _lines(f"predicting {count} sentences in {LANGUAGES} languages", sum(found), times)


def _asker(peer: Peer, groups: list[Any], batch: int) -> Callable[[], float]:
    return lambda: float(peer.ask("predict", groups=groups, batch_size=batch)["seconds"])


def _lines(what: str, tokens: int, times: Times) -> list[Line]:
    theirs = [times[f"peer {b}"] for b in BATCHES if f"peer {b}" in times]
    fastest = min(theirs, key=sum) if theirs else []
    ours = [tokens / taken for taken in times["mixed"]]
    lines = rate_lines(
        what, "tokens a second", ours, [tokens / taken for taken in fastest], reach=1.0
    )
    recipe = Line(
        f"{what}: the recipe alone",
        "times the rate of one language at a time",
        ratio(times, "apart", "mixed"),
        better="high",
        note="both are ours",
    )
    return [*lines, recipe]

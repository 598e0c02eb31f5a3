"""A file of eight languages in random order: tokens a second, beside one language at a time.

One language at a time, the rows of each by themselves and sorted by length, is what the peers'
documentation recommends, and their best recipe; it runs here on our model, so that only the
recipe differs.
"""

from __future__ import annotations

import random

from adapterhub_lite.model.attach import attach
from adapterhub_lite.tasks.base import Example
from adapterhub_lite.tasks.inference import predict_examples
from adapterhub_lite.tasks.words import TokenClassification
from benchmarks.lines import Line
from benchmarks.sentences import lengths
from benchmarks.setting import LANGUAGE, TASK, Size, make_adapter, make_base
from benchmarks.timing import Spread, Variant, ratio, take_turns

LANGUAGES = 8


def predicting_lines(size: Size) -> list[Line]:
    """Return the line of a mixed file."""
    base = make_base(size)
    adapters = {
        f"b{n}": make_adapter(base, "bottleneck", LANGUAGE, f"b{n}", seed=n)
        for n in range(LANGUAGES)
    }
    adapters["task"] = make_adapter(base, "bottleneck", TASK, "task", labels=5)
    draw = random.Random(0)
    count = 128 if size.name == "full" else 64
    found = [min(n, 56) for n in lengths(count)]
    examples = [Example(tuple(f"w{draw.randrange(5, 95)}" for _ in range(n))) for n in found]
    names = [f"b{draw.randrange(LANGUAGES)}" for _ in examples]
    kind = TokenClassification()
    named = {f"b{n}": f"stack(b{n}, task)" for n in range(LANGUAGES)}
    with attach(base, named, adapters=adapters) as attached:

        def mixed() -> None:
            predict_examples(attached, kind, examples, names)

        def apart() -> None:
            for name in named:
                mine = [e for e, own in zip(examples, names, strict=True) if own == name]
                predict_examples(attached, kind, mine, [name] * len(mine))

        times = take_turns(
            {"mixed": Variant(mixed), "apart": Variant(apart)}, max(3, size.rounds // 3)
        )
    gain = ratio(times, "apart", "mixed")
    rate = Spread.of([sum(found) / t for t in times["mixed"]])
    return [
        Line(
            f"predicting a file of {LANGUAGES} languages, {count} sentences",
            "times the rate of one language at a time",
            gain,
            reach=1.0,
            better="high",
            note=f"{rate.median:.0f} tokens a second",
        )
    ]

"""Resolve for every language that the facts table knows, over the public catalogue.

    python benchmarks/every_language.py [--task ner] [--base bert-base-multilingual-cased]

Printed: how many targets each strategy answers, how many are refused with a reason, and the time.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

from adapterhub_lite import Home, facts, languages, resolve
from adapterhub_lite.errors import NoResolutionError

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Resolve every target and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="ner")
    parser.add_argument("--source", default="en")
    parser.add_argument("--base", default="bert-base-multilingual-cased")
    given = parser.parse_args()
    home = Home.find(ROOT)
    found: Counter[str] = Counter()
    start, cpu = time.perf_counter(), time.process_time()
    targets = sorted({languages.normalise(tag) for tag in facts.tags()})
    for target in targets:
        try:
            answer = resolve(given.source, target, task=given.task, base=given.base, home=home)
            found[answer.strategy] += 1
        except NoResolutionError as refusal:
            found["refused, with the reason" if refusal.message else "refused"] += 1
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    for strategy, count in found.most_common():
        print(f"{count:>6}  {strategy}")
    print(f"{len(targets)} targets in {wall:.1f} s ({cpu:.1f} s of CPU)")


if __name__ == "__main__":
    main()

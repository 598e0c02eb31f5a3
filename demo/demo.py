"""What `make demo` shows: ask, see why, attach, tag, type, and count, all offline.

Works on a copy of the repository's home, so nothing in the tree changes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path[:0] = [str(ROOT / "starter"), str(ROOT / "demo")]

import adapterhub_lite as ahl  # noqa: E402
from adapterhub_lite.composition import Composition  # noqa: E402  # the paths of the scripts come first
from nametype import some  # noqa: E402
from texts import SENTENCES  # noqa: E402

PAIRS = (
    ("en", "gv", "pos", None),  # a bilingual adapter and its task adapter
    ("en", "fo", "pos", None),  # the target's language adapter under the source's task adapter
    ("en", "sw", "pos", None),  # no adapter for the target: a warning, and what would help
    ("en", "gv", "ner", "e5-mmt-6"),  # nothing fits: a refusal, and what would help
    ("en", "sw", "ner", "bert-base-multilingual-cased"),  # public adapters, not pulled yet
)
NAMED = ("fo", "cy", "zu", "mt", "sw")
EACH = 20


def heading(words: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{words}\033[0m" if sys.stdout.isatty() else f"\n== {words}")


def ask(home: ahl.Home) -> list[ahl.Resolution]:
    """Resolve every pair, print the reasons, and return what was found."""
    found = []
    for source, target, task, base in PAIRS:
        named = f" --base {base}" if base else ""
        heading(f"ahl resolve {source} {target} --task {task}{named}")
        try:
            resolution = ahl.resolve(source, target, task=task, base=base, home=home)
        except ahl.NoResolutionError as error:
            print(f"error: {error}")
            continue
        print(resolution.explain())
        found.append(resolution)
    return found


def tag(home: ahl.Home, base: ahl.Base) -> None:
    """Tag a sentence in each language, all in one batch, each row with its own stack."""
    heading("One sentence in six languages, one batch, each row with its own stack")
    stacks = {
        language: ahl.resolve("en", language, task="pos", home=home).composition
        for language in SENTENCES
    }
    rows = list(SENTENCES)
    sentences = [SENTENCES[language].split() for language in rows]
    with ahl.attach(base, stacks, home=home) as attachment:
        for language, item in zip(
            rows, ahl.predict(sentences, attachment=attachment, rows=rows), strict=True
        ):
            print(f"  {language}  " + "  ".join(f"{word}/{label}" for word, label in item.pairs))


def right(predicted: Sequence[str], names: Sequence[tuple[str, str]]) -> list[int]:
    """Return 1 for each name whose kind was predicted, else 0."""
    return [int(label == kind) for label, (_, kind) in zip(predicted, names, strict=True)]


def points(gains: Sequence[int]) -> tuple[float, float, float]:
    """Return the mean of paired differences and its 95 % interval (normal), in points."""
    mean = statistics.fmean(gains)
    error = 1.96 * statistics.stdev(gains) / len(gains) ** 0.5
    return 100 * mean, 100 * (mean - error), 100 * (mean + error)


def verdict(gains: Sequence[int]) -> str:
    """Return a mean difference with its interval, and what it says."""
    mean, low, high = points(gains)
    meaning = "a gain" if low > 0 else "a loss" if high < 0 else "within noise"
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}], {meaning}"


def without(answer: ahl.Resolution) -> Composition:
    """Return what runs without language adapters: an alternative, else the task adapter alone."""
    for alternative in answer.alternatives:
        if alternative.strategy == "no-language-adapter":
            return alternative.composition
    stack = answer.composition
    return stack.parts[-1] if isinstance(stack, ahl.Stack) else stack


def name_types(home: ahl.Home, base: ahl.Base) -> None:
    """Type real names from CLDR, with the resolved stack and with the task adapter alone."""
    heading("Real names from CLDR: is it a territory, language, currency, script, unit, time zone?")
    print(f"  {'':<4}{'names':>6}  {'bare':>6}  {'stack':>6}  strategy")
    gains: dict[str, list[int]] = {}
    for language in NAMED:
        names = some(language, each=EACH)
        answer = ahl.resolve("en", language, task="nametype", home=home)
        stack, bare = answer.composition, without(answer)
        texts = [name for name, _ in names]
        hits: dict[str, list[int]] = {}
        examples: list[str] = []
        with ahl.attach(base, {"bare": bare, "stack": stack}, home=home) as attachment:
            for which in ("bare", "stack"):
                found = ahl.predict(texts, attachment=attachment, rows=[which] * len(texts))
                labels = [item.labels[0] for item in found]
                hits[which] = right(labels, names)
                examples = [f"{t} → {label}" for t, label in zip(texts, labels, strict=True)]
        if stack != bare:
            gains[language] = [s - b for s, b in zip(hits["stack"], hits["bare"], strict=True)]
        scores = {which: statistics.fmean(values) for which, values in hits.items()}
        print(
            f"  {language:<4}{len(names):>6}  {scores['bare']:>6.1%}  {scores['stack']:>6.1%}"
            f"  {answer.strategy}   {',  '.join(examples[:: len(examples) // 3][:3])}"
        )
    print("  bare: a task adapter with no language adapter under it")
    conclude(gains)


def conclude(gains: dict[str, list[int]]) -> None:
    """Say what the table shows, with intervals: points gained by the stack over bare."""
    same = [language for language in NAMED if language not in gains]
    alone = f" The resolver ran it bare too in: {', '.join(same)}." if same else ""
    every = [gain for values in gains.values() for gain in values]
    print(f"  Stack over bare, in points with 95 % intervals: {verdict(every)} over {len(every)}")
    each = "; ".join(f"{language} {verdict(values)}" for language, values in gains.items())
    print(f"  names of {len(gains)} languages ({each}).{alone}")
    print("  So few names settle little: `ahl evaluate` on a test set of yours settles more.")


def main() -> None:
    """Run the demo on a copy of the home."""
    from adapterhub_lite.testing.homes import copy_home

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT, help="home to copy [the repository]")
    source = parser.parse_args().home
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        home = copy_home(source, Path(folder) / "home")
        print(f"{home.registry.count()} adapters in the registry")
        answers = ask(home)
        base = ahl.load_base(answers[0].base, home=home)
        tag(home, base)
        name_types(home, base)
    print(f"\n{time.perf_counter() - start:.0f} seconds, nothing in the tree changed")


if __name__ == "__main__":
    main()

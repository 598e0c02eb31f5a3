"""Name typing: is a name a territory, a language, a currency, a script, a unit or a time zone?

The data are CLDR's names, as `babel` carries them: labelled by where they stand, in some 150
languages, so that transfer from English can be measured for all of them with one pinned package.
A name that is English too could be copied from training, and one that is two kinds at once has no
one answer: both are left out.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from names import cldr_names, cldr_tags

Named = tuple[str, str]


def examples(tag: str) -> list[Named]:
    """Return every (name, kind) of one locale whose kind is certain, in a fixed order."""
    kinds = cldr_names(tag.replace("-", "_"))
    times = Counter(name.casefold() for names in kinds.values() for name in names)
    found = [(name, kind) for kind, names in kinds.items() for name in names]
    return sorted(pair for pair in found if times[pair[0].casefold()] == 1)


def unseen(tag: str) -> list[Named]:
    """Return the examples of a locale whose names English does not have."""
    english = {name.casefold() for names in cldr_names("en").values() for name in names}
    return [pair for pair in examples(tag) if pair[0].casefold() not in english]


def split(tag: str, *, held_out: int = 5) -> tuple[list[Named], list[Named]]:
    """Return a language's own training and test names: every fifth is kept out."""
    found = examples(tag)
    train = [pair for at, pair in enumerate(found) if at % held_out]
    return train, found[::held_out]


def some(tag: str, *, each: int, seed: int = 0) -> list[Named]:
    """Return up to `each` unseen names of every kind, drawn with a seed."""
    draw = random.Random(seed)
    by_kind: dict[str, list[Named]] = {}
    for pair in unseen(tag):
        by_kind.setdefault(pair[1], []).append(pair)
    return [
        pair
        for _, pairs in sorted(by_kind.items())
        for pair in draw.sample(pairs, min(each, len(pairs)))
    ]


def locales(*, least: int = 100) -> list[str]:
    """Return the locales with at least `least` unseen names."""
    return [tag for tag in cldr_tags() if tag != "en" and len(unseen(tag)) >= least]


def write(pairs: Sequence[Named], path: Path) -> Path:
    """Write names as JSON lines that `ahl train task` and `ahl evaluate` read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (json.dumps({"text": n, "label": k}, ensure_ascii=False) + "\n" for n, k in pairs)
    path.write_text("".join(rows), encoding="utf-8")
    return path

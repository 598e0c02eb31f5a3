"""Input of the demo: sentences written for this project, and names that CLDR has.

Every sentence says the same: *The children read old books in the garden.*
"""

from __future__ import annotations

import random

from names import cldr_names

SENTENCES = {
    "en": "The children read old books in the garden .",
    "gv": "Ta ny paitchyn lhaih shenn lioaryn ayns y gharey .",
    "cy": "Mae 'r plant yn darllen hen lyfrau yn yr ardd .",
    "fo": "Børnini lesa gamlar bøkur í urtagarðinum .",
    "zu": "Izingane zifunda izincwadi ezindala engadini .",
    "mt": "It- tfal jaqraw kotba qodma fil- ġnien .",
}


def names_of(tag: str, *, each: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return (name, kind), up to `each` of a kind, drawn from what CLDR has in one language.

    Names that English has too, or that are two kinds at once, are left out: the first could be
    copied from training, the second have no one answer.
    """
    english = {name for names in cldr_names("en").values() for name in names}
    kinds = cldr_names(tag.replace("-", "_"))
    draw = random.Random(seed)
    chosen = []
    for kind, names in sorted(kinds.items()):
        others = {name for other, some in kinds.items() if other != kind for name in some}
        own = sorted(names - english - others)
        chosen += [(name, kind) for name in draw.sample(own, min(each, len(own)))]
    return chosen

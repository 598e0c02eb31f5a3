"""How much of a random pick's loss does the ranking of source languages remove?

    python benchmarks/transfer.py FOLDER

FOLDER holds tables `*.csv` with the columns `target,source,score` (more is better), such as those
of LangRank (Lin et al. 2019).  For every target, each ranker picks one source.  Its loss is how far
the pick is below the best source; a random pick's is the mean over all.  Printed: the share of the
random loss that is removed, 100 (1 - sum of losses / sum of random losses), with a 95 % interval
over resampled targets.  Recorded scores are those on other targets only: one target is left out at
a time.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from adapterhub_lite.errors import LanguageTagError
from adapterhub_lite.languages import macro, normalise
from adapterhub_lite.relatedness import nearest, rank, relate
from adapterhub_lite.track_records import Measurement, track_records

Table = Mapping[str, Mapping[str, float]]
Ranker = Callable[[str, Sequence[str], Table], str]
RESAMPLES = 2000


def read(path: Path) -> Table:
    """Return scores by target and source; languages that no tag names are told and left out."""
    table: dict[str, dict[str, float]] = {}
    unknown = set()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                target, source = normalise(row["target"]), normalise(row["source"])
            except LanguageTagError as error:
                unknown.add(str(error.facts["tag"]))
                continue
            if macro(target) != macro(source):
                table.setdefault(target, {})[source] = float(row["score"])
    if unknown:
        print(f"{path.name}: left out {', '.join(sorted(unknown))}")
    return {target: sources for target, sources in table.items() if len(sources) > 1}


def geography(target: str, sources: Sequence[str], _table: Table) -> str:
    """Pick the nearest on the map."""
    return min(sources, key=lambda s: (-(relate(target, s).geography or 0.0), s))


def typology(target: str, sources: Sequence[str], _table: Table) -> str:
    """Pick the most alike in syntax."""
    return min(sources, key=lambda s: (-(relate(target, s).typology or 0.0), s))


def genealogy(target: str, sources: Sequence[str], _table: Table) -> str:
    """Pick the closest in the family tree."""
    return min(sources, key=lambda s: (-relate(target, s).genealogy, s))


def relatedness(target: str, sources: Sequence[str], _table: Table) -> str:
    """Pick the most related by all terms."""
    return nearest(target, sources)[0].tag


def records(target: str, sources: Sequence[str], table: Table) -> dict[str, float]:
    """Return the sources' records on the other targets."""
    found = track_records(
        target,
        (
            Measurement(source, other, "table", value)
            for other, values in table.items()
            if other != target
            for source, value in values.items()
        ),
    )
    return {source: found[source] for source in sources if source in found}


def recorded(target: str, sources: Sequence[str], table: Table) -> str:
    """Pick the source with the best record on other targets."""
    found = records(target, sources, table)
    return min(sources, key=lambda s: (-found.get(s, float("-inf")), s))


def both(target: str, sources: Sequence[str], table: Table) -> str:
    """Pick by relatedness and record, places added, as the resolver does."""
    return rank(target, sources, records(target, sources, table))[0].tag


RANKERS: dict[str, Ranker] = {
    "geography only": geography,
    "typology only": typology,
    "genealogy only": genealogy,
    "relatedness": relatedness,
    "recorded scores only": recorded,
    "relatedness + recorded scores": both,
}


def losses(table: Table, ranker: Ranker) -> list[tuple[float, float]]:
    """Return the pick's loss and a random pick's, for every target."""
    found = []
    for target, values in table.items():
        best = max(values.values())
        pick = ranker(target, sorted(values), table)
        found.append((best - values[pick], best - sum(values.values()) / len(values)))
    return found


def share(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the share of the random loss that is removed, in percent."""
    return 100 * (1 - sum(loss for loss, _ in pairs) / sum(chance for _, chance in pairs))


def interval(values: list[float]) -> str:
    """Return the middle 95 % of resampled values."""
    ordered = sorted(values)
    return f"[{ordered[len(ordered) // 40]:.0f}, {ordered[-len(ordered) // 40]:.0f}]"


def report(name: str, table: Table, rng: random.Random) -> None:
    """Print a table's shares, and how far relatedness with and without records is above others."""
    pairs = {ranker: losses(table, function) for ranker, function in RANKERS.items()}
    count = len(table)
    draws = [[rng.randrange(count) for _ in range(count)] for _ in range(RESAMPLES)]
    resampled = {
        ranker: [share([found[i] for i in draw]) for draw in draws]
        for ranker, found in pairs.items()
    }
    print(f"\n{name}: {count} targets, {sum(map(len, table.values()))} pairs")
    for ranker, found in pairs.items():
        print(f"  {ranker:<30} {share(found):>4.0f}  {interval(resampled[ranker])}")
    for ours in ("relatedness", "relatedness + recorded scores"):
        for theirs in ("geography only", "typology only"):
            more = share(pairs[ours]) - share(pairs[theirs])
            difference = [a - b for a, b in zip(resampled[ours], resampled[theirs], strict=True)]
            print(f"  {ours} - {theirs}: {more:+.0f}  {interval(difference)}")


def main() -> None:
    """Read the tables and print a report on each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder with the tables, `*.csv`")
    folder = parser.parse_args().folder
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        parser.error(f"no table `*.csv` in `{folder}`")
    print("share of a random pick's loss removed, in percent [95 % interval over targets]")
    for path in paths:
        report(path.stem, read(path), random.Random(1))


if __name__ == "__main__":
    main()

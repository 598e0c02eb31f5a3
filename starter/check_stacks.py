"""Does the resolver find the stacks that a list of public adapters can form?

    python starter/check_stacks.py stacks.tsv            counts by family, and what differs
    python starter/check_stacks.py stacks.tsv --rows     every row that differs

The list (tab-separated: base_model, task, dataset, family, source_bcp47, target_bcp47,
task_adapter, target_language_adapter, extra_adapters, match, ...) was made from the facts alone.
A row agrees if its stack is the answer, or an alternative that lost by a preference.  A row whose
labels are in several languages is asked for in one of those that its task adapter saw.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import adapterhub_lite as ahl
from adapterhub_lite.composition import Composition

ROOT = Path(__file__).resolve().parent.parent
Row = Mapping[str, str]


def names(composition: Composition | str) -> tuple[str, ...]:
    """Return the Hub ids of a composition, bottom first."""
    return tuple(re.findall(r"([\w.\-/]+)@[0-9a-f]+", str(composition)))


def stack(row: Row) -> tuple[str, ...]:
    """Return the Hub ids of a row's stack, bottom first."""
    extra = [part for part in re.split(r"[+;,]", row["extra_adapters"]) if part.strip()]
    return (row["target_language_adapter"], *map(str.strip, extra), row["task_adapter"])


def source(row: Row, home: ahl.Home) -> str:
    """Return the language of the labels: of several, one that the task adapter saw."""
    if row["source_bcp47"] != "mul":
        return row["source_bcp47"]
    manifest = home.registry.get(row["task_adapter"]).manifest
    tags = [tag for under in manifest.seen for tag in (use.tag for use in under.languages)]
    return "en" if "en" in tags or not tags else tags[0]


def verdict(row: Row, home: ahl.Home, dataset: str | None = None) -> tuple[str, str]:
    """Return `answer`, `better` or `differs`, and why."""
    wanted = stack(row)
    try:
        found = ahl.resolve(
            source(row, home),
            row["target_bcp47"],
            task=row["task"],
            base=row["base_model"],
            dataset=dataset,
            home=home,
        )
    except ahl.NoResolutionError as error:
        rejected = [r for r in error.resolution.rejections if r.ref.startswith(wanted[-1] + "@")]
        return "differs", f"refused: {rejected[0].reason if rejected else error.message}"
    if names(found.composition) == wanted:
        return "answer", found.strategy
    for other in found.alternatives:
        if names(other.composition) == wanted:
            lost = re.sub(r"`[^`]+`", "`...`", other.lost)
            return "better", f"{found.strategy} instead: {lost}"
    reasons = [
        f"{rejection.rule}: {rejection.reason}"
        for rejection in found.rejections
        if names(" ".join((*rejection.others, rejection.ref))) == wanted
    ]
    plain = re.sub(r"`[^`]+`", "`...`", reasons[0]) if reasons else "was not proposed"
    return "differs", f"{found.strategy} instead: {plain}"


def main() -> None:
    """Check every row and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stacks", type=Path)
    parser.add_argument("--rows", action="store_true", help="print every row that differs")
    parser.add_argument("--home", type=Path, default=ROOT)
    arguments = parser.parse_args()
    home = ahl.Home.find(arguments.home)
    with arguments.stacks.open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    for asked in ("any data set", "the row's data set"):
        counts: Counter[tuple[str, str, str, str]] = Counter()
        why: Counter[tuple[str, str, str]] = Counter()
        for row in rows:
            dataset = row["dataset"] if asked != "any data set" else None
            what, reason = verdict(row, home, dataset)
            counts[row["family"], row["base_model"], row["match"], what] += 1
            if what != "answer":
                why[row["family"], what, reason] += 1
            if arguments.rows and what == "differs":
                print(row["target_bcp47"], *stack(row), reason, sep="\t")
        print(f"\n{len(rows)} stacks, asked for {asked}")
        for group, count in sorted(counts.items()):
            print(f"  {count:4}  {'  '.join(group)}")
        for reasons, count in why.most_common():
            print(f"  {count:4}  {'  '.join(reasons)}")


if __name__ == "__main__":
    main()

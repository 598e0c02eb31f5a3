"""Results as tables: on the terminal, and as docs/benchmarks.md.

python -m benchmarks.tables        (writes the docs from the results that are there)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
TITLES = {
    "startup": "Starting",
    "registry": "Registry and resolver",
    "forward": "One forward pass",
    "rows": "Rows: another composition for every row of a batch",
    "compiled": "Compiled with torch.compile (inductor, no graph breaks)",
    "memory": "Switching, attaching, memory",
    "predicting": "Predicting a file of mixed languages",
    "training": "Training a language adapter",
    "tasks": "Training a task adapter",
}
INTRODUCTION = """# Benchmarks

Generated from `benchmarks/results/*.json` by `make bench` (small, minutes) and `make bench-full`
(the size written here); do not edit. How it is measured: `benchmarks/timing.py`. What was found on
the way: `benchmarks/NOTES.md`.

Ours and peers are medians of ratios within rounds, with the 20th and the 80th percentile.
*Floor* is what counted multiply-adds or bytes allow, *reach* the budget that was set beforehand.
Where a number misses its budget, the column *met* says so.
"""


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """Return the cells of a table, its head first."""
    peers = sorted({name for line in lines for name in line["peers"]})
    table = [["what", "unit", "floor", "ours", *(f"`{p}`" for p in peers), "reach", "met", "note"]]
    for line in lines:
        table.append(
            [
                line["what"],
                line["unit"],
                _number(line["floor"]),
                _spread(line["ours"]),
                *(_spread(line["peers"].get(peer)) for peer in peers),
                _number(line["reach"]),
                _met(line),
                line["note"],
            ]
        )
    return table


def _met(line: dict[str, Any]) -> str:
    if line["reach"] is None:
        return ""
    median = round(line["ours"]["median"], 4)
    good = median <= line["reach"] if line["better"] == "low" else median >= line["reach"]
    return "yes" if good else "no"


def _spread(value: dict[str, float] | None) -> str:
    if value is None:
        return ""
    return f"{_number(value['median'])} [{_number(value['low'])}, {_number(value['high'])}]"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value and abs(value) < 0.01:
        return f"{value:.1g}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


def text(path: Path) -> str:
    """Return one result as text for a terminal."""
    table = rows(json.loads(path.read_text(encoding="utf-8"))["lines"])
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def markdown(path: Path) -> str:
    """Return one result as a section of the docs."""
    found = json.loads(path.read_text(encoding="utf-8"))
    machine = found["machine"]
    head, *body = rows(found["lines"])
    table = [head, ["---"] * len(head), *body]
    where = (
        f"{machine['device']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['threads']} thread; torch {machine['torch']}, "
        f"transformers {machine['transformers']}; size `{found['size']}`"
    )
    lines = (f"| {' | '.join(row)} |" for row in table)
    return f"\n## {TITLES[found['benchmark']]}\n\n{where}\n\n" + "\n".join(lines) + "\n"


def write_docs() -> None:
    """Write docs/benchmarks.md: of every benchmark the full size, or the small one without it."""
    sections = []
    for name in TITLES:
        for device in ("cpu", "gpu"):
            paths = [RESULTS / f"{name}.{device}.{size}.json" for size in ("full", "small")]
            there = [path for path in paths if path.exists()]
            if there:
                sections.append(markdown(there[0]))
    DOCS.write_text(INTRODUCTION + "".join(sections), encoding="utf-8")


if __name__ == "__main__":
    write_docs()

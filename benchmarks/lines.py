"""What a benchmark reports: one line a budget, kept as JSON and printed as a table."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.timing import Spread

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Line:
    """One measured thing.

    `ours` and `peers` are in `unit` (most often a ratio to what `what` names); `reach` is the
    budget, `floor` what counted operations or bytes allow.  Ratios and times are better when low,
    rates (`better="high"`) when high.
    """

    what: str
    unit: str
    ours: Spread
    reach: float | None = None
    floor: float | None = None
    peers: dict[str, Spread] = field(default_factory=dict)
    better: str = "low"
    note: str = ""


def rate_lines(
    what: str, unit: str, ours: list[float], theirs: list[float], *, reach: float | None = None
) -> list[Line]:
    """Return both rates, and ours over theirs round by round, which `reach` is about."""
    peers = {"adapters": Spread.of(theirs)} if theirs else {}
    lines = [Line(what, unit, Spread.of(ours), peers=peers, better="high")]
    if theirs:
        gain = Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])
        lines.append(Line(f"{what}: gain", "times its rate", gain, reach=reach, better="high"))
    return lines


def machine() -> dict[str, Any]:
    """Return where this was measured."""
    cuda = torch.cuda.is_available()
    return {
        "device": f"{torch.cuda.get_device_name()} in bfloat16" if cuda else "CPU",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def write(name: str, size: str, lines: list[Line]) -> Path:
    """Write the result of one benchmark."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.{'gpu' if torch.cuda.is_available() else 'cpu'}.{size}.json"
    found = {
        "benchmark": name,
        "size": size,
        "machine": machine(),
        "lines": [dataclasses.asdict(line) for line in lines],
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return path

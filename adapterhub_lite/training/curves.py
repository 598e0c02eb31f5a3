"""The curves of a run: what the loss was at every step, and what was measured on the way.

They are in the run folder, in `curve.jsonl`, one JSON object a line: `step`, `round` for methods
that train in rounds, and the values by name (`loss`, `held_out_loss`, `dev_accuracy` ...).  Lines
are appended and flushed to the disk before the checkpoint of their step is written.  A run that
goes on from a checkpoint drops the lines of later steps, since it takes these steps again.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterhub_lite import disk
from adapterhub_lite.errors import TrainingError
from adapterhub_lite.foreign.reading import Reader

FILE = "curve.jsonl"

Record = dict[str, Any]


def read(folder: Path) -> list[Record]:
    """Return the records of a run's curves, in the order of their steps.

    What a crash left of a last line is passed over; a folder without curves has none.
    """
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return []
    lines = text.split("\n")[:-1]  # what follows the last line end is no whole line
    records = [record for line in lines if (record := _record(line)) is not None]
    return sorted(records, key=lambda record: (record.get("round", 0), record["step"]))


_LINES = Reader(TrainingError, as_python=True)


def _record(line: str) -> Record | None:
    try:
        record: Record = _LINES.json_object(line, FILE)
    except TrainingError:
        return None
    return record if isinstance(record.get("step"), int) else None


@dataclass(slots=True)
class Curve:
    """The curve of one round, to be written."""

    folder: Path
    round: int | None = None
    _seen: set[tuple[Any, ...]] = field(default_factory=set)

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    def start(self, step: int | None) -> None:
        """Make the file ready to go on after a step; `None`: this round starts afresh.

        Raises:
            HomeError: it cannot be written.
        """
        kept = [record for record in read(self.folder) if self._stays(record, step)]
        text = "".join(f"{json.dumps(record)}\n" for record in kept)
        with disk.refusing(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            disk.write_whole(self.path, text)
        self._seen = {_key(record) for record in kept}

    def load(self) -> None:
        """Know what is in the file already, to add to a curve that is finished."""
        self._seen = {_key(record) for record in read(self.folder)}

    def _stays(self, record: Record, step: int | None) -> bool:
        """Whether a record is from before the step, or of a round that is not taken again."""
        number, own = record.get("round", 0), self.round or 0
        if number == own:
            return step is not None and record["step"] <= step
        return number < own or step is not None

    def add(self, records: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Append records, (step, values) each, and flush them to the disk.

        What is there already, from before an interruption, is not written twice.
        """
        lines = []
        for step, values in records:
            number = {} if self.round is None else {"round": self.round}
            record: Record = {"step": step, **number}
            record |= {n: v if math.isfinite(v) else None for n, v in values.items()}
            if _key(record) not in self._seen:
                self._seen.add(_key(record))
                lines.append(f"{json.dumps(record)}\n")
        if lines:
            with disk.refusing(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write("".join(lines))
                file.flush()
                os.fsync(file.fileno())


def _key(record: Record) -> tuple[Any, ...]:
    return (record.get("round"), record["step"], *sorted(record))

"""Run folders: what a run is, whether it is already done, and what is left of it.

A folder holds `run.json` (everything that decides the result), checkpoints, and at the end
`finished.json` with the adapter's digest.  The same command with the same data goes on or says
that it is done; another one is refused a folder that holds somebody else's unfinished run.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite import digests
from adapterhub_lite.adapter import Adapter
from adapterhub_lite.errors import HomeError, RefError, TrainingError
from adapterhub_lite.home import Home

log = logging.getLogger(__name__)

_WHAT = "run.json"
ROUND = "round-"
"""Start of the folder names of training rounds."""
_DONE = "finished.json"


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its folder and what decides its result."""

    folder: Path
    what: Mapping[str, Any]

    def adapter(self, home: Home, *, resume: bool) -> Adapter | None:
        """Make the folder ready; return the adapter where the run is already finished.

        Raises:
            TrainingError: the folder holds another run that was not finished.
            HomeError: the folder cannot be written.
        """
        done = self.open(resume=resume)
        if done is None:
            return None
        try:
            return home.registry.get(done["adapter"])
        except RefError:
            log.info("the finished adapter is not in this home any more: training again")
            self.open(resume=False)
            return None

    def open(self, *, resume: bool) -> dict[str, Any] | None:
        """Make the folder ready; return what `finish` recorded where the run is finished."""
        try:
            return self._open(resume=resume)
        except OSError as error:
            raise HomeError(
                f"cannot write to `{self.folder}`: {error.strerror or error}",
                hint="name a folder that can be written with `--output`",
            ) from error

    def _open(self, *, resume: bool) -> dict[str, Any] | None:
        before = _read(self.folder / _WHAT)
        same = before is not None and digests.of_json(before) == digests.of_json(dict(self.what))
        done = _read(self.folder / _DONE)
        if same and resume:
            return done
        if before is not None and done is None and resume and self._begun():
            self._refuse(before)
        self._clear()
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.what, indent=2, sort_keys=True, ensure_ascii=False)
        (self.folder / _WHAT).write_text(text + "\n", encoding="utf-8")
        return None

    def _begun(self) -> bool:
        """Whether there is work in the folder that clearing it would throw away."""
        return bool(self._checkpoints())

    def _checkpoints(self) -> list[Path]:
        return [*self.folder.glob("checkpoint-*"), *self.folder.glob(f"{ROUND}*")]

    def _refuse(self, before: Mapping[str, Any]) -> None:
        for key in sorted({*before, *self.what}):
            old, new = before.get(key), self.what.get(key)
            if old != new:
                raise TrainingError(
                    f"`{self.folder}` holds an unfinished run with {key} = {json.dumps(old)[:80]}, "
                    f"this one has {json.dumps(new)[:80]}",
                    hint="`--no-resume` starts afresh there, `--name` or `--output` elsewhere",
                )

    def _clear(self) -> None:
        (self.folder / _DONE).unlink(missing_ok=True)
        (self.folder / _WHAT).unlink(missing_ok=True)
        self.tidy()

    def note(self, name: str, values: Mapping[str, Any]) -> None:
        """Keep numbers that a resumed run could not measure again."""
        text = json.dumps(dict(values), indent=2, sort_keys=True)
        (self.folder / name).write_text(text + "\n", encoding="utf-8")

    def noted(self, name: str) -> dict[str, Any] | None:
        """Return the numbers that `note` kept."""
        return _read(self.folder / name)

    def finish(self, **result: str) -> None:
        """Record the result and remove the checkpoints."""
        self.note(_DONE, result)
        self.tidy()

    def tidy(self) -> None:
        """Remove checkpoints and the unpacked adapter."""
        for path in (*self._checkpoints(), self.folder / "adapter"):
            shutil.rmtree(path, ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return values if isinstance(values, dict) else None

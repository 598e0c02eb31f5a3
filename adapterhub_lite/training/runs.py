"""Run folders: whose they are, what a run is, whether it is already done, and what is left of it.

A folder is a run folder if its `run.json` carries our mark; only in such a folder is anything ever
removed, and only what a run makes there.  `run.json` also holds everything that decides the result,
and `finished.json` the result.  The same command with the same data goes on or says that it is
done; another one is refused a folder that holds somebody else's unfinished run.

`run.json` is replaced in one step.  Before a folder is cleared for another run it says so in the
mark, so that a process killed halfway leaves a folder that the next one clears to the end, never
the checkpoints of one run under the description of another.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from adapterhub_lite import digests, disk, locking
from adapterhub_lite.adapter import Adapter
from adapterhub_lite.errors import HomeError, RefError, TrainingError
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.home import Home
from adapterhub_lite.names import folder_name

log = logging.getLogger(__name__)

ROUND = "round-"
"""Start of the folder names of training rounds."""
CHECKPOINT = re.compile(r"checkpoint-[0-9]+")
UNPACKED = ".adapter"
"""The trained adapter, on its way into the home."""

_RUNS = "runs"
_IDENTITY = "run.json"
_DONE = "finished.json"
_LOCK = "run.lock"
_MARK = "made_by"
_TOOL = "adapterhub_lite"
_FORMAT = 1
_BEFORE_MARKS = {"base", "shape", "settings", "data", "kind"}
"""Keys by which a `run.json` of the versions before the mark is known."""
_MADE_HERE = re.compile(rf"{CHECKPOINT.pattern}|{ROUND}[0-9]+|adapter|{re.escape(UNPACKED)}")


@dataclass(frozen=True, slots=True)
class _Mark:
    """What `run.json` says: everything that decides the result, and whether clearing had begun."""

    identity: Mapping[str, Any]
    clearing: bool = False


def run_folder(home: Home, name: str, output: str | Path | None) -> Path:
    """Return the folder of the run that trains the adapter `name`.

    Without `output` it is `HOME/runs/NAME`, with `+` for a `/` of the name, so that the folders of
    two names never nest.  A run that an earlier version began under a nested path goes on there.

    Raises:
        UsageError: no adapter can have the name.
    """
    folder = home.path / _RUNS / folder_name(name)
    if output is not None:
        return Path(output)
    nested = home.path / _RUNS / name
    if nested != folder and not folder.exists() and _is_run_of(nested, name):
        return nested
    return folder


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its folder and everything that decides its result, as JSON values."""

    folder: Path
    identity: Mapping[str, Any]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder: another process is refused it for as long.

        Of several processes that train together, the main one holds it for all.

        Raises:
            TrainingError: the folder is somebody else's.
            HomeError: another process trains there, or it cannot be written.
        """
        if not _is_main():
            yield
            return
        self._check_ours()
        with disk.refusing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with locking.exclusive(self.folder / _LOCK, f"run folder `{self.folder}`", timeout=0):
            yield

    def adapter(self, home: Home, *, resume: bool) -> Adapter | None:
        """Make the folder ready; return the adapter if the run is already finished.

        Raises:
            TrainingError: the folder holds another run that was not finished, or is not ours.
            HomeError: the folder cannot be written.
        """
        done = self.open(resume=resume)
        if done is None:
            return None
        try:
            return home.registry.get(str(done.get("adapter", "")))
        except RefError:
            log.info("the finished adapter is not in this home any more: training again")
            self.open(resume=False)
            return None

    def open(self, *, resume: bool) -> dict[str, Any] | None:
        """Make the folder ready; return what `finish` recorded if the run is finished."""
        if _is_main():
            done = self._open(resume=resume)
            _wait_for_everyone()
            return done
        _wait_for_everyone()
        return self.noted(_DONE)

    def _open(self, *, resume: bool) -> dict[str, Any] | None:
        mark = self._check_ours()
        done = self.noted(_DONE)
        if mark is not None and not mark.clearing:
            if resume and digests.of_json(mark.identity) == digests.of_json(dict(self.identity)):
                return done
            if resume and done is None and self._work():
                self._refuse(mark.identity)
        self._begin()
        return None

    def _check_ours(self) -> _Mark | None:
        """Return the folder's mark; `None` if nothing is in it.

        Raises:
            TrainingError: it holds files and no mark, or a mark that is damaged or not ours.
        """
        try:
            mark = _read_mark(self.folder)
            foreign = [] if mark else _foreign(self.folder)
        except OSError as error:
            raise disk.refused(error, self.folder, "read") from error
        if foreign:
            names = ", ".join(f"`{name}`" for name in foreign[:3])
            count = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
            raise TrainingError(
                f"`{self.folder}` holds {names}{count}, and no run that `ahl train` began; "
                "nothing in it was changed",
                hint="name a new or an empty folder with `--output`",
            )
        return mark

    def _work(self) -> list[Path]:
        """Return what clearing the folder would throw away."""
        names = (CHECKPOINT, re.compile(f"{ROUND}[0-9]+"))
        return [p for p in self._made_here() if any(name.fullmatch(p.name) for name in names)]

    def _made_here(self) -> list[Path]:
        """Return what a run made in the folder; a link or another run's folder is not that."""
        return [
            path
            for path in sorted(self.folder.iterdir())
            if _MADE_HERE.fullmatch(path.name)
            and path.is_dir()
            and not path.is_symlink()
            and not (path / _IDENTITY).exists()
        ]

    def _refuse(self, before: Mapping[str, Any]) -> NoReturn:
        for key in sorted({*before, *self.identity}):
            old, new = before.get(key), self.identity.get(key)
            if old != new:
                raise TrainingError(
                    f"`{self.folder}` holds an unfinished run with {key} = {json.dumps(old)[:80]}, "
                    f"this one has {json.dumps(new)[:80]}",
                    hint="`--no-resume` starts afresh there, `--name` or `--output` elsewhere",
                )
        raise AssertionError(before)

    def _begin(self) -> None:
        with disk.refusing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_mark(clearing=True)
            (self.folder / _DONE).unlink(missing_ok=True)
            self.tidy()
            self._write_mark(clearing=False)

    def _write_mark(self, *, clearing: bool) -> None:
        mark: dict[str, Any] = {"tool": _TOOL, "format": _FORMAT}
        if clearing:
            mark["clearing"] = True
        self.note(_IDENTITY, {**self.identity, _MARK: mark})

    def note(self, name: str, values: Mapping[str, Any]) -> None:
        """Keep values that a resumed run could not find out again, in one step."""
        if not _is_main():
            return
        text = json.dumps(dict(values), indent=2, sort_keys=True, ensure_ascii=False)
        disk.write_whole(self.folder / name, text + "\n")

    def noted(self, name: str) -> dict[str, Any] | None:
        """Return what `note` kept."""
        try:
            values = _READER.json_file(self.folder / name)
        except (FileNotFoundError, TrainingError):
            return None
        return values if isinstance(values, dict) else None

    def finish(self, **result: str) -> None:
        """Record the result and remove the checkpoints."""
        self.note(_DONE, result)
        if _is_main():
            self.tidy()

    def tidy(self) -> None:
        """Remove checkpoints and the unpacked adapter.

        Raises:
            HomeError: one cannot be removed, so that a later run might go on from it.
        """
        for path in self._made_here():
            with disk.refusing(path, "remove"):
                shutil.rmtree(path)
        for path in self.folder.glob(f".*{disk.UNFINISHED}"):
            path.unlink(missing_ok=True)


_READER = Reader(TrainingError, as_python=True)


def _read_mark(folder: Path) -> _Mark | None:
    path = folder / _IDENTITY
    if folder.exists() and not folder.is_dir():
        raise HomeError(f"`{folder}` is a file", hint="name a folder with `--output`")
    try:
        values = _READER.json_file(path)
    except FileNotFoundError:
        return None
    except TrainingError as error:
        raise _unknown(path, f"is damaged ({error.message})") from None
    mark = values.pop(_MARK, None) if isinstance(values, dict) else None
    if mark is None and isinstance(values, dict) and values.keys() >= _BEFORE_MARKS:
        return _Mark(values)
    if not isinstance(mark, dict) or mark.get("tool") != _TOOL:
        raise _unknown(path, "was not written by `ahl train`")
    if mark.get("format") != _FORMAT:
        raise _unknown(path, f"has format {mark.get('format')!r}, this version reads {_FORMAT}")
    return _Mark(values, clearing=mark.get("clearing") is True)


def _unknown(path: Path, reason: str) -> TrainingError:
    return TrainingError(
        f"`{path}` {reason}, so it is not known whose run `{path.parent}` holds; "
        "nothing in it was changed",
        hint="name a new or an empty folder with `--output`, or look through that one and "
        "remove it yourself",
    )


def _is_run_of(folder: Path, name: str) -> bool:
    try:
        mark = _read_mark(folder)
    except (OSError, TrainingError, HomeError):
        return False
    return mark is not None and mark.identity.get("name") == name


def _foreign(folder: Path) -> list[str]:
    """Return what is in a folder but for what a run leaves there before it has its mark."""
    if not folder.exists():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if not locking.is_lock_of(path.name, _LOCK)
        and not (path.name.startswith(f".{_IDENTITY}.") and path.name.endswith(disk.UNFINISHED))
    )


def _is_main() -> bool:
    from accelerate import PartialState  # type: ignore[import-untyped]  # it ships no types

    return bool(PartialState().is_main_process)


def _wait_for_everyone() -> None:
    from accelerate import PartialState

    PartialState().wait_for_everyone()

"""Kills a process at its writes, one a time, and prints what is left each time.

Run as `python -m tests.registry.killing SCENARIO TEMPLATE SCRATCH MOST [ARGUMENT]`.  What is heavy
is imported once; each attempt is a forked child that works on a copy of the folder TEMPLATE and is
killed before or after its n-th call that changes something (a rename, a flush to the disk, a
statement of the database, ...).  A first child counts them; `MOST` attempts are spread over all.
The parent looks at what is left, as the next command would, and lets the same work end.  One JSON
object a line.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from adapterhub_lite.home import Home
from adapterhub_lite.registry import Registry

WRITES = frozenset(
    {
        "mkdir", "rename", "replace", "unlink", "rmdir", "link", "fsync", "write", "writelines",
        "truncate", "ftruncate", "flock", "execute", "executemany", "commit", "serialize_file",
        "write_record", "write_end_of_file", "copyfile", "sendfile",
    }
)  # fmt: skip

Work = Callable[[Path], object]
Look = Callable[[Path], dict[str, Any]]


def _count(work: Work, place: Path) -> int:
    """Return how many steps the work has, counted in a child that lives."""
    reader, writer = os.pipe()

    def counted() -> None:
        steps = 0

        def step(_frame: FrameType, event: str, argument: Any) -> None:
            nonlocal steps
            if event in {"c_call", "c_return"} and getattr(argument, "__name__", "") in WRITES:
                steps += 1

        sys.setprofile(step)
        work(place)
        sys.setprofile(None)
        os.write(writer, str(steps).encode())

    if _in_child(counted) != 0:
        raise SystemExit("the work fails also where nobody kills it")
    os.close(writer)
    return int(os.read(reader, 20))


def _kill_at(number: int) -> None:
    left = number

    def step(_frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        if event in {"c_call", "c_return"} and getattr(argument, "__name__", "") in WRITES:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(step)


def _in_child(work: Callable[[], object]) -> int:
    """Return 0, or the negative number of the signal that ended the child."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:  # the parent hears of it by the exit code
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            sys.setprofile(None)
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def attempts(
    work: Work, look: Look, template: Path, scratch: Path, most: int, *, warm: bool
) -> Iterator[dict[str, Any]]:
    """Return what was left after each death, and after the work was done again.

    `warm` does the work here first, so that children import nothing; what uses autograd must not.
    """
    for name in ("warm", "counted"):
        shutil.copytree(template, scratch / name)
    if warm:
        work(scratch / "warm")
    look(scratch / "warm")
    steps = _count(work, scratch / "counted")
    for name in ("warm", "counted"):
        shutil.rmtree(scratch / name)
    for number in sorted({max(1, round(steps * part / most)) for part in range(1, most + 1)}):
        place = scratch / str(number)
        shutil.copytree(template, place)

        def dying(number: int = number, place: Path = place) -> None:
            _kill_at(number)
            work(place)

        code = _in_child(dying)
        left = {"at": number, "of": steps, "signal": -code, **look(place)}
        again = _in_child(lambda: work(place))  # noqa: B023  # called at once
        yield {**left, "again": again, "after": look(place)}
        shutil.rmtree(place)


# -------------------------------------------------------------------------------- scenarios


def _home(path: Path) -> dict[str, Any]:
    home = Home.find(path / "home")
    try:
        return {
            "names": home.registry.names(),
            "digests": sorted(a.digest for a in home.registry.find()),
            "problems": sorted({problem.kind for problem in home.verify()}),
            "trash": [item.digest for item in home.store.trash()],
        }
    finally:
        home.registry.close()


def _gc(path: Path) -> None:
    home = Home.find(path / "home")
    home.gc()
    home.registry.close()


def _rebuild(path: Path) -> None:
    Home.lost(path / "home").rebuild()


def _rebuilt(path: Path) -> dict[str, Any]:
    from adapterhub_lite.errors import RegistryError

    database = path / "home" / "registry.db"
    files = (path / "home").glob("registry.db.damaged-*")
    kept = [file.name for file in files if not file.name.endswith("-wal")]
    seen: dict[str, Any] = {"there": database.exists(), "kept": len(kept)}
    try:
        with Registry(database) as registry:
            return {**seen, "dump": registry.dump(), **_home(path)}
    except RegistryError as error:
        return {**seen, "error": error.message}


def _pull_stack(path: Path) -> None:
    from adapterhub_lite.hub import pull_stack

    home = Home.find(path / "home")
    pull_stack("lab/ner-sw", home=home, endpoint=sys.argv[5])
    home.registry.close()


def _export(path: Path) -> None:
    from adapterhub_lite.exchange import export

    if not (path / "out" / "fo").exists():
        export("fo", path / "out" / "fo", home=Home.find(path / "home"), to="peft")


def _exported(path: Path) -> dict[str, Any]:
    from adapterhub_lite.digests import of_file

    out = path / "out" / "fo"
    files = {p.name: of_file(p) for p in sorted(out.iterdir())} if out.exists() else None
    beside = [p.name for p in (path / "out").iterdir()] if out.parent.exists() else []
    return {"files": files, "beside": beside}


def _trainer() -> Work:
    from adapterhub_lite.model.base import load_base
    from adapterhub_lite.training import LanguageSettings, train_language

    template = Path(sys.argv[2])
    base = load_base(template / "base")
    settings = LanguageSettings(steps=4, save_every=1, batch_size=2, block=20)

    def train(path: Path) -> None:
        home = Home.find(path / "home")
        train_language(
            "fo", template / "text.txt", base=base, home=home, settings=settings, quiet=True
        )
        home.registry.close()

    return train


def _trained(path: Path) -> dict[str, Any]:
    home = Home.find(path / "home")
    weights = [a.manifest.weights.sha256 for a in home.registry.find() if a.manifest.weights]
    runs = sorted(p.name for p in (path / "home" / "runs").glob("fo/*"))
    return {"weights": weights, "run": runs, **_home(path)}


def main() -> None:
    """Run one scenario."""
    scenario, template, scratch, most = sys.argv[1:5]
    scenarios: dict[str, tuple[Work | None, Look]] = {
        "gc": (_gc, _home),
        "rebuild": (_rebuild, _rebuilt),
        "pull-stack": (_pull_stack, _home),
        "export": (_export, _exported),
        "train": (None, _trained),
    }
    chosen, look = scenarios[scenario]
    work = chosen or _trainer()
    warm = scenario != "train"
    for line in attempts(work, look, Path(template), Path(scratch), int(most), warm=warm):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

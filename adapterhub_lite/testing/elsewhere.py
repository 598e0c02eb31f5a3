"""Adapters in a process of their own: what the kit writes here, an interpreter reads there.

One interpreter is started when it is first needed, with another seed of Python's hashes, and kept:
importing torch is most of what a check in another process costs.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from torch import Tensor

from adapterhub_lite.adapter import Kind
from adapterhub_lite.methods.base import Method

_started: list[subprocess.Popen[str]] = []


@dataclass(frozen=True)
class Order:
    """What is said of one adapter beside its weights."""

    ref: str
    kind: str
    config: Mapping[str, Any]
    leave_out: Sequence[int]
    digest: str


def write(folder: Path, order: Order, method: Method, weights: Mapping[str, Tensor]) -> None:
    """Write one adapter for `compute`, with the file and class its method comes from."""
    from safetensors.torch import save_file

    kind = type(method)
    origin = {"module": kind.__module__, "class": kind.__qualname__, "file": inspect.getfile(kind)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(weights), folder / f"{order.ref}.safetensors")
    text = json.dumps({**asdict(order), "method": origin})
    (folder / f"{order.ref}.json").write_text(text, encoding="utf-8")


def compute(folder: Path, family: str, composition: str, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the logits (rows, tokens, vocabulary) of a composition, computed in the other process.

    Raises:
        AssertionError: the other process could not; its message is the reason.
    """
    from safetensors.torch import load_file, save_file

    save_file(dict(batch), folder / "batch.safetensors.in")
    worker = _worker()
    request = {"folder": str(folder), "family": family, "composition": composition}
    cast("IO[str]", worker.stdin).write(json.dumps(request) + "\n")
    cast("IO[str]", worker.stdin).flush()
    answer = json.loads(cast("IO[str]", worker.stdout).readline() or '"it ended"')
    assert answer == "", f"in another process: {answer}"
    return load_file(folder / "logits.safetensors.out")["logits"]


def _worker() -> subprocess.Popen[str]:
    if _started and _started[0].poll() is None:
        return _started[0]
    _started.clear()
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    worker = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": paths},
    )
    atexit.register(_stop, worker)
    _started.append(worker)
    return worker


def _stop(worker: subprocess.Popen[str]) -> None:
    with worker:  # closes the pipes and waits
        worker.kill()


def _answer(request: Mapping[str, str]) -> None:
    from safetensors.torch import load_file, save_file

    from adapterhub_lite.model.attach import attach
    from adapterhub_lite.testing.adapters import logits
    from adapterhub_lite.testing.kit import tiny_bases

    folder = Path(request["folder"])
    base = tiny_bases(folder / "bases")(request["family"])
    adapters = {path.stem: _read(path) for path in folder.glob("*.json")}
    with attach(base, request["composition"], adapters=adapters):
        result = logits(base, load_file(folder / "batch.safetensors.in"))
    save_file({"logits": result}, folder / "logits.safetensors.out")


def _read(path: Path) -> Any:
    from safetensors.torch import load_file

    from adapterhub_lite.model.loaded import LoadedAdapter

    order = json.loads(path.read_text(encoding="utf-8"))
    method = _method(order["method"])
    return LoadedAdapter(
        order["ref"],
        Kind(order["kind"]),
        method,
        method.Config.from_mapping(order["config"]),
        load_file(path.with_suffix(".safetensors")),
        tuple(order["leave_out"]),
        digest=order["digest"],
    )


def _method(origin: Mapping[str, str]) -> Method:
    """Import the class by its module's name, or by its file where no such module can be found."""
    try:
        module = importlib.import_module(origin["module"])
    except ImportError:
        spec = importlib.util.spec_from_file_location(origin["module"], origin["file"])
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[origin["module"]] = module
        spec.loader.exec_module(module)
    found: Any = module
    for name in origin["class"].split("."):
        found = getattr(found, name)
    return cast("Method", found())


def _serve() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what a plugin prints is no answer
    for line in sys.stdin:
        try:
            _answer(json.loads(line))
            text = ""
        except Exception as error:  # noqa: BLE001 - a method may fail in any way; the check says so
            text = f"{type(error).__name__}: {error}"
        answers.write(json.dumps(text) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()

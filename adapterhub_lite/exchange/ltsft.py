"""Folders of LT-SFT, as the authors' `SFT.save` writes them: one file, `pytorch_diff.bin`.

https://github.com/cambridgeltl/composable-sft, `src/sft/sft.py`: a mapping with `diffs`, sparse
differences by the name of the base's parameter, and `abs`, whole values of parameters that the base
does not have, which are the head's.  A difference has `size`, `values` and `index_steps`: places in
the tensor flattened column by column (first index fastest), each as the distance from the one
before.  The first step is a number of numpy's, which is why torch's restricted loader needs help.

The file names neither base, language nor labels.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adapterhub_lite.adapter import Kind
from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange.adapterhub_heads import read_head
from adapterhub_lite.exchange.converter import Tensors
from adapterhub_lite.exchange.formats import Format, Opened, Parts
from adapterhub_lite.foreign.text import command

if TYPE_CHECKING:
    from adapterhub_lite.adapter import Manifest
    from adapterhub_lite.exchange.bases import BaseShape
    from adapterhub_lite.exchange.converter import Written
    from adapterhub_lite.exchange.details import Details

FILE = "pytorch_diff.bin"
LIMIT = 8 * 2**30
"""Most bytes that the differences may unfold to: those of a base with two billion parameters."""
_CLASSES = {
    "qa_outputs.weight": "ForQuestionAnswering",
    "classifier.out_proj.weight": "RobertaForSequenceClassification",
}
_BY_TASK_TYPE = {
    "token-classification": "ForTokenClassification",
    "sequence-classification": "BertForSequenceClassification",
}
_LAST_LAYERS = ("qa_outputs", "classifier.out_proj", "classifier")
_FIELDS = {"size", "index_steps", "values"}


class LTSFT(Format):
    """The format; its one method is `sft`."""

    name = "lt-sft"

    def recognises(self, folder: Path) -> bool:
        """Whether the folder has the file."""
        return (folder / FILE).is_file()

    def open(self, folder: Path, *, allow_pickle: bool = False) -> Opened:
        """Read the file; differences unfold to whole tensors, zero where nothing changes."""
        path = folder / FILE
        loaded = _load(path, allowed=allow_pickle)
        surplus = sorted(loaded.keys() - {"diffs", "abs"})
        if surplus or "diffs" not in loaded:
            found = ", ".join(f"`{key}`" for key in sorted(loaded)) or "nothing"
            raise ExchangeError(f"`{path}` has {found}, expected `diffs` and `abs`")
        whole = loaded.get("abs", {})
        for key, value in whole.items():
            if not isinstance(value, Tensor):
                raise ExchangeError(f"`{path}`: `{key}` is no tensor")
        return Opened(
            folder=folder,
            base=None,
            config={},
            method=self.name,
            tensors=_unfolded(loaded["diffs"], path),
            head={} if whole else None,
            head_tensors=whole,
        )

    def parts(self, opened: Opened, base: BaseShape, details: Details) -> Parts:
        """Take the base's name off the keys; of a language adapter the head is left behind."""
        where = f"`{opened.folder / FILE}`"
        start = f"{base.prefix}."
        foreign = [key for key in opened.tensors if not key.startswith(start)]
        if foreign:
            raise ExchangeError(
                f"{where} changes `{min(foreign)}`, which is not of base `{base.identity.name}`, "
                f"whose parameters are called `{start}...`",
                hint="name its base with `--base`",
            )
        tensors = Tensors({k.removeprefix(start): t for k, t in opened.tensors.items()}, where)
        head = opened.head_tensors
        if not head:
            return Parts(tensors)
        if details.kind is Kind.TASK:
            config = {"model_class": _class_of(head, details, where), "num_labels": _labels(head)}
            return Parts(tensors, *read_head(config, head, details.labels, where))
        note = (
            f"left behind: whole values of {', '.join(f'`{key}`' for key in sorted(head))}, the "
            "language-modelling head, which the authors leave out as well (`with_abs=False`)"
        )
        return Parts(tensors, notes=(note,))

    def write(
        self,
        folder: Path,
        *,
        manifest: Manifest,
        written: Written,
        head_weights: Mapping[str, Tensor],
        base: BaseShape,
    ) -> tuple[str, ...]:
        """Write the file, which is a pickle, as that library reads nothing else."""
        if head_weights:
            raise ExchangeError("an LT-SFT folder cannot say how a head of this package is read")
        diffs = {f"{base.prefix}.{key}": _folded(t) for key, t in written.tensors.items()}
        torch.save({"diffs": diffs, "abs": {}}, folder / FILE)
        return (
            f"base `{manifest.base.name}`, languages and licence are in no file of this format",
            "a tied output embedding, which stays as it is here, changes there: untie it first",
        )


def _class_of(head: Mapping[str, Tensor], details: Details, where: str) -> str:
    """Return the end of the name of the transformers class that a head is of, by its tensors."""
    for key, name in _CLASSES.items():
        if key in head:
            return name
    if "classifier.weight" not in head:
        return f"with `{min(head)}`"
    named = _BY_TASK_TYPE.get(details.task_type or "")
    if named is None:
        raise ExchangeError(
            f"{where} does not say what its head `classifier` labels",
            hint=f"`--task-type {'` or `--task-type '.join(_BY_TASK_TYPE)}`",
        )
    return named


def _labels(head: Mapping[str, Tensor]) -> int:
    """Return how many labels a head gives: the rows of its last layer."""
    found = [head[f"{name}.weight"] for name in _LAST_LAYERS if f"{name}.weight" in head]
    return found[0].shape[0] if found and found[0].dim() == 2 else 0


class _Kind:
    """What a pickled number of numpy's says of its type; stands in for `numpy.dtype`."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Take the byte order and the rest, which say nothing more of an integer."""


def _number(kind: _Kind, data: bytes) -> int:
    """Return an integer of numpy's; stands in for its `scalar`."""
    if kind.code[:1] not in {"i", "u"} or not isinstance(data, bytes):
        raise ValueError(f"a number of type `{kind.code}`")
    return int.from_bytes(data, "little", signed=kind.code[0] == "i")


_STAND_INS: list[Any] = [
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
    (_Kind, "numpy.dtype"),
    _Kind,
]


def _load(path: Path, *, allowed: bool) -> dict[str, dict[str, Any]]:
    if not allowed:
        raise ExchangeError(
            f"`{path.name}` is a pickle, a format that can carry code",
            hint=f"{command('ahl', 'import', path.parent, '--allow-pickle')} reads it through "
            "torch's restricted loader and keeps it as safetensors",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LIMIT:
            raise ExchangeError(f"`{path}` holds {size} bytes, more than {LIMIT}")
        with torch.serialization.safe_globals(_STAND_INS):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        *(RuntimeError, EOFError, ValueError, KeyError, TypeError, OSError),
    ) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "damaged"
        raise ExchangeError(f"`{path}` is not a plain file of differences: {reason}") from None
    if not isinstance(loaded, dict) or not all(isinstance(v, dict) for v in loaded.values()):
        raise ExchangeError(f"`{path}` holds no `diffs` and `abs` by name")
    return loaded


def _unfolded(diffs: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    for key, diff in diffs.items():
        if not isinstance(diff, dict) or diff.keys() != _FIELDS:
            raise ExchangeError(f"`{path}`: `{key}` has not just {', '.join(sorted(_FIELDS))}")
        if not isinstance(diff["size"], torch.Size):
            raise ExchangeError(f"`{path}`: `{key}` has a size that is none")
    total = sum(4 * math.prod(diff["size"]) for diff in diffs.values())
    if total > LIMIT:
        raise ExchangeError(f"`{path}` unfolds to {total} bytes, more than {LIMIT}")
    return {key: _whole(key, diff, path) for key, diff in diffs.items()}


def _whole(key: str, diff: Mapping[str, Any], path: Path) -> Tensor:
    size, steps, values = diff["size"], diff["index_steps"], diff["values"]
    numbers = isinstance(steps, list) and set(map(type, steps)) <= {int}
    entries = math.prod(size)
    if not numbers or (steps and not 0 <= min(steps) <= max(steps) < entries):
        raise _misplaced(key, path)
    distances = torch.tensor(steps, dtype=torch.long)
    places = distances.cumsum(0)
    fits = isinstance(values, Tensor) and values.shape == places.shape
    if not fits or not bool((distances[1:] > 0).all()) or bool((places >= entries).any()):
        raise _misplaced(key, path)
    flat = torch.zeros(entries)
    flat[places] = values.float()
    return flat.view(*reversed(size)).permute(*reversed(range(len(size)))).contiguous()


def _misplaced(key: str, path: Path) -> ExchangeError:
    return ExchangeError(f"`{path}`: `{key}` does not say where its values are")


def _folded(tensor: Tensor) -> dict[str, Any]:
    flat = tensor.permute(*reversed(range(tensor.dim()))).flatten()
    places = flat.nonzero().flatten()
    steps = torch.diff(places, prepend=torch.zeros(1, dtype=torch.long))
    return {"size": tensor.size(), "index_steps": steps.tolist(), "values": flat[places].clone()}

"""Old weight files: tensors and nothing else, and no more of them than there are bytes."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange.pickles import read_pickle

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}


@pytest.mark.parametrize("archive", [True, False], ids=["zip", "first format"])
def test_tensors_come_back(archive: bool, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_adapter.bin"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=archive)
    found = read_pickle(path, allowed=True)
    assert found.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        assert torch.equal(found[key], tensor)


def test_only_when_it_is_allowed(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "w.bin")
    with pytest.raises(ExchangeError, match="is a pickle") as refused:
        read_pickle(tmp_path / "w.bin", allowed=False)
    assert "--allow-pickle" in (refused.value.hint or "")


class Hostile:
    """Runs code when it is read without restriction."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("archive", [True, False, None], ids=["zip", "first format", "bare"])
def test_code_is_never_run(archive: bool | None, tmp_path: Path) -> None:
    path, trace = tmp_path / "w.bin", tmp_path / "was-run"
    if archive is None:
        path.write_bytes(pickle.dumps({"a": Hostile(trace)}))
    else:
        torch.save({"a": Hostile(trace)}, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(ExchangeError, match=r"is not a (plain )?file of tensors"):
        read_pickle(path, allowed=True)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [[torch.ones(2)], {"a": {"b": torch.ones(2)}}, {1: torch.ones(2)}, {"a": 3}],
    ids=["list", "nested", "number for a name", "number for a tensor"],
)
def test_anything_but_tensors_by_name_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.bin")
    with pytest.raises(ExchangeError, match="holds"):
        read_pickle(tmp_path / "w.bin", allowed=True)


def test_a_file_beyond_the_bound_is_refused_unread(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "w.bin")
    with pytest.raises(ExchangeError, match="more than the 500"):
        read_pickle(tmp_path / "w.bin", allowed=True, limit=500)


def test_an_archive_that_inflates_is_refused(tmp_path: Path) -> None:
    """Ten million zeros in some ten thousand bytes."""
    plain = io.BytesIO()
    torch.save({"a": torch.zeros(2_500_000)}, plain)
    path = tmp_path / "w.bin"
    with (
        zipfile.ZipFile(plain) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert path.stat().st_size < 100_000
    with pytest.raises(ExchangeError, match="holds 10"):
        read_pickle(path, allowed=True, limit=1_000_000)


def test_a_tensor_that_repeats_one_value_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1).expand(10_000, 10_000)}, tmp_path / "w.bin")
    with pytest.raises(ExchangeError, match="unfolds to 400000000 bytes"):
        read_pickle(tmp_path / "w.bin", allowed=True, limit=1_000_000)


def test_a_claim_that_no_bytes_back_is_refused(tmp_path: Path) -> None:
    """In the first format a storage's size stands in the pickle, and is allocated at once."""
    path = tmp_path / "w.bin"
    torch.save({"a": torch.ones(1000)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    claim = b"M" + (1000).to_bytes(2, "little")  # BININT2
    assert claim in data
    path.write_bytes(data.replace(claim, b"J" + (2**30).to_bytes(4, "little")))
    with pytest.raises(ExchangeError, match="claims 1073741824 elements"):
        read_pickle(path, allowed=True)

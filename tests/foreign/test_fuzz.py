"""A few thousand inputs a run; `make fuzz` tries 100,000."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterhub_lite.errors import AhlError, DataError
from adapterhub_lite.foreign.reading import Reader
from tests.foreign import fuzz
from tests.foreign.readers import READERS
from tests.foreign.seeds import SEEDS

ROOT = Path(__file__).resolve().parents[2]
STRANGE = st.text() | st.integers() | st.floats() | st.booleans() | st.none()
JSON = st.recursive(
    STRANGE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def test_mutated_data_ends_in_a_value_or_an_error_of_ours() -> None:
    """In a process of its own, with bounds on its time for each input and on its memory."""
    command = [sys.executable, "-m", "tests.foreign.fuzz", "--inputs", "3000", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_reader_has_something_to_start_from() -> None:
    assert READERS.keys() == SEEDS.keys()


def test_the_watchdog_bites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    def endless(_data: bytes, _folder: Path) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz, "SECONDS", 1)
    before = [(s, signal.getsignal(s)) for s in (signal.SIGALRM, signal.SIGPROF)]
    fuzz.watch()
    try:
        slow = fuzz._read(endless, b"", tmp_path, AhlError)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    assert slow == "longer than 1 s"

    def broken(_data: bytes, _folder: Path) -> None:
        raise KeyError("x")

    assert "KeyError" in str(fuzz._read(broken, b"", tmp_path, AhlError))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=200))
@pytest.mark.parametrize("name", READERS)
def test_any_bytes_end_in_a_value_or_an_error_of_ours(name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as outer:
        os.environ["XDG_CONFIG_HOME"] = f"{outer}/folder"
        try:
            READERS[name](data, Path(outer) / "folder")
        except AhlError as error:
            str(error).encode()
        finally:
            del os.environ["XDG_CONFIG_HOME"]


@settings(deadline=None, max_examples=200)
@given(value=JSON)
def test_what_json_can_say_is_read_back_or_refused(value: object) -> None:
    import json

    text = json.dumps(value)
    try:
        read = Reader(DataError).json(text, "FILE")
    except DataError:
        return
    assert json.dumps(read) == text

"""Text files as numbered lines, and how to tell their formats apart.

Everything that is wrong with a file is a `DataError` that starts with `file:line`.
"""

from __future__ import annotations

import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from adapterhub_lite.errors import DataError

FORMATS = ("conllu", "tsv", "csv", "jsonl", "text")
_EXTENSIONS = {
    ".conllu": "conllu",
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
}
_GARBLED = re.compile("[\x00-\x08\x0e-\x1b\x7f\ufffd]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, without its end."""

    number: int
    text: str


def fail(path: Path, line: int | None, problem: str, hint: str | None = None) -> NoReturn:
    """Raise the `DataError` for a line of a file (`None`: the whole file)."""
    where = f"{path}:{line}" if line is not None else str(path)
    raise DataError(f"{where}: {problem}", hint=hint, path=str(path), line=line)


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a UTF-8 file, which may be gzipped (`.gz`).

    Raises:
        DataError: missing, empty, damaged, not UTF-8, or with control characters in it.
    """
    data = _bytes(path)
    if not data.strip():
        fail(path, None, "the file is empty")
    lines = data.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")
    return [Line(n, _decoded(path, n, line)) for n, line in enumerate(lines, 1)]


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        fail(path, None, "there is no such file")
    except OSError as error:
        fail(path, None, f"cannot be read: {error.strerror}")
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        fail(path, None, f"damaged gzip file: {error}")


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        text = line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        fail(
            path,
            number,
            f"not UTF-8 (byte 0x{line[error.start]:02x} at {error.start + 1})",
            "convert it, for example `iconv -f LATIN1 -t UTF-8 FILE > NEW`",
        )
    found = _GARBLED.search(text)
    if found:
        what = "the mark of a failed conversion" if found[0] == "\ufffd" else "a control character"
        fail(path, number, f"garbled: U+{ord(found[0]):04X}, {what}")
    return unicodedata.normalize("NFC", text)


def detect(path: Path, lines: Iterable[Line]) -> str:
    """Return the format of a file: by extension, else by its first line that is not blank."""
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    if suffixes and suffixes[-1].lower() in _EXTENSIONS:
        return _EXTENSIONS[suffixes[-1].lower()]
    first = next((line.text for line in lines if line.text.strip()), "")
    columns = first.split("\t")
    if first.startswith("{"):
        return "jsonl"
    if len(columns) == 10 or (first.startswith("#") and "=" in first):
        return "conllu"
    return "tsv" if len(columns) > 1 else "text"


def blocks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield runs of lines that blank lines separate."""
    block: list[Line] = []
    for line in lines:
        if line.text.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block

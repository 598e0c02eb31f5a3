"""Text files as numbered lines.

Lines are kept as they are in the file: what is printed later must be what the user wrote.  Text is
brought into composed form (NFC) only where a tokenizer reads it (`composed`).

Everything that is wrong with a file is a `DataError` that starts with `file:line`.
"""

from __future__ import annotations

import codecs
import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from adapterhub_lite.errors import DataError
from adapterhub_lite.foreign import text

_GARBLED = re.compile("[\x00-\x08\x0e-\x1b\x7f\ufffd]")
_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and the codec of what follows."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file's text is written: the mark at its start, the codec, and how lines end."""

    mark: bytes = b""
    codec: str = "utf-8"
    newline: str = "\n"

    def encode(self, written: str) -> bytes:
        """Return text as the file has it."""
        return self.mark + written.encode(self.codec)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, without its end."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no text, and why."""

    number: int
    problem: str
    hint: str | None = None


def fail(path: Path | str, line: int | None, problem: str, hint: str | None = None) -> NoReturn:
    """Raise the `DataError` for a line of a file (`None`: the whole file)."""
    position = f"{path}:{line}" if line is not None else str(path)
    raise DataError(f"{position}: {problem}", hint=hint, path=str(path), line=line)


def composed(written: str) -> str:
    """Return text in composed form (NFC), as tokenizers were trained on it."""
    return unicodedata.normalize("NFC", written)


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a text file: UTF-8, or UTF-16 and UTF-32 with a byte order mark.

    The file may be gzipped.  Lines end in LF, CR LF, or (where there is no LF at all) CR.

    Raises:
        DataError: missing, empty, damaged, in another encoding, or with control characters in it.
    """
    lines, bad = readable_lines(path)
    if bad:
        fail(path, bad[0].number, bad[0].problem, bad[0].hint)
    return lines


def readable_lines(path: Path) -> tuple[list[Line], list[BadLine]]:
    """Return the lines that are text, and those that are not.

    Raises:
        DataError: missing, empty, damaged, or in an encoding that cannot be told.
    """
    data, _ = content(path)
    lines: list[Line] = []
    bad: list[BadLine] = []
    for number, raw in enumerate(_split(data), 1):
        problem = _problem(path, raw)
        if problem is None:
            lines.append(Line(number, raw.decode()))
        else:
            bad.append(BadLine(number, *problem))
    if not bad and not any(line.text.strip() for line in lines):
        fail(path, None, "the file is empty")
    return lines, bad


def content(path: Path) -> tuple[bytes, Encoding]:
    """Return a file's text as UTF-8 without a mark, and how the file itself is encoded.

    The bytes are those of the file where it is UTF-8, valid or not.
    """
    data = _bytes(path)
    mark, codec = next(((m, c) for m, c in _MARKS if data.startswith(m)), (b"", "utf-8"))
    data = data.removeprefix(mark)
    if codec != "utf-8":
        data = _recoded(path, data, codec)
    elif not mark:
        _refuse_unmarked(path, data)
    if not data.strip():
        fail(path, None, "the file is empty")
    newline = "\r" if b"\n" not in data and b"\r" in data else "\n"
    return data, Encoding(mark, codec, newline)


def written_lines(path: Path) -> tuple[list[str], Encoding]:
    """Return the lines of a file for writing it again: joined by LF (CR stays) they are the file.

    Line 1 is the first item.
    """
    data, encoding = content(path)
    return data.decode().split(encoding.newline), encoding


@dataclass(frozen=True, slots=True)
class CleanLines:
    """The lines of a file that can be read, and the numbers of those that cannot."""

    lines: list[Line]
    skipped: tuple[int, ...] = ()


def read_clean_lines(path: Path, *, skip_bad: bool = False) -> CleanLines:
    """Return the lines of a text file, as `read_lines` reads them, all bad ones looked for.

    Args:
        skip_bad: leave bad lines out, unless they are half of the file or more: then the file is
            in another encoding, and what is left would not be its text.

    Raises:
        DataError: as `read_lines`; the message has the numbers of the bad lines.
    """
    lines, bad = readable_lines(path)
    if bad and (2 * len(bad) >= len(lines) + len(bad) > 1 or not skip_bad):
        _refuse_bad(path, bad, len(lines) + len(bad))
    return CleanLines(lines, tuple(line.number for line in bad))


def _refuse_bad(path: Path, bad: Sequence[BadLine], total: int) -> NoReturn:
    first, lines = bad[0], [line.number for line in bad]
    message, hint = f"{path}:{first.number}: {first.problem}", "`--skip-bad` leaves such lines out"
    if 2 * len(bad) >= total > 1:
        message, hint = f"{message}; {len(bad)} of {total} lines are like that", first.hint or ""
    elif len(bad) > 1:
        message += f"; {len(bad)} of {total} lines are bad: {numbers(lines)}"
    raise DataError(message, hint=hint or None, path=str(path), line=first.number, bad_lines=lines)


def numbers(lines: Sequence[int], most: int = 10) -> str:
    """Return line numbers for a message, the first few."""
    words = ", ".join(map(str, lines[:most]))
    return words + (f" and {len(lines) - most} more" if len(lines) > most else "")


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        fail(path, None, "there is no such file")
    except OSError as error:
        fail(path, None, f"cannot be read: {error.strerror}")
    if not data.startswith(_GZIP):
        if path.suffix == ".gz" and data:
            fail(path, None, "damaged gzip file: it does not start as one")
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        fail(path, None, f"damaged gzip file: {error}")


def _recoded(path: Path, data: bytes, codec: str) -> bytes:
    try:
        return data.decode(codec).encode()
    except UnicodeError as error:
        fail(path, None, f"starts with the mark of {codec.upper()}, but is not: {error}")


def _refuse_unmarked(path: Path, data: bytes) -> None:
    """Refuse UTF-16 without a mark: every other byte of mostly ASCII text is zero."""
    sample = data[:4096]
    for offset, encoding in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        half = sample[offset::2]
        if len(half) > 1 and half.count(0) > len(half) / 2:
            fail(path, None, f"looks like {encoding}, without a mark", _convert(path, encoding))


def _convert(path: Path, encoding: str) -> str:
    new = path.with_name(f"{path.stem}.utf8{path.suffix}")
    command = text.shell("iconv", "-f", encoding, "-t", "UTF-8", path)
    return f"`{command} > {text.word(new)}` converts it"


def _split(data: bytes) -> list[bytes]:
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
    lines = data.removesuffix(b"\n").split(b"\n")
    return [line.removesuffix(b"\r") for line in lines]


def _problem(path: Path, raw: bytes) -> tuple[str, str | None] | None:
    """Return why a line is no text, and a hint; `None` where it is text."""
    try:
        decoded = raw.decode()
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 (byte 0x{raw[error.start]:02x} at {error.start + 1})"
        likely = "WINDOWS-1252" if any(0x80 <= byte < 0xA0 for byte in raw) else "LATIN1"
        return problem, f"if it is {likely}: {_convert(path, likely)}"
    match = _GARBLED.search(decoded)
    if match is None:
        return None
    failed = match[0] == "\ufffd"
    kind = "the mark of a failed conversion" if failed else "a control character"
    return f"garbled: U+{ord(match[0]):04X}, {kind}", None


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

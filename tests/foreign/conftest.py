"""A registry that a hostile hand wrote: everything in its records that a terminal would obey."""

from __future__ import annotations

import os
import pty
import re
import selectors
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from adapterhub_lite import Home, digests
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Adapter, Manifest
from tests.cli.conftest import filled

__all__ = ["filled"]

FORGED = (
    "x\x1b[2J\x1b]0;owned\x07\x9b31m\u202ekcab\u2066[/x][red]:bomb:\rover\nhint: `rm -rf /`\x7f"
)
"""What is put into every text of a record: escapes, direction, markup, lines of ours."""

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def obeyed(text: str) -> str:
    """Return what a terminal would obey in a text, but for the tabs and line ends of tables."""
    return "".join(OBEYED.findall(text))


def forged_lines(text: str) -> list[str]:
    """Return the lines that a name forged: `FORGED` has one that starts like a hint of ours."""
    return [line for line in text.splitlines() if line.startswith("hint: `rm")]


def on_a_terminal(home: Path, *words: str) -> str:
    """Run `ahl` on a pseudo-terminal; return what it was sent, without colours."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "adapterhub_lite", "--home", str(home), *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "4000"},
    )
    os.close(theirs)
    sent, end = b"", time.monotonic() + 300
    waiting = selectors.DefaultSelector()  # `select` takes no descriptor above 1023
    waiting.register(ours, selectors.EVENT_READ)
    while time.monotonic() < end:
        if waiting.select(0.2):
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            sent += chunk
        elif process.poll() is not None:
            break
    process.wait(timeout=60)
    waiting.close()
    os.close(ours)
    return _COLOURS.sub("", sent.decode()).replace("\r\n", "\n")


@pytest.fixture(scope="session")
def hostile(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a home in which every record was overwritten, past all checks on adding."""
    path = tmp_path_factory.mktemp("hostile") / "home"
    shutil.copytree(filled, path)
    home = Home.find(path)
    adapters = home.registry.find()
    home.registry.close()
    with sqlite3.connect(path / "registry.db") as database:
        _overwrite(database, adapters)
    database.close()
    return path


def _overwrite(database: sqlite3.Connection, adapters: list[Adapter]) -> None:
    database.execute("UPDATE bases SET name = ?, location = ?", (FORGED, FORGED))
    renamed: dict[str, str] = {}
    for adapter in sorted(adapters, key=lambda a: bool(a.manifest.trained_over)):
        manifest = _forged(adapter, renamed)
        text = manifests.canonical(manifest)
        renamed[adapter.digest] = digests.of_bytes(text.encode())
        columns = (text, manifest.method, manifest.task, FORGED, renamed[adapter.digest])
        database.execute(
            "UPDATE adapters SET manifest = ?, method = ?, task = ?, dataset = ?, digest = ? "
            "WHERE digest = ?",
            (*columns, adapter.digest),
        )
    for old, new in renamed.items():
        database.execute("UPDATE underneath SET digest = ? WHERE digest = ?", (new, old))
    database.execute("UPDATE languages SET task = ? WHERE task IS NOT NULL", (FORGED,))
    database.execute("UPDATE names SET name = ? WHERE name = 'fo-wiki'", (FORGED,))
    database.execute("UPDATE adapters SET name = ? WHERE name = 'fo-wiki'", (FORGED,))
    score = (FORGED, renamed[adapters[0].digest], renamed[adapters[0].digest], *([FORGED] * 3))
    database.execute(
        'INSERT INTO scores (identity, composition_digest, composition, task, dataset, "split", '
        'language, source_language, metric, value, n, seed, "when", origin) VALUES '
        "(?, ?, ?, ?, ?, ?, 'gv', 'en', ?, 0.5, 1, 1, '2026-01-01 00:00:00.000000', ?)",
        (*score, FORGED, FORGED),
    )


def _forged(adapter: Adapter, renamed: dict[str, str]) -> Manifest:
    manifest = adapter.manifest
    return replace(
        manifest,
        base=replace(manifest.base, name=FORGED),
        task=FORGED if manifest.task else None,
        dataset=FORGED,
        method=FORGED if adapter.name == "fo-wiki" else manifest.method,
        licence=FORGED,
        authors=(FORGED,),
        citation=FORGED,
        provider=replace(manifest.provider, plugin=FORGED),
        head=manifest.head and replace(manifest.head, labels=(FORGED, "[dev]")),
        trained_over=tuple(
            replace(under, digest=renamed[under.digest]) for under in manifest.trained_over
        ),
    )

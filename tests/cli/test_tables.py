"""Tables: the same columns, words and order on a terminal and through a pipe, and nothing cut."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapterhub_lite.cli import main

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = (40, 80, 120)
TABLES = {
    "search": ["search", "swahili", "--limit", "5"],
    "list": ["list", "--lang", "sw"],
    "bases": ["list", "--bases"],
    "scores": ["scores", "list", "--task", "nametype", "--target", "cy"],
    "methods": ["methods"],
    "method": ["methods", "bottleneck"],
    "gaps": ["gaps", "--base", "e5-mmt-6", "--task", "pos", "--quiet"],
    "lang": ["lang", "br", "--limit", "4"],
    "answer": ["resolve", "en", "gv", "--task", "pos"],
}
PROSE = {"languages", "what it is", "config", "meaning", "name", "adapters"}
"""Columns whose cells may be folded at blanks."""

SCRIPT = """
import json, os, sys
from adapterhub_lite.cli import main
for width in {widths}:
    os.environ["COLUMNS"] = str(width)
    for name, words in {tables}.items():
        print("\\0", width, name, flush=True)
        try:
            main(["--home", {home!r}, *words])
        except SystemExit as end:
            assert not end.code, (name, end.code)
"""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def on_terminals() -> dict[tuple[int, str], str]:
    """What each table looks like at each width: one process on a pseudo-terminal prints them."""
    script = SCRIPT.format(widths=WIDTHS, tables=TABLES, home=str(ROOT))
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    sent = b""
    try:
        while chunk := os.read(ours, 65536):
            sent += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    text = COLOURS.sub("", sent.decode()).replace("\r\n", "\n")
    assert process.wait(timeout=60) == 0, text
    printed = {}
    for part in text.split("\0 ")[1:]:
        head, _, rest = part.partition("\n")
        width, name = head.split()
        printed[int(width), name] = rest
    return printed


@pytest.fixture(scope="module")
def through_pipes() -> dict[str, list[str]]:
    """The lines of each table through a pipe."""
    return {
        name: CliRunner().invoke(main, ["--home", str(ROOT), *words]).stdout.splitlines()
        for name, words in TABLES.items()
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [name for name in TABLES if name != "answer"])
def test_no_cell_is_cut_or_broken(
    on_terminals: dict[tuple[int, str], str],
    through_pipes: dict[str, list[str]],
    name: str,
    width: int,
) -> None:
    text = on_terminals[width, name]
    rows = [line.split("\t") for line in through_pipes[name] if "\t" in line]
    head, *rest = rows
    assert rest
    assert "…" not in text
    for cells in rows:
        for column, cell in zip(head, cells, strict=True):
            assert cell in text or (column in PROSE and all(w in text for w in cell.split()))
    place = 0
    for column in head:  # each after the one before
        place = text.index(column, place) + len(column)


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_fit_or_become_blocks(on_terminals: dict[tuple[int, str], str], width: int) -> None:
    """A line is longer than the terminal only where one cell is: the terminal folds that one."""
    text = on_terminals[width, "methods"]
    for line in text.splitlines():
        assert len(line.rstrip()) <= width or line.startswith(("what it is", "config", "plugin"))


@pytest.mark.parametrize("width", WIDTHS)
def test_an_answer_is_one_document(
    on_terminals: dict[tuple[int, str], str], through_pipes: dict[str, list[str]], width: int
) -> None:
    assert on_terminals[width, "answer"].splitlines() == through_pipes["answer"]


def test_an_empty_table_has_its_head() -> None:
    words = ["--home", str(ROOT), "scores", "list", "--task", "nothing"]
    assert CliRunner().invoke(main, words).stdout.startswith("source\ttarget\t")
    assert CliRunner().invoke(main, [*words, "--json"]).stdout == "[]\n"

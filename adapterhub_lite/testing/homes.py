"""Copies of a home, so that demos and tests leave the one they came from as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

from adapterhub_lite.home import Home

PARTS = ("registry.db", "registry.db-wal", "objects", "plugins", "bases")
"""What makes a home; the `-wal` file is there while a process has the registry open."""


def copy_home(source: Path, into: Path) -> Home:
    """Copy the parts of a home (and nothing else of a repository) into a folder, and open it."""
    into.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(
                source / part, into / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        elif (source / part).exists():
            shutil.copy2(source / part, into / part)
    return Home.find(into)

"""Make the environment of `adapters`, which pins an older transformers than this package needs.

    python tests/exchange/peer_environment.py [FOLDER]

It is a virtual environment of its own; the tests that ask the library start its interpreter.  Where
it cannot be installed (no package index), a file in the folder says so, and those tests are
reported as expected failures with that reason: never as passed, never silently.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-peer"
UNAVAILABLE = "unavailable.txt"
PACKAGES = (
    "adapters==1.3.0",
    "transformers==4.57.6",
    "torch==2.13.0",
    "numpy==2.4.6",
    "accelerate==1.15.0",
)
"""The library, what it pins, the torch that all else runs with, and what its trainer needs."""


def interpreter(folder: Path = FOLDER) -> Path:
    """Return where the environment's interpreter is, or would be."""
    return folder / "bin" / "python"


def make(folder: Path = FOLDER) -> bool:
    """Make the environment, unless it is there; return whether it can be used."""
    note = folder / UNAVAILABLE
    if interpreter(folder).exists() and not note.exists() and _works(folder):
        return True
    venv.create(folder, clear=True, with_pip=True)
    command = [str(interpreter(folder)), "-m", "pip", "install", "--quiet"]
    options = ["--disable-pip-version-check", *PACKAGES]
    found = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if found.returncode == 0 and _works(folder):
        return True
    reason = (found.stderr.strip().splitlines() or ["it does not import"])[-1]
    note.write_text(reason + "\n", encoding="utf-8")
    return False


def _works(folder: Path) -> bool:
    code = "import adapters; assert adapters.__version__ == '1.3.0'"
    command = [str(interpreter(folder)), "-c", code]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Make the environment and say what came of it; a failure to install is no failure to test."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    if make(folder):
        print(f"`adapters` is ready in {folder.name}")
    else:
        print("NOT INSTALLED: `adapters` cannot be asked here, its tests will be expected failures")
        print((folder / UNAVAILABLE).read_text(encoding="utf-8").strip())


if __name__ == "__main__":
    main()

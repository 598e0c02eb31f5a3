"""Start-up is a promise: what is not needed is not imported.  Each case is a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import adapterhub_lite
from adapterhub_lite import Home

MODELS = ("torch", "transformers", "accelerate", "huggingface_hub", "datasets")
DATABASE = ("sqlalchemy", "alembic")
REPORT = """
import json, sys
try:
    {code}
finally:
    print(json.dumps(sorted(name for name in sys.modules if "." not in name)), file=sys.stderr)
"""


def imported(code: str, cwd: Path) -> set[str]:
    """Return the top-level modules that running `code` in a fresh interpreter loads."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", REPORT.format(code=code)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    return set(json.loads(run.stderr.strip().splitlines()[-1]))


def command(*arguments: str) -> str:
    return f"from adapterhub_lite.cli import main; main({list(arguments)!r})"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("home")
    assert Home.init(path).registry.count() == 0
    return path


@pytest.mark.parametrize(
    ("code", "banned"),
    [
        ("import adapterhub_lite", (*MODELS, *DATABASE, "click", "pluggy", "langcodes")),
        ("from adapterhub_lite import Stack, parse, Kind, AhlError", (*MODELS, *DATABASE)),
        ("import adapterhub_lite.resolver", MODELS),
        ("from adapterhub_lite import plugins; plugins.load()", (*MODELS, *DATABASE)),
        (command("--help"), (*MODELS, *DATABASE, "rich", "fsspec")),
        (command("train", "language", "--help"), (*MODELS, *DATABASE, "rich", "fsspec")),
        (command("methods"), MODELS),
        (command("list"), (*MODELS, "alembic")),
        (command("resolve", "en", "sw", "--task", "pos"), (*MODELS, "alembic")),
        (command("verify"), MODELS),
    ],
)
def test_heavy_libraries_are_imported_only_when_used(
    code: str, banned: tuple[str, ...], home: Path
) -> None:
    loaded = imported(code, home)
    assert "adapterhub_lite" in loaded
    assert not loaded & set(banned)


def test_every_public_name_is_there_and_documented() -> None:
    for name in adapterhub_lite.__all__:
        value = getattr(adapterhub_lite, name)
        assert name in dir(adapterhub_lite)
        assert name == "__version__" or value.__doc__, name


def test_unknown_public_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute `resolv`"):
        _ = adapterhub_lite.resolv

"""What is published: the wheel works outside the repository, with the plugins it brings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BASE = "bert-base-multilingual-cased"
SMALL = 5_000_000
"""Bytes that the wheel stays under (design, section 10)."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel and a source distribution with the backend that pyproject.toml names."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel, as an installer does, into a folder that comes first on the path."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder outside the repository, with a home that `ahl init` made."""
    return tmp_path_factory.mktemp("outside")


def ahl(installed: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    environment["XDG_CONFIG_HOME"] = environment["XDG_DATA_HOME"] = str(place / "user")
    environment.pop("AHL_HOME", None)
    command = [sys.executable, "-m", "adapterhub_lite", *words]
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )


def test_the_wheel_is_small_and_has_the_plugins_of_the_repository(wheel: Path) -> None:
    assert wheel.stat().st_size < SMALL
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    plugins = sorted(path.name for path in (ROOT / "plugins").glob("*.py"))
    prefix = "adapterhub_lite/shipped/"
    assert sorted(n.removeprefix(prefix) for n in names if n.startswith(prefix)) == plugins
    assert not [name for name in names if name.startswith(("tests/", "registry.db", "objects/"))]


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/test_package.py", "plugins/ia3.py", "Makefile", "constraints.txt"} <= names
    assert not [name for name in names if name.startswith(("bases/", "objects/"))]


def test_a_public_adapter_resolves_right_after_init(installed: Path, place: Path) -> None:
    assert ahl(installed, place, "init").returncode == 0
    done = ahl(installed, place, "resolve", "en", "sw", "--task", "ner", "--base", BASE, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["composition"].startswith("stack(")
    by_sft = ahl(installed, place, "resolve", "en", "sw", "--task", "pos", "--base", BASE, "--json")
    assert by_sft.returncode == 0, by_sft.stderr


def test_its_plugins_run_without_being_trusted(installed: Path, place: Path) -> None:
    done = ahl(installed, place, "plugins", "--json")
    plugins = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    for path in (ROOT / "plugins").glob("*.py"):
        assert plugins[path.stem]["problems"] == []
        assert plugins[path.stem]["origin"] == "comes with the package"
    methods = json.loads(ahl(installed, place, "methods", "--json").stdout)
    assert {"ia3", "dora", "vera", "compacter", "sft", "adapterfusion"} <= {
        method["name"] for method in methods
    }


def test_a_home_that_has_the_same_files_is_no_clash(installed: Path, place: Path) -> None:
    folder = place / "copied"
    assert ahl(installed, place, "init", str(folder)).returncode == 0
    (folder / "plugins").mkdir(exist_ok=True)
    text = (ROOT / "plugins" / "ia3.py").read_text(encoding="utf-8")
    (folder / "plugins" / "ia3.py").write_text(text, encoding="utf-8")
    listed = json.loads(ahl(installed, place, "--home", str(folder), "plugins", "--json").stdout)
    (ia3,) = [plugin for plugin in listed if plugin["name"] == "ia3"]
    assert ia3["problems"] == []
    changed = text.replace("Liu et al.", "Liu and others")
    (folder / "plugins" / "ia3.py").write_text(changed, encoding="utf-8")
    listed = json.loads(ahl(installed, place, "--home", str(folder), "plugins", "--json").stdout)
    problems = [p for plugin in listed if plugin["name"] == "ia3" for p in plugin["problems"]]
    assert any("the name is taken by `ia3`" in problem for problem in problems)

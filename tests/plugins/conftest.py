"""Plugin files and installed plugins, made for one test each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapterhub_lite.plugins import PluginInfo, Plugins, load

METHOD = """
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.lora import LoRA


class Mine(LoRA):
    name = "{name}"


@hookimpl
def ahl_methods():
    return [Mine()]
"""

Write = Callable[..., Path]
Install = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "plugins"
    made.mkdir()
    return made


@pytest.fixture
def write(folder: Path) -> Write:
    """Write a plugin file: `write("one", code)`, or `write("one", method="mine")`."""

    def write_file(name: str, code: str = "", *, method: str = "") -> Path:
        path = folder / f"{name}.py"
        path.write_text(code or METHOD.format(name=method), encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with one module and an entry point, as pip would lay it out."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def put(name: str, code: str, *, version: str = "1.2", point: str = "") -> None:
        module = f"{name.replace('-', '_')}_plugin"
        (site / f"{module}.py").write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        points = f"[adapterhub_lite]\n{point or name} = {module}\n"
        (info / "entry_points.txt").write_text(points, encoding="utf-8")

    return put


def info(plugins: Plugins, name: str) -> PluginInfo:
    """Return what `ahl plugins` reports of one plugin."""
    (found,) = [info for info in plugins.report() if info.name == name]
    return found


def failures(folder: Path, name: str) -> list[str]:
    """Return what is wrong with one plugin file of a folder."""
    plugins = load(folder, entry_points=False)
    found = info(plugins, name).failures
    assert {"bottleneck", "lora", "prefix"} <= plugins.methods.keys(), "it harmed others"
    return found

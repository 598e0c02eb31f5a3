"""A new plugin from a template: a method that works, each step explained where it is changed.

The templates are text files in `templates/`; they pass the conformance kit as they are, so what
fails after an edit is the edit.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite import disk
from adapterhub_lite.errors import PluginError, UsageError

if TYPE_CHECKING:
    from adapterhub_lite.plugins import Plugins

TEMPLATES = Path(__file__).with_name("templates")


def write(folder: Path, name: str, plugins: Plugins) -> tuple[Path, Path]:
    """Write `folder/name.py` and `folder/tests/test_name.py`, and return both paths.

    Raises:
        UsageError: the name is none for a Python file.
        PluginError: a method or plugin has the name, or a file is there.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(
            f"`{name}` is no name for a plugin",
            hint="lower-case letters, digits and `_`, a letter first, as in `scaled_parallel`",
        )
    _check_free(name, plugins)
    plugin = folder / f"{name}.py"
    texts = {  # the plugin last: with it, everything is there
        folder / "tests" / f"test_{name}.py": _template("test_method.py.txt", name),
        plugin: _template("method.py.txt", name),
    }
    for path, text in texts.items():
        if path.exists() and (plugin.exists() or not _holds(path, text)):  # else: a killed call's
            raise PluginError(f"`{path}` is there already", hint="edit it, or take another name")
    for path, text in texts.items():
        with disk.refusing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        disk.write_whole(path, text)
    return plugin, next(iter(texts))


def _template(file: str, name: str) -> str:
    return _filled((TEMPLATES / file).read_text(encoding="utf-8"), name)


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _check_free(name: str, plugins: Plugins) -> None:
    if name in plugins.methods:
        provider = plugins.provider(name)
        raise PluginError(
            f"method `{name}` is already provided by `{provider.plugin}` {provider.version}",
            hint="take another name",
        )
    if name in plugins.infos:
        raise PluginError(f"there is a plugin {plugins.infos[name]}", hint="take another name")


def _filled(text: str, name: str) -> str:
    title = "".join(word.capitalize() for word in name.split("_"))
    return text.replace("METHOD_NAME", name).replace("MethodName", title)

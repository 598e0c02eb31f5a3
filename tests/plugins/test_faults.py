"""What can be wrong with a plugin: each is a clear message, and harms only itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapterhub_lite import hookspecs
from adapterhub_lite.adapter import Provider
from adapterhub_lite.errors import MethodError, PluginError
from adapterhub_lite.plugin_offers import OFFERS
from adapterhub_lite.plugins import load, load_file
from adapterhub_lite.version import VERSION
from tests.plugins.conftest import METHOD, Install, Write, failures, info

HEAD = "from adapterhub_lite.hookspecs import hookimpl\n"

FAULTS = {
    "misspelt hook": (
        HEAD + "@hookimpl\ndef ahl_metods():\n    return []\n",
        "there is no hook `ahl_metods`; did you mean `ahl_methods`?",
    ),
    "hook without its mark": (
        "def ahl_methods():\n    return []\n",
        "`ahl_methods` is not marked with `@hookimpl`, so it is never called",
    ),
    "no hook at all": ("x = 1\n", "it offers nothing: no function is marked with `@hookimpl`"),
    "hook with arguments": (
        HEAD + "@hookimpl\ndef ahl_methods(home):\n    return []\n",
        "PluginValidationError: ",
    ),
    "missing import": ("import nowhere_at_all\n", "ModuleNotFoundError: No module named"),
    "syntax error": ("def :\n", "SyntaxError: "),
    "exit at the top": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "failing hook": (
        HEAD + "@hookimpl\ndef ahl_methods():\n    raise ValueError('no')\n",
        "ahl_methods failed: ValueError: no",
    ),
    "generator that fails late": (
        HEAD
        + "from adapterhub_lite.methods.lora import LoRA\n"
        + "@hookimpl\ndef ahl_methods():\n    yield LoRA()\n    raise KeyError('late')\n",
        "ahl_methods failed: KeyError: 'late'",
    ),
    "nothing returned": (
        HEAD + "@hookimpl\ndef ahl_methods():\n    pass\n",
        "ahl_methods returned nothing; return a list",
    ),
    "one instead of a list": (
        HEAD
        + "from adapterhub_lite.methods.lora import LoRA\n"
        + "@hookimpl\ndef ahl_methods():\n    return LoRA()\n",
        "ahl_methods returned a `LoRA`; return a list: `[...]`",
    ),
    "class instead of instance": (
        HEAD
        + "from adapterhub_lite.methods.lora import LoRA\n"
        + "@hookimpl\ndef ahl_methods():\n    return [LoRA]\n",
        "ahl_methods: `LoRA` is a class; return an instance: `LoRA()`",
    ),
    "something else": (
        HEAD + "@hookimpl\ndef ahl_methods():\n    return [3]\n",
        "ahl_methods: a `int` is no `Method`",
    ),
    "no name": (
        METHOD.replace('name = "{name}"', 'name = ""'),
        "ahl_methods: a `Mine` has no name",
    ),
    "config that is no dataclass": (
        METHOD.format(name="mine").replace(
            'name = "mine"',
            'name = "mine"\n    class Config(LoRA.Config):\n        more: int = 1',
        ),
        "ahl_methods: a `Mine` has a config `Config` that is not marked with",
    ),
    "another version of the hooks": (
        "AHL_HOOKS = 2\n" + METHOD.format(name="mine"),
        f"made for version 2 of the hooks, adapterhub_lite {VERSION} has version 1",
    ),
    "name of a built-in method": (
        METHOD.format(name="lora"),
        f"method `lora` is already provided by `adapterhub_lite.methods` {VERSION} (built in)",
    ),
    "name of a built-in command": (
        HEAD
        + "import click\n"
        + "@hookimpl\ndef ahl_commands():\n    return [click.Command('list')]\n",
        f"command `list` is already provided by `adapterhub_lite.built_in` {VERSION} (built in)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_and_harms_nothing_else(fault: str, folder: Path, write: Write) -> None:
    code, message = FAULTS[fault]
    write("good", method="good")
    path = write("bad", code)
    found = failures(folder, "bad")
    assert len(found) == 1
    assert found[0].startswith(message)
    assert failures(folder, "good") == []
    with pytest.raises(PluginError, match="fails"):
        load_file(path)


def test_a_plugin_that_declares_this_version_loads(folder: Path, write: Write) -> None:
    write("one", f"AHL_HOOKS = {hookspecs.HOOKS}\n" + METHOD.format(name="mine"))
    assert failures(folder, "one") == []


def test_a_name_that_two_plugins_use_is_refused_naming_both(
    folder: Path, write: Write, install: Install
) -> None:
    path = write("one", method="mine")
    install("other", METHOD.format(name="mine"), version="4.2")
    plugins = load(folder)
    (clash,) = info(plugins, "one").failures
    assert "`mine` is already provided by `other` 4.2 (installed: other)" in clash
    (clash,) = info(plugins, "other").failures
    assert str(path) in clash
    with pytest.raises(MethodError) as refused:
        plugins.method("mine")
    assert "`other` 4.2 (installed: other)" in refused.value.message
    assert str(path) in refused.value.message
    assert "mine" not in plugins.methods


def test_a_plugin_name_that_is_taken(folder: Path, write: Write, install: Install) -> None:
    write("same", method="from_file")
    install("same", METHOD.format(name="installed"))
    plugins = load(folder)
    assert "installed" in plugins.methods
    assert "from_file" not in plugins.methods
    (refused,) = [i for i in plugins.report() if i.name == "same" and not i.offers]
    assert refused.failures == ["the name is taken by `same` 1.2 (installed: same); rename one"]


def test_a_missing_method_names_who_had_it_and_what_failed(folder: Path, write: Write) -> None:
    write("bad", "import nowhere_at_all\n")
    plugins = load(folder, entry_points=False)
    with pytest.raises(MethodError) as refused:
        plugins.method("tiny", Provider("tiny-plugin", "2.0"))
    assert "failed to load: `bad` (ModuleNotFoundError" in refused.value.message
    assert refused.value.hint is not None
    assert "install the plugin `tiny-plugin` (2.0)" in refused.value.hint


def test_hooks_are_called_when_needed_and_once(folder: Path, write: Write, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    note = f"    with open({str(log)!r}, 'a') as log:\n        log.write('x')\n    return [Mine()]"
    write("one", METHOD.format(name="mine").replace("    return [Mine()]", note))
    plugins = load(folder, entry_points=False)
    assert plugins.families
    assert not log.exists()
    assert plugins.method("mine").name == "mine"
    plugins.report()
    assert log.read_text() == "x"


def test_heavy_imports_are_named_as_slow(folder: Path, write: Write) -> None:
    """In a fresh interpreter, where nothing heavy is loaded yet, and in this one."""
    write("heavy", "import sqlalchemy\n" + METHOD.format(name="heavy"))
    write("light", method="light")
    code = (
        "from pathlib import Path; from adapterhub_lite.plugins import load; "
        f"plugins = load(Path({str(folder)!r}), entry_points=False); "
        "print([(i.name, i.slow, bool(i.failures)) for i in plugins.report() if i.name in "
        "('heavy', 'light')])"
    )
    expected = [("heavy", ["sqlalchemy"], False), ("light", [], False)]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(expected)
    import sqlalchemy

    assert sqlalchemy.__version__
    plugins = load(folder, entry_points=False)
    assert info(plugins, "heavy").slow == ["sqlalchemy"]
    assert info(plugins, "heavy").problems == [
        "slow: imports sqlalchemy at its top; import it inside functions"
    ]
    assert "heavy" in plugins.methods, "slow is no reason to refuse"


def test_every_hook_is_documented_and_has_an_offer() -> None:
    specified = {name for name in vars(hookspecs) if name.startswith("ahl_")}
    assert specified == OFFERS.keys()
    for name in specified:
        words = getattr(hookspecs, name).__doc__
        assert "Called" in words, f"{name} does not say when it is called"
        assert "return [" in words, f"{name} has no example"

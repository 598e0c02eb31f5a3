"""Lock files: the same model anywhere, or the first difference."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from adapterhub_lite import Home, attach, load_base, lock, resolve
from adapterhub_lite.adapter import Kind, LanguageUse, Manifest, Role, Source
from adapterhub_lite.cli import main
from adapterhub_lite.errors import LockError
from adapterhub_lite.model.base import Base
from adapterhub_lite.registry.rows import Addition
from adapterhub_lite.testing.adapters import random_adapter
from adapterhub_lite.testing.homes import copy_home

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return copy_home(ROOT, tmp_path_factory.mktemp("lock") / "home")


@pytest.fixture
def home(original: Home, tmp_path: Path) -> Home:
    return copy_home(original.path, tmp_path / "elsewhere")


@pytest.fixture(scope="module")
def base(original: Home) -> Base:
    return load_base("e5-mmt-6", home=original)


@pytest.fixture(scope="module")
def locked(original: Home) -> lock.Lock:
    found = resolve("en", "gv", task="pos", home=original)
    return lock.make(found.composition, home=original, strategy=found.strategy)


def hidden(base: Base) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = base.trunk(torch.arange(5, 29)[None]).last_hidden_state
    return result


def test_a_lock_gives_the_same_model_in_another_home(
    locked: lock.Lock, home: Home, base: Base, tmp_path: Path
) -> None:
    again = lock.read(lock.write(locked, tmp_path / "gv.lock"))
    assert again == locked
    first = resolve("en", "gv", task="pos", home=home).composition
    with attach(base, first, home=home):
        wanted = hidden(base)
    with attach(base, again, home=home):
        assert torch.equal(hidden(base), wanted)
    assert not torch.equal(hidden(base), wanted)


def test_names_may_move_and_the_lock_stays(locked: lock.Lock, home: Home) -> None:
    home.registry.alias(locked.adapters[0].name, "fo")
    assert lock.check(locked, home) == locked.parsed()


def test_an_adapter_that_is_missing_is_named(locked: lock.Lock, home: Home) -> None:
    home.registry.remove(locked.adapters[-1].digest, force=True)
    with pytest.raises(LockError, match=f"`{locked.adapters[-1].name}@.* is not in this home"):
        lock.check(locked, home)


def test_a_changed_byte_of_the_weights_is_found(locked: lock.Lock, home: Home) -> None:
    folder = home.folder_of(home.registry.get(locked.adapters[0].digest))
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(LockError, match="has other weights on disk"):
        lock.check(locked, home)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "0" * 64}, "fingerprint 0000"),
        ({"hidden_size": 1024}, "hidden_size 1024"),
        ({"vocab_size": 7}, "vocab_size 7"),
    ],
)
def test_another_base_is_refused_before_anything_is_attached(
    locked: lock.Lock, home: Home, base: Base, change: dict[str, Any], said: str
) -> None:
    other = dataclasses.replace(locked, base=dataclasses.replace(locked.base, **change))
    with pytest.raises(LockError, match=said):
        attach(base, other, home=home)


def test_a_remote_adapter_has_no_weights_to_lock(home: Home) -> None:
    known = home.registry.get("gv")
    manifest = dataclasses.replace(
        known.manifest, weights=None, source=Source("someone/gv-elsewhere")
    )
    home.registry.add_many([Addition(manifest, "gv-elsewhere", (), remote=True)])
    with pytest.raises(LockError, match="without its weights") as caught:
        lock.make("gv-elsewhere", home=home)
    assert "ahl pull someone/gv-elsewhere" in str(caught.value.hint)


def test_a_plugin_that_changed_since_is_a_difference(
    home: Home, base: Base, tmp_path: Path
) -> None:
    method = home.plugins().method("ia3")
    adapter = random_adapter(base, method, {}, ref="scaled")
    manifest = Manifest(
        kind=Kind.LANGUAGE,
        languages=(LanguageUse("fo", Role.LANGUAGE),),
        base=base.identity,
        method="ia3",
        config=adapter.config.to_mapping(),
        provider=home.plugins().provider("ia3"),
    )
    adapter.save(tmp_path / "scaled", manifest)
    home.add(tmp_path / "scaled", name="scaled")
    made = lock.make("scaled", home=home)
    assert lock.check(made, Home.find(home.path)) == made.parsed()
    plugin = home.path / "plugins" / "ia3.py"
    plugin.write_text(plugin.read_text() + "\n# changed\n")
    with pytest.raises(LockError, match="needs method `ia3` of plugin `ia3`"):
        lock.check(made, Home.find(home.path))


def _as_array(values: dict[str, Any]) -> list[Any]:
    return [values]


def _newer(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "lock": 3}


def _without_base(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "base"}


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "composition": 5}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_as_array, "no lock number"),
        (_newer, "lock format 3"),
        (_without_base, "lacks `base`"),
        (_numbers, "composition must be str"),
    ],
)
def test_a_file_that_is_no_lock_says_why(
    locked: lock.Lock, tmp_path: Path, spoil: Callable[[Any], Any], said: str
) -> None:
    path = lock.write(locked, tmp_path / "gv.lock")
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(LockError, match=said):
        lock.read(path)


def test_other_versions_are_told(locked: lock.Lock) -> None:
    assert lock.drift(locked) == []
    older = dataclasses.replace(locked, versions={**locked.versions, "torch": "1.0"})
    now = f"torch 1.0 when this was locked, {torch.__version__} now"
    assert lock.drift(older) == [f"{now}: the last digits of a result may differ"]


def test_the_commands_write_check_and_run_a_lock(home: Home, tmp_path: Path) -> None:
    def ahl(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--home", str(home.path), *arguments])
        assert result.exit_code == code, result.output
        return result.output

    path = str(tmp_path / "gv.lock")
    ahl("resolve", "en", "gv", "--task", "pos", "--lock", path)
    rows = json.loads(ahl("--json", "attach", "--lock", path))
    assert [row["head"] for row in rows["adapters"]] == [
        "language-modelling",
        "token-classification",
    ]
    text = "Ta mee ayns y thie."
    direct = ahl("predict", "en", "gv", "--task", "pos", text)
    assert ahl("predict", "--lock", path, text) == direct
    home.registry.remove("en-gv", force=True)
    assert "is not in this home" in ahl("attach", "--lock", path, code=1)

"""From training to an answer: each plugin in a home of its own, over a language adapter."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.composition import parse, rename
from adapterhub_lite.errors import CompositionError, MethodError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.resolver import resolve
from adapterhub_lite.testing.adapters import logits
from adapterhub_lite.testing.kit import Batch
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import LanguageSettings, TaskSettings, train_language, train_task
from tests.method_plugins.conftest import FOLDER
from tests.training.writing import write_tagged, write_text

CONFIGS: dict[str, dict[str, Any]] = {
    "ia3": {},
    "vera": {"rank": 4},
    "dora": {"rank": 2},
    "compacter": {"placement": "pfeiffer", "reduction": 4, "n": 2},
    "sft": {"density": 0.1},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(save_tiny_base(tmp_path_factory.mktemp("bases") / "tiny", "xlm-roberta"))


@pytest.fixture(scope="module")
def without_plugins(tmp_path_factory: pytest.TempPathFactory, base: Base) -> Home:
    """Return a home with language adapters of two languages."""
    folder = tmp_path_factory.mktemp("life")
    home = Home.init(folder / "home")
    home.registry.add_base(base.identity)
    settings = LanguageSettings(steps=2, batch_size=2, block=20)
    for number, tag in enumerate(("en", "fo")):
        text = write_text(folder / tag, random.Random(number), low=5, high=50)
        train_language(tag, text, base=base, home=home, settings=settings, quiet=True)
    return home


@pytest.mark.parametrize("method", CONFIGS)
def test_trains_over_a_language_adapter_and_resolves(
    tmp_path: Path, base: Base, without_plugins: Home, batch: Batch, method: str
) -> None:
    shutil.copytree(without_plugins.path, tmp_path / "home", ignore=shutil.ignore_patterns("runs"))
    (tmp_path / "home" / "plugins").mkdir(exist_ok=True)
    plugin = shutil.copy(FOLDER / f"{method}.py", tmp_path / "home" / "plugins")
    home = Home.find(tmp_path / "home")
    adapter = train_task(
        "pos",
        train=write_tagged(tmp_path / "train.tsv", random.Random(3), sentences=10),
        source="en",
        over="en",
        base=base,
        home=home,
        method=method,
        config=CONFIGS[method],
        settings=TaskSettings(steps=2, batch_size=4),
        quiet=True,
    )
    assert adapter.manifest.provider.plugin == method
    answer = resolve("en", "fo", task="pos", home=home)
    assert adapter.ref in str(answer.composition)
    plain = logits(base, batch)
    with attach(base, answer.composition, home=home) as attached:
        assert not torch.equal(logits(base, batch), plain)
        if method == "sft":
            changed = {k: t for k, t in attached.state_of(adapter.ref).items() if "phi" in k}
            entries = sum(t.numel() for t in changed.values())
            assert sum(int(t.count_nonzero()) for t in changed.values()) <= round(0.1 * entries)
    Path(plugin).unlink()
    with pytest.raises(MethodError, match=f"no plugin provides method `{method}`"):
        attach(base, adapter.ref, home=Home.find(tmp_path / "home"))


def test_a_fusion_is_trained_in_a_second_stage(
    tmp_path: Path, base: Base, without_plugins: Home, batch: Batch
) -> None:
    shutil.copytree(without_plugins.path, tmp_path / "home", ignore=shutil.ignore_patterns("runs"))
    (tmp_path / "home" / "plugins").mkdir(exist_ok=True)
    shutil.copy(FOLDER / "adapterfusion.py", tmp_path / "home" / "plugins")
    home = Home.find(tmp_path / "home")
    common: dict[str, Any] = {
        "train": write_tagged(tmp_path / "train.tsv", random.Random(3), sentences=10),
        "source": "en",
        "base": base,
        "home": home,
        "settings": TaskSettings(steps=2, batch_size=4),
        "quiet": True,
    }
    first, second = (
        train_task("pos", over="en", name=name, seed=seed, **common)
        for seed, name in enumerate(("first", "second"))
    )
    fuse: dict[str, Any] = {**common, "method": "adapterfusion"}
    fused = train_task("pos", over="stack(en, fuse(second, first))", name="fused", **fuse)
    assert fused.manifest.config["members"] == [second.digest, first.digest]
    assert [u.digest for u in fused.manifest.trained_over[1:]] == [second.digest, first.digest]
    with attach(base, "stack(fo, fuse(second, first), fused)", home=home) as attached:
        logits(base, batch)
        head = attached.head()
        assert head is not None
        assert torch.equal(head[1]["weight"], attached.state_of("fused")["head.weight"])
    answer = resolve("en", "fo", task="pos", home=home)
    found = [answer.composition, *(a.composition for a in answer.alternatives)]
    wanted = parse("stack(fo, fuse(second, first), fused)")
    fusing = rename(wanted, lambda name: home.registry.get(name).ref)
    assert fusing in found
    with attach(base, fusing, home=home):
        logits(base, batch)
    with pytest.raises(CompositionError, match="was trained to fuse"):
        attach(base, "stack(fo, fuse(first, second), fused)", home=home)
    with pytest.raises(UsageError, match=r"found `.*` on top"):
        train_task("pos", over="en", **fuse)
    with pytest.raises(UsageError, match="`first` is a task adapter"):
        train_task("pos", over="stack(en, fuse(first, second))", **common)

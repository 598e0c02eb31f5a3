"""kill -9 at writes of gc, rebuild, pull --stack, export and train: nothing lost or half there."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import digests
from adapterhub_lite.exchange import export
from adapterhub_lite.home import Home
from adapterhub_lite.hub import push_stack
from adapterhub_lite.model.base import load_base
from adapterhub_lite.registry import Registry
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import LanguageSettings, train_language
from tests.hub.conftest import TOKEN
from tests.hub.making import add, new_home, task
from tests.hub.server import Hub
from tests.registry.making import fill, folder, score
from tests.training.writing import write_text

ROOT = Path(__file__).parents[2]
HARMLESS = {"leftover", "orphan-object"}
"""All that a crash may leave, as `verify` calls it: `gc` takes it."""


def killed(
    scenario: str, template: Path, scratch: Path, most: int, *more: str
) -> list[dict[str, Any]]:
    scratch.mkdir()
    command = [sys.executable, "-m", "tests.registry.killing", scenario]
    done = subprocess.run(
        [*command, str(template), str(scratch), str(most), *more],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(scratch / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    deaths = [line for line in lines if line["signal"] == signal.SIGKILL]
    assert len(deaths) > most // 3, lines
    assert all(line["again"] == 0 for line in lines), done.stderr
    return lines


def test_gc(tmp_path: Path) -> None:
    home = Home.init(tmp_path / "template" / "home")
    for name in ("a", "b", "c", "d"):
        home.add(folder(tmp_path / name, name), name=name)
    removed = [home.registry.remove(name).digest for name in ("a", "b")]
    home.gc()
    trash = home.path / "objects" / ".trash"
    today = datetime.now(UTC).date()
    (trash / today.isoformat()).rename(trash / (today - timedelta(days=30)).isoformat())
    (home.path / "objects" / ".staging" / "left").mkdir()
    removed.append(home.registry.remove("c").digest)  # to be set aside; the others are to go
    kept = home.registry.get("d").digest
    home.registry.close()
    lines = killed("gc", tmp_path / "template", tmp_path / "scratch", 40)
    for line in lines:
        assert line["digests"] == [kept], line
        assert set(line["problems"]) <= HARMLESS, line
        assert set(line["trash"]) <= set(removed)
        assert "c" not in line["names"]
        assert removed[2] in line["trash"] or "orphan-object" in line["problems"], line
        assert line["after"]["problems"] == [], line
        assert line["after"]["trash"] == [removed[2]], line


def test_rebuild(tmp_path: Path) -> None:
    home = Home.init(tmp_path / "template" / "home")
    for name in ("a", "b", "c"):
        home.add(folder(tmp_path / name, name), name=name)
    fill(home.registry)
    home.registry.record_scores([score()])
    for name in ("sw-wiki", "swh-wiki", "en-wiki", "en-sw", "ner-en"):
        home.registry.remove(name)  # they have no objects here
    before = home.registry.dump()
    home.registry.close()
    with closing(sqlite3.connect(home.path / "registry.db")) as raw:
        raw.execute("DROP TABLE languages")
        raw.commit()
    lines = killed("rebuild", tmp_path / "template", tmp_path / "scratch", 40)
    for line in lines:
        assert line["there"], line
        assert line.get("dump") == before or "`languages` is gone" in line["error"], line
        after = line["after"]
        assert (after["dump"], after["problems"], after["kept"]) == (before, [], 1), line
    assert lines[-1]["dump"] == before  # it got through


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub with an account that may write for `lab`."""
    with Hub() as server:
        server.account(TOKEN, "anna", orgs=("lab",))
        yield server


def test_a_stack_is_pulled_whole_or_not(hub: Hub, tmp_path: Path) -> None:
    source = new_home(tmp_path / "source")
    below = add(source, tmp_path / "made" / "en", "en-wiki", 1)
    add(source, tmp_path / "made" / "ner", "ner", **task(3, below))
    push_stack("stack(en-wiki, ner)", "lab/ner-sw", home=source, endpoint=hub.endpoint, token=TOKEN)
    new_home(tmp_path / "template" / "home").registry.close()
    lines = killed("pull-stack", tmp_path / "template", tmp_path / "scratch", 30, hub.endpoint)
    for line in lines:
        assert len(line["digests"]) in {0, 2}, line
        assert set(line["problems"]) <= HARMLESS, line
        assert len(line["after"]["digests"]) == 2, line
        assert line["after"]["names"] == ["lab/ner-sw/en-wiki", "lab/ner-sw/ner"]
    assert {len(line["digests"]) for line in lines} == {0, 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template: a base, a text, a home with a trained LoRA adapter, and what training gives."""
    place = tmp_path_factory.mktemp("trained")
    save_tiny_base(place / "base", "xlm-roberta")
    write_text(place / "text.txt", random.Random(1), low=5, high=50)
    base = load_base(place / "base")
    home = Home.init(place / "home")
    home.registry.add_base(base.identity, str(place / "base"))
    settings = LanguageSettings(steps=1, batch_size=2, block=20, output_bias=False)
    train_language(
        "fo", place / "text.txt", base=base, home=home, settings=settings, method="lora", quiet=True
    )
    home.registry.close()
    return place


def test_export(trained: Path, tmp_path: Path) -> None:
    export("fo", tmp_path / "whole", home=Home.find(trained / "home"), to="peft")
    whole = {p.name: digests.of_file(p) for p in sorted((tmp_path / "whole").iterdir())}
    lines = killed("export", trained, tmp_path / "scratch", 20)
    for line in lines:
        assert line["files"] in (None, whole), line
        assert line["after"]["files"] == whole, line
        # killed between the last rename and the end: nobody exports there again, so nobody sweeps
        assert line["after"]["beside"] == ["fo"] or line["files"] == whole, line


def test_train(tmp_path: Path) -> None:
    template = tmp_path / "template"
    save_tiny_base(template / "base", "xlm-roberta")
    write_text(template / "text.txt", random.Random(1), low=5, high=50)
    Home.init(template / "home").registry.close()
    whole = Home.init(tmp_path / "whole")
    settings = LanguageSettings(steps=4, save_every=1, batch_size=2, block=20)
    base = load_base(template / "base")
    result = train_language(
        "fo", template / "text.txt", base=base, home=whole, settings=settings, quiet=True
    )
    assert result.manifest.weights
    lines = killed("train", template, tmp_path / "scratch", 12)
    for line in lines:
        assert set(line["problems"]) <= HARMLESS, line
        assert line["weights"] in ([], [result.manifest.weights.sha256]), line
        assert line["after"]["weights"] == [result.manifest.weights.sha256], line
        left = [name for name in line["after"]["run"] if not name.startswith(".run.json")]
        assert {"finished.json", "run.json"} <= set(left), line
        assert not [name for name in left if name.startswith("checkpoint")], line
    with Registry(whole.path / "registry.db") as registry:
        assert registry.count() == 1

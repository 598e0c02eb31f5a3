"""`ahl push` and `ahl pull` as they are typed: own process, HF_ENDPOINT in its environment.

Variables of the Hub's client are read when it is imported, so nothing less shows that they work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from adapterhub_lite.cli import main
from tests.hub.conftest import TOKEN
from tests.hub.making import add, files, new_home, task
from tests.hub.server import Hub


class Ahl:
    """Runs `ahl` on a home against a Hub."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "AHL_"))},
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def __call__(self, *words: str, code: int = 0, **variables: str) -> tuple[str, str]:
        run = subprocess.run(
            [sys.executable, "-m", "adapterhub_lite", "--home", str(self.folder / "home"), *words],
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == code, run.stderr
        assert "Traceback" not in run.stderr
        return run.stdout, run.stderr


@pytest.fixture
def ahl(hub: Hub, tmp_path: Path) -> Ahl:
    home = new_home(tmp_path / "home")
    english = add(home, tmp_path / "made" / "en", "en-wiki", 1)
    add(home, tmp_path / "made" / "ner", "ner", **task(2, english))
    return Ahl(hub, tmp_path)


def test_push_and_pull_as_typed(hub: Hub, ahl: Ahl) -> None:
    out, err = ahl("push", "en-wiki", "lab/en", "--tag", "v1", "-m", "First", HF_TOKEN=TOKEN)
    commit = hub.repos["lab/en"].head
    assert (out, commit.title) == (f"lab/en@{commit.oid}\n", "First")
    assert f"pushed to {hub.endpoint}/lab/en/commit/{commit.oid} (3 files changed)" in err
    _, err = ahl("push", "en-wiki", "lab/en", HF_TOKEN=TOKEN)
    assert "nothing changed: lab/en holds exactly this" in err
    other = Ahl(hub, ahl.folder / "other")
    new_home(other.folder / "home")
    out, err = other("pull", "lab/en@v1", "--name", "english")
    assert out.startswith("english@")
    assert f"pulled lab/en@{commit.oid[:12]}" in err
    _, err = other("pull", "lab/en@v1")
    assert "is here already" in err
    asked = len(hub.requests)
    out, err = other("pull", "lab/en@v1", HF_HUB_OFFLINE="1")
    assert out.startswith("english@")
    assert "offline: " in err
    out, err = other("pull", "lab/en@v1", "--offline", "--json")
    assert json.loads(out)["offline"]
    assert len(hub.requests) == asked
    _, err = ahl("push", "en-wiki", "lab/en", code=1, HF_HUB_OFFLINE="1", HF_TOKEN=TOKEN)
    assert "this run is offline" in err


def test_the_stored_token_stays_at_home(hub: Hub, ahl: Ahl) -> None:
    hub.account("hf_stored", "anna", orgs=("lab",))
    (ahl.folder / "hf").mkdir()
    (ahl.folder / "hf" / "token").write_text("hf_stored")
    _, err = ahl("push", "en-wiki", "lab/en", code=1)
    assert "answered 401 for `lab/en`" in err
    assert "hint: set HF_TOKEN" in err
    assert {request.token for request in hub.requests} == {None}


def test_a_stack_as_typed(hub: Hub, ahl: Ahl) -> None:
    ahl("push", "--stack", "stack(en-wiki, ner)", "lab/ner-en", HF_TOKEN=TOKEN)
    other = Ahl(hub, ahl.folder / "other")
    new_home(other.folder / "home")
    lock = other.folder / "ner.lock"
    out, err = other("pull", "--stack", "lab/ner-en", "--lock", str(lock))
    assert out.startswith("stack(lab/ner-en/en-wiki@")
    assert "2 adapters of lab/ner-en@" in err
    assert json.loads(lock.read_text())["lock"] == 2


# ------------------------------------------------------------------------- in this process


def call(folder: Path, *words: str, code: int = 0) -> Any:
    result = CliRunner().invoke(main, ["--home", str(folder / "home"), *words])
    assert result.exit_code == code, result.output
    return result


def test_a_dry_run_prints_each_file(ahl: Ahl) -> None:
    result = call(ahl.folder, "push", "en-wiki", "lab/en", "--dry-run")
    head, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == ["file", "bytes", "sha256"]
    assert [row[0] for row in rows] == ["README.md", "adapter.json", "weights.safetensors"]
    assert all(int(row[1]) and len(row[2]) == 64 for row in rows)
    assert "would send 3 files" in result.stderr
    values = json.loads(call(ahl.folder, "push", "en-wiki", "lab/en", "--dry-run", "--json").stdout)
    assert [file["path"] for file in values["files"]] == [row[0] for row in rows]
    assert (values["dry_run"], values["commit"]) == (True, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pull", "--stack", "lab/x", "--name", "x"), "`--name` is for one adapter"),
        (("pull", "--stack", "lab/x", "--source", "en"), "`--source` is for one adapter"),
        (("pull", "lab/x", "--lock", "x"), "`--lock` is for a stack"),
        (("pull", "no such id"), "is no Hub id"),
        (("push", "en-wiki", "without-owner", "--dry-run"), "`without-owner` names no owner"),
        (("push", "en-wiki", "x/y/z"), "is no Hub id"),
    ],
)
def test_wrong_usage(ahl: Ahl, words: tuple[str, ...], message: str) -> None:
    assert message in call(ahl.folder, *words, code=2).stderr


def test_errors_in_json_have_facts(ahl: Ahl, hub: Hub) -> None:
    hub.publish("lab/x", files(1))
    out, _ = ahl("pull", "lab/x@v9", "--json", code=1)
    values = json.loads(out)
    assert values["error"] == "`lab/x` has no revision `v9`"
    assert values["facts"]["status"] == 404

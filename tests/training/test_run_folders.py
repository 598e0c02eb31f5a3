"""Run folders: only what a run made in a folder with our mark is ever removed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.errors import AhlError, HomeError, TrainingError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.training import (
    LanguageSettings,
    TaskSettings,
    train_full,
    train_language,
    train_task,
)
from adapterhub_lite.training.runs import Run, run_folder

SETTINGS = LanguageSettings(steps=2, batch_size=2, block=20)
IDENTITY: dict[str, Any] = {
    "base": "b",
    "shape": None,
    "settings": {},
    "data": [],
    "kind": "language",
    "name": "x",
}
HOLD = """
import sys
from pathlib import Path
from adapterhub_lite.training.runs import Run
with Run(Path(sys.argv[1]), {}).held():
    print("held", flush=True)
    sys.stdin.readline()
"""


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def trainers_folder(folder: Path) -> Path:
    """Write what any `Trainer` and a script around it leave."""
    for name in ("checkpoint-500", "adapter", "round-1"):
        (folder / name).mkdir(parents=True)
        (folder / name / "model.safetensors").write_bytes(b"a week of training")
    return folder


@pytest.mark.parametrize("resume", [True, False])
def test_the_folder_of_another_trainer_keeps_every_byte(
    home: Home, base: Base, text: Path, tmp_path: Path, resume: bool
) -> None:
    folder = trainers_folder(tmp_path / "project")
    before = content(folder)
    with pytest.raises(TrainingError, match="no run that `ahl train` began") as error:
        train_language(
            "fo", text, base=base, home=home, settings=SETTINGS, output=folder, resume=resume
        )
    assert "`checkpoint-500`" in error.value.message
    assert content(folder) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", "mine"),
        ("run.json", ""),
        ("run.json", '{"base": "b", "sha'),
        ("run.json", "[]"),
        ("run.json", '{"optimizer": "adam", "steps": 10}'),
        ("run.json", '{"made_by": "adapterhub_lite"}'),
        ("run.json", '{"made_by": {"tool": "another", "format": 1}}'),
        ("run.json", '{"made_by": {"tool": "adapterhub_lite", "format": 2}}'),
        ("run.json", "[" * 100_000),
        ("finished.json", '{"adapter": "x"}'),
        (".hidden", ""),
    ],
)
@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_without_a_sound_mark_keeps_every_byte(
    tmp_path: Path, name: str, text: str, resume: bool
) -> None:
    folder = trainers_folder(tmp_path / "project")
    (folder / name).write_text(text)
    before = content(folder)
    run = Run(folder, IDENTITY)
    with pytest.raises(TrainingError, match="nothing in it was changed") as error:
        run.open(resume=resume)
    assert "--output" in str(error.value.hint)
    with pytest.raises(TrainingError, match="nothing in it was changed"), run.held():
        pass
    assert content(folder) == before


def test_a_single_file_makes_a_folder_somebody_s(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(TrainingError, match=r"holds `thesis\.tex`"):
        Run(tmp_path, IDENTITY).open(resume=True)
    with pytest.raises(HomeError, match="is a file"):
        Run(tmp_path / "thesis.tex", IDENTITY).open(resume=True)


@pytest.mark.parametrize(
    "name", ["x/../../../..", "x/..", "a//b", "a/", "/a", ".", "..", "", "a/./b", "a/.b", "a\nb"]
)
def test_a_name_that_is_a_path_is_refused_before_anything_happens(
    home: Home, base: Base, text: Path, tagged: Path, name: str
) -> None:
    before = content(home.path.parent)
    with pytest.raises(UsageError, match="cannot be the name of an adapter"):
        train_language("fo", text, base=base, home=home, settings=SETTINGS, name=name or "/")
    task = TaskSettings(steps=1)
    with pytest.raises(UsageError, match="cannot be the name of an adapter"):
        train_task(
            "pos", train=tagged, source="en", base=base, home=home, settings=task, name=name or "/"
        )
    with pytest.raises(AhlError):
        train_full("pos", train=tagged, source="en", base=base, home=home, name=name or "/")
    with pytest.raises(UsageError, match="cannot be the name of an adapter"):
        home.registry.alias(name, "fo")
    after = content(home.path.parent)
    assert {path for path in after if "registry.db" not in path} == {
        path for path in before if "registry.db" not in path
    }


def test_folders_of_two_names_never_nest(
    home: Home, base: Base, text: Path, other_text: Path
) -> None:
    inner = train_language(
        "fo", text, base=base, home=home, settings=SETTINGS, name="sw/adapter", quiet=True
    )
    folder = run_folder(home, "sw/adapter", None)
    before = content(folder)
    train_language("sv", other_text, base=base, home=home, settings=SETTINGS, name="sw", quiet=True)
    assert content(folder) == before
    assert run_folder(home, "sw", None) not in folder.parents
    assert home.registry.get("sw/adapter") == inner
    folders = [run_folder(home, n, None) for n in ("a/b", "a-b", "a", "a/b/c", "a.b")]
    assert len({str(path) for path in folders}) == len(folders)
    assert {path.parent for path in folders} == {home.path / "runs"}


def _old_run(folder: Path, name: str) -> None:
    """Write a run folder as the versions before the mark did."""
    (folder / "checkpoint-5").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({**IDENTITY, "name": name}))


def test_a_run_of_an_earlier_version_goes_on(home: Home) -> None:
    for name in ("sw", "sw/adapter", "sw/checkpoint-7"):
        _old_run(home.path / "runs" / name, name)
    for name in ("sw", "sw/adapter"):
        folder = run_folder(home, name, None)
        assert folder == home.path / "runs" / name
        run = Run(folder, {**IDENTITY, "name": name})
        assert run.open(resume=True) is None
        assert (folder / "checkpoint-5").is_dir()
        other = Run(folder, {**IDENTITY, "name": name, "data": [1]})
        with pytest.raises(TrainingError, match="holds an unfinished run with data = "):
            other.open(resume=True)
    Run(home.path / "runs" / "sw", IDENTITY).open(resume=False)
    left = sorted(path.name for path in (home.path / "runs" / "sw").iterdir())
    assert left == ["adapter", "checkpoint-7", "run.json"]  # the others' run folders
    assert (home.path / "runs" / "sw" / "adapter" / "checkpoint-5").is_dir()


def test_only_what_a_run_makes_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = Run(folder, IDENTITY)
    run.open(resume=True)
    elsewhere = trainers_folder(tmp_path / "elsewhere")
    for name in ("checkpoint-5", "round-2", "checkpoint-best", "rounds", "curves"):
        (folder / name).mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "checkpoint-9").symlink_to(elsewhere / "checkpoint-500")
    Run(folder, {**IDENTITY, "data": [1]}).open(resume=False)
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["checkpoint-9", "checkpoint-best", "curves", "notes.txt", "rounds", "run.json"]
    assert content(elsewhere) == content(trainers_folder(tmp_path / "the same"))


def test_clearing_that_was_cut_off_is_ended(tmp_path: Path) -> None:
    """Else a run would go on from the checkpoints of another one."""
    folder = tmp_path / "run"
    run = Run(folder, IDENTITY)
    run.open(resume=True)
    values = json.loads((folder / "run.json").read_text())
    values["made_by"]["clearing"] = True
    (folder / "run.json").write_text(json.dumps(values))
    (folder / "checkpoint-5").mkdir()
    (folder / "finished.json").write_text("{}")
    assert run.open(resume=True) is None
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_what_cannot_be_removed_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = Run(folder, IDENTITY)
    run.open(resume=True)
    (folder / "checkpoint-5" / "inner").mkdir(parents=True)
    script = (
        "import os, sys; from pathlib import Path\n"
        "from adapterhub_lite.errors import HomeError\n"
        "from adapterhub_lite.training.runs import Run\n"
        "nobody = (65534,) * 3\n"
        "if os.geteuid() == 0: os.setresgid(*nobody); os.setresuid(*nobody)\n"
        "try: Run(Path(sys.argv[1]), {}).tidy()\n"
        "except HomeError as error: print(error.message)\n"
    )
    for path in (tmp_path, *tmp_path.parents[:3], folder):
        path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )
    assert "checkpoint-5`: it is read-only, or no right to" in done.stdout


def test_a_second_run_in_a_folder_says_who_has_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        words = f"in use by process {holder.pid} on"
        with pytest.raises(HomeError, match=words) as error, Run(folder, IDENTITY).held():
            pass
        assert str(folder) in error.value.message
        assert "UTC" in error.value.message
        holder.kill()
        holder.wait()
    with Run(folder, IDENTITY).held():  # the lock of a dead process is taken over
        assert Run(folder, IDENTITY).open(resume=True) is None


def test_two_trainings_of_one_name_at_once(home: Home, base: Base, text: Path) -> None:
    with (
        Run(home.path / "runs" / "fo", {}).held(),
        pytest.raises(HomeError, match="in use by process"),
    ):
        train_language("fo", text, base=base, home=home, settings=SETTINGS, quiet=True)

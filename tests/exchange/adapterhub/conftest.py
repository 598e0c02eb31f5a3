"""Tiny bases in a home, and the real library: one process saves, one loads what we exported."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from adapterhub_lite import Home
from adapterhub_lite.adapter import Adapter, Kind, LanguageUse, Role
from adapterhub_lite.exchange import Details, import_folder
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.testing.models import save_tiny_base
from tests.exchange import peer_environment
from tests.exchange.adapterhub.cases import FAMILIES, Case, cases

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
CLOSE = 1e-4
"""Largest difference allowed, float32, absolute."""

LANGUAGE = Details(kind=Kind.LANGUAGE, languages=(LanguageUse("sw", Role.LANGUAGE),))
TASK = Details(kind=Kind.TASK, languages=(LanguageUse("en", Role.SOURCE),), task="ner")


def batch() -> dict[str, Tensor]:
    """Return three rows of seven tokens, of which the second has two of padding."""
    ids = torch.randint(5, 90, (3, 7), generator=torch.Generator().manual_seed(5))
    mask = torch.ones_like(ids)
    ids[1, 5:], mask[1, 5:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


@dataclass(frozen=True)
class Place:
    """A home with a tiny base of every family, registered as `tiny-FAMILY`."""

    home: Home
    folders: dict[str, Path]
    bases: dict[str, Base]

    def take(self, folder: Path, family: str, details: Details = LANGUAGE, **more: Any) -> Adapter:
        """Import a folder under a new name."""
        name = f"a{self.home.registry.count()}"
        options = {"base": f"tiny-{family}", "allow_pickle": True, **more}
        adapter, _ = import_folder(folder, home=self.home, name=name, details=details, **options)
        return adapter

    def plain(self, base: str) -> Tensor:
        """Return the trunk's last hidden states without any adapter."""
        with torch.no_grad():
            found: Tensor = self.bases[base].trunk(**batch()).last_hidden_state
        return found

    def hidden(self, base: str, composition: str, inputs: dict[str, Tensor]) -> Tensor:
        """Return the trunk's last hidden states with a composition attached."""
        with attach(self.bases[base], composition, home=self.home), torch.no_grad():
            found: Tensor = self.bases[base].trunk(**inputs).last_hidden_state
        return found


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a home with bases; tests add adapters to it under new names."""
    root = tmp_path_factory.mktemp("place")
    home = Home.init(root / "home")
    home = Home.find(root / "home")
    (home.path / "plugins").mkdir(exist_ok=True)
    for file in PLUGINS.glob("*.py"):
        (home.path / "plugins" / file.name).write_bytes(file.read_bytes())
    folders = {name: save_tiny_base(root / f"tiny-{name}", name) for name in (*FAMILIES, "qwen2")}
    bases = {name: load_base(folder) for name, folder in folders.items()}
    for name, base in bases.items():
        home.registry.add_base(base.identity, str(folders[name]))
    return Place(home, folders, bases)


Peer = Callable[[str, Sequence[Case]], Path]


@pytest.fixture(scope="session")
def peer(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Peer:
    """Return a function that has the real library save or load cases, in one process."""
    folder = Path(os.environ.get("AHL_PEER", peer_environment.FOLDER))
    note = folder / peer_environment.UNAVAILABLE
    if note.exists():
        pytest.xfail(f"`adapters` could not be installed: {note.read_text().strip()}")
    if not peer_environment.interpreter(folder).exists():
        pytest.fail("the environment of `adapters` is missing; run `make peer`")

    def run(what: str, some: Sequence[Case]) -> Path:
        root = tmp_path_factory.mktemp(what)
        plan = {
            "bases": {name: str(path) for name, path in place.folders.items()},
            "batch": {key: value.tolist() for key, value in batch().items()},
            "cases": list(some),
        }
        (root / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        script = Path(__file__).with_name("peer.py")
        program = [str(peer_environment.interpreter(folder)), str(script)]
        command = [*program, what, str(root / "plan.json"), str(root / "out")]
        silent = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
        found = subprocess.run(command, capture_output=True, text=True, check=False, env=silent)
        assert found.returncode == 0, found.stderr[-3000:]
        return root / "out"

    return run


@pytest.fixture(scope="session")
def saved(peer: Peer) -> Path:
    """Return the folder with all cases as the real library saved them, and its outputs."""
    return peer("write", cases())


def outputs(saved: Path, case: str) -> dict[str, Tensor]:
    """Return what the library computed for a case."""
    failed = json.loads((saved / "failed.json").read_text())
    assert case not in failed, failed[case]
    return load_file(saved / f"{case}.safetensors")

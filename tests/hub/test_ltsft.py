"""Repositories of LT-SFT, which hold one pickled file and no config."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapterhub_lite import Home
from adapterhub_lite.adapter import Kind, LanguageUse, Role, Source
from adapterhub_lite.errors import HubError
from adapterhub_lite.exchange import Details, import_folder
from adapterhub_lite.hub import pull
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import load_base
from adapterhub_lite.testing.adapters import logits
from adapterhub_lite.testing.kit import small_batch
from adapterhub_lite.testing.models import save_tiny_base
from tests.exchange.ltsft_files import FILE, differences, write
from tests.hub.server import Hub

PLUGIN = Path(__file__).resolve().parents[2] / "plugins" / "sft.py"
REPO = "lab/lang-sft-sw"


@pytest.fixture
def sft_home(tmp_path: Path) -> Home:
    """A home with the plugin and a tiny base."""
    base = load_base(save_tiny_base(tmp_path / "sft" / "bases" / "tiny", "xlm-roberta"))
    made = Home.init(tmp_path / "sft")
    (tmp_path / "sft" / "plugins").mkdir(exist_ok=True)
    shutil.copy(PLUGIN, tmp_path / "sft" / "plugins")
    made.registry.add_base(base.identity, "bases/tiny")
    return Home.find(tmp_path / "sft")


def test_a_pulled_repository_is_what_its_folder_imports_as(
    hub: Hub, sft_home: Home, tmp_path: Path
) -> None:
    base = load_base("tiny", home=sft_home)
    folder = write(tmp_path / "folder", differences(base, seed=3), {})
    swahili = Details(Kind.LANGUAGE, (LanguageUse("sw", Role.LANGUAGE),))
    imported, _ = import_folder(
        folder, home=sft_home, name="here", details=swahili, base="tiny", allow_pickle=True
    )
    known = replace(imported.manifest, weights=None, source=Source(REPO, format="lt-sft"))
    sft_home.registry.add(known, name=REPO, remote=True)
    hub.publish(REPO, {FILE: (folder / FILE).read_bytes(), "README.md": "---\nlicense: mit\n---\n"})
    with pytest.raises(HubError, match="only pickled weights") as caught:
        pull(REPO, home=sft_home, endpoint=hub.endpoint)
    assert f"ahl pull {REPO} --allow-pickle" in str(caught.value.hint)
    pulled = pull(REPO, home=sft_home, endpoint=hub.endpoint, allow_pickle=True).adapter
    assert (pulled.remote, pulled.manifest.method) == (False, "sft")
    batch = small_batch()
    outputs = []
    for ref in (imported.ref, pulled.ref):
        with attach(base, ref, home=sft_home):
            outputs.append(logits(base, batch))
    assert torch.equal(*outputs)
    assert not torch.equal(outputs[0], logits(base, batch))

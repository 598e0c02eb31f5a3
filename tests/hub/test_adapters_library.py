"""The library `adapters` takes what we push as it stands, from the Hub, by its own loader."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapterhub_lite import Home
from adapterhub_lite.hub import push
from adapterhub_lite.methods.bottleneck import Bottleneck
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import load_base
from adapterhub_lite.testing.adapters import random_adapter
from adapterhub_lite.testing.kit import small_batch
from adapterhub_lite.testing.models import save_tiny_base
from tests.exchange import peer_environment
from tests.hub.conftest import TOKEN
from tests.hub.making import manifest
from tests.hub.server import Hub

SCRIPT = """
import sys, adapters, torch
model = adapters.AutoAdapterModel.from_pretrained(sys.argv[1], attn_implementation="eager").eval()
name = model.load_adapter("lab/bn")
model.set_active_adapters(name)
batch = torch.load(sys.argv[2])
with torch.no_grad():
    torch.save(model.base_model(**batch).last_hidden_state, sys.argv[3])
"""


@pytest.fixture
def interpreter() -> Path:
    """The interpreter that has the library; see `tests/exchange/peer_environment.py`."""
    folder = Path(os.environ.get("AHL_PEER", peer_environment.FOLDER))
    note = folder / peer_environment.UNAVAILABLE
    if note.exists():
        pytest.xfail(f"`adapters` could not be installed: {note.read_text().strip()}")
    if not peer_environment.interpreter(folder).exists():
        pytest.fail("the environment of `adapters` is missing; run `make peer`")
    return peer_environment.interpreter(folder)


def test_a_pushed_bottleneck_loads_by_its_hub_id(
    hub: Hub, home: Home, interpreter: Path, tmp_path: Path
) -> None:
    place = save_tiny_base(tmp_path / "base", "xlm-roberta")
    base = load_base(place)
    home.registry.add_base(base.identity, location=str(place))
    made = random_adapter(base, Bottleneck(), {"invertible": True, "reduction": 4.0}, scale=0.1)
    about = manifest(b"", base=base.identity, method="bottleneck", config=made.config.to_mapping())
    provider = home.plugins().provider("bottleneck")
    made.save(tmp_path / "made", replace(about, provider=provider))
    home.add(tmp_path / "made", name="bn")
    push("bn", "lab/bn", home=home, endpoint=hub.endpoint, token=TOKEN)

    batch = dict(small_batch())
    torch.save(batch, tmp_path / "batch.pt")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": "",
    }
    files = [str(place), str(tmp_path / "batch.pt"), str(tmp_path / "found.pt")]
    run = subprocess.run(
        [str(interpreter), "-c", SCRIPT, *files],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = torch.load(tmp_path / "found.pt")
    with torch.no_grad():
        plain = base.trunk(**batch).last_hidden_state
        with attach(base, "bn", home=home):
            ours = base.trunk(**batch).last_hidden_state
    seen = batch["attention_mask"].bool()
    torch.testing.assert_close(found[seen], ours[seen], atol=1e-4, rtol=0)
    assert (ours - plain)[seen].abs().max() > 1e-2

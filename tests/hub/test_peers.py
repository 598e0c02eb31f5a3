"""Other libraries take what we push as it stands, and we take what they push.

The numbers that ours are compared with come from peft itself: in a process of its own where it has
to follow HF_ENDPOINT, which it reads when it is imported.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import safetensors.torch
import torch
from torch import Tensor

from adapterhub_lite import Home, resolve
from adapterhub_lite.adapter import (
    Adapter,
    BaseIdentity,
    Kind,
    LanguageUse,
    Role,
    Source,
    Underneath,
)
from adapterhub_lite.errors import AhlError, ExchangeError, HubError, UsageError
from adapterhub_lite.exchange import Details
from adapterhub_lite.hub import pull, push
from adapterhub_lite.methods.bottleneck import Bottleneck
from adapterhub_lite.methods.lora import LoRA
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.kit import Batch, small_batch
from adapterhub_lite.testing.models import save_tiny_base
from tests.hub.conftest import TOKEN
from tests.hub.making import manifest
from tests.hub.server import Hub

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

NAME = "org/base"
SWAHILI = Details(kind=Kind.LANGUAGE, languages=(LanguageUse("sw", Role.LANGUAGE),))
PEER = """
import sys
import torch
from {module} import {loader}
{code}
batch = torch.load(sys.argv[1])
with torch.no_grad():
    torch.save(model.eval()(**batch).logits, sys.argv[2])
"""


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_base(tmp_path_factory.mktemp("base") / "base", "xlm-roberta")


@pytest.fixture
def base(base_folder: Path, home: Home, hub: Hub) -> Base:
    """A tiny base that is on the Hub as `org/base`, and known to the home."""
    hub.publish(NAME, {path.name: path.read_bytes() for path in base_folder.iterdir()})
    base = load_base(base_folder)
    known = replace(base.identity, name=NAME)
    home.registry.add_base(known, location=str(base_folder))
    return replace(base, identity=known)


@pytest.fixture
def batch() -> Batch:
    return small_batch()


def add(
    home: Home, base: Base, method: Any, config: dict[str, Any], name: str, folder: Path
) -> Adapter:
    made = random_adapter(base, method, config, scale=0.1)
    about = manifest(b"", base=base.identity, method=method.name, config=made.config.to_mapping())
    provider = home.plugins().provider(method.name)
    made.save(folder, replace(about, provider=provider))
    return home.add(folder, name=name)


def ours(home: Home, base: Base, ref: str, batch: Batch) -> Tensor:
    with attach(base, ref, home=home):
        return logits(base, batch)


def theirs(hub: Hub, batch: Batch, folder: Path, code: str, loader: str, module: str) -> Tensor:
    """Return what another library computes with a repository of the Hub, in its own process."""
    script = PEER.format(code=code, loader=loader, module=module)
    torch.save(dict(batch), folder / "batch.pt")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    more = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "hf")}
    run = subprocess.run(
        [sys.executable, "-c", script, str(folder / "batch.pt"), str(folder / "logits.pt")],
        env=environment | more | {"HF_HUB_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: Tensor = torch.load(folder / "logits.pt")
    return found


def assert_close(found: Tensor, expected: Tensor, batch: Batch) -> None:
    visible = batch["attention_mask"].bool()
    torch.testing.assert_close(found[visible], expected[visible], atol=1e-4, rtol=0)


@pytest.mark.parametrize("way", ["peft", "transformers"])
def test_peft_and_transformers_take_a_repository_that_we_pushed(
    hub: Hub, home: Home, base: Base, batch: Batch, tmp_path: Path, way: str
) -> None:
    add(home, base, LoRA(), {"rank": 4}, "sw", tmp_path / "made")
    push("sw", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    expected = ours(home, base, "sw", batch)
    loader = "AutoModelForMaskedLM"
    if way == "peft":
        code = (
            "from peft import PeftModel\n"
            f'base = {loader}.from_pretrained("{NAME}")\n'
            'model = PeftModel.from_pretrained(base, "lab/sw")'
        )
    else:
        code = f'model = {loader}.from_pretrained("lab/sw")'
    found = theirs(hub, batch, tmp_path, code, loader, "transformers")
    assert_close(found, expected, batch)
    plain = logits(base, batch)
    assert (found - plain).abs().max() > 1e-2
    assert hub.asked("HEAD", r"/lab/sw/resolve/.*/adapter_model\.safetensors")


def test_the_card_says_how_to_use_it_in_the_peer(
    hub: Hub, home: Home, base: Base, tmp_path: Path
) -> None:
    add(home, base, LoRA(), {"rank": 4}, "sw", tmp_path / "made")
    push("sw", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    card = hub.files("lab/sw")["README.md"].decode()
    assert 'model = PeftModel.from_pretrained(base, "lab/sw")' in card
    assert f'AutoModelForMaskedLM.from_pretrained("{NAME}")' in card
    assert "library_name: peft" in card
    add(home, base, Bottleneck(), {}, "bottleneck", tmp_path / "other")
    push("bottleneck", "lab/bn", home=home, endpoint=hub.endpoint, token=TOKEN)
    card = hub.files("lab/bn")["README.md"].decode()
    assert 'model.load_adapter("lab/bn")' in card
    assert "library_name: adapter-transformers" in card
    assert {"adapter_config.json", "adapter.safetensors"} <= set(hub.files("lab/bn"))


@pytest.mark.parametrize("method", [LoRA(), Bottleneck()])
def test_what_is_pushed_comes_back_in_the_peers_layout_too(
    hub: Hub,
    home: Home,
    base: Base,
    batch: Batch,
    tmp_path: Path,
    method: Any,
) -> None:
    add(home, base, method, {}, "sw", tmp_path / "made")
    push("sw", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    own = ("adapter.json", "weights.safetensors")
    hub.publish("lab/peer", {p: d for p, d in hub.files("lab/sw").items() if p not in own})
    pulled = pull("lab/peer", home=home, endpoint=hub.endpoint, details=SWAHILI)
    assert_close(ours(home, base, "lab/peer", batch), ours(home, base, "sw", batch), batch)
    source = pulled.adapter.manifest.source
    assert source is not None
    assert (source.hub_id, source.revision) == ("lab/peer", pulled.commit)
    assert source.format in {"peft", "adapterhub"}


def test_old_pickled_weights_come_only_when_asked_for(
    hub: Hub, home: Home, base: Base, batch: Batch, tmp_path: Path
) -> None:
    add(home, base, Bottleneck(), {}, "sw", tmp_path / "made")
    push("sw", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    there = hub.files("lab/sw")
    pickled = io.BytesIO()
    torch.save(safetensors.torch.load(there["adapter.safetensors"]), pickled)
    config = there["adapter_config.json"]
    old = {"adapter_config.json": config, "pytorch_adapter.bin": pickled.getvalue()}
    hub.publish("lab/old", old)
    with pytest.raises(HubError, match="only pickled weights") as refused:
        pull("lab/old", home=home, endpoint=hub.endpoint, details=SWAHILI)
    assert "`ahl pull lab/old --allow-pickle`" in (refused.value.hint or "")
    pulled = pull("lab/old", home=home, endpoint=hub.endpoint, details=SWAHILI, allow_pickle=True)
    assert_close(ours(home, base, "lab/old", batch), ours(home, base, "sw", batch), batch)
    kept = {path.name for path in home.folder_of(pulled.adapter).iterdir()}
    assert kept == {"adapter.json", "weights.safetensors"}


def peft_repository(hub: Hub, base: Base, folder: Path, repo: str) -> Any:
    """Publish a LoRA that peft made and wrote, and return peft's model."""
    torch.manual_seed(3)
    config = peft.LoraConfig(r=4, target_modules=["query", "value"], init_lora_weights=False)
    model = peft.get_peft_model(base.model, config)
    model.save_pretrained(str(folder))
    text = json.loads((folder / "adapter_config.json").read_text())
    text["base_model_name_or_path"] = NAME
    (folder / "adapter_config.json").write_text(json.dumps(text))
    hub.publish(repo, {path.name: path.read_bytes() for path in folder.iterdir()})
    return model


def test_what_peft_published_is_taken(
    hub: Hub, home: Home, base: Base, batch: Batch, tmp_path: Path
) -> None:
    model = peft_repository(hub, base, tmp_path / "peft", "org/sw")
    with torch.no_grad():
        expected = model.eval()(**batch).logits
    model.unload()
    pulled = pull("org/sw", home=home, endpoint=hub.endpoint, details=SWAHILI, name="sw")
    assert pulled.adapter.manifest.languages == SWAHILI.languages
    assert_close(ours(home, base, "sw", batch), expected, batch)
    with pytest.raises(UsageError, match="does not say what kind"):
        pull("org/sw@main", home=Home.init(tmp_path / "new"), endpoint=hub.endpoint)


def test_the_catalogue_fills_in_what_files_do_not_say(
    hub: Hub, home: Home, base: Base, tmp_path: Path
) -> None:
    """After the pull the task adapter is known to have been trained over `org/en` as before."""
    peft_repository(hub, base, tmp_path / "peft", "org/sw").unload()
    named = BaseIdentity(NAME, "xlm-roberta", 1, 1, 1)
    swahili = replace(
        manifest(b"", base=named, method="lora", source=Source("org/sw", format="peft")),
        weights=None,
    )
    under = Underneath(
        "", Kind.LANGUAGE, SWAHILI.languages, "lora", swahili.config_digest, source="org/sw"
    )
    ner = replace(
        swahili,
        kind=Kind.TASK,
        task="ner",
        languages=(LanguageUse("sw", Role.SOURCE),),
        trained_over=(under,),
        source=Source("org/ner", format="peft"),
    )
    for known in (swahili, ner):
        home.registry.add(known, name=known.source.hub_id, remote=True)  # type: ignore[union-attr]
    before = resolve("sw", "sw", task="ner", base=NAME, home=home)
    assert set(before.pulls) == {"org/sw", "org/ner"}
    pulled = pull("org/sw", home=home, endpoint=hub.endpoint)
    assert pulled.adapter.manifest.languages == SWAHILI.languages
    after = resolve("sw", "sw", task="ner", base=NAME, home=home)
    assert after.strategy == before.strategy
    assert set(after.pulls) == {"org/ner"}
    assert pulled.adapter.digest in {choice.digest for choice in after.choices}


def test_configs_of_hostile_repositories(hub: Hub, home: Home, base: Base, tmp_path: Path) -> None:
    hostile: dict[str, Any] = {
        "pattern": {"target_modules": "([a-z_0-9.]+)+X"},
        "rank": {"r": "8"},
        "flood": {"r": 10**12},
        "list": {"target_modules": [["query"]]},
        "other": {"peft_type": "NO_SUCH"},
    }
    peft_repository(hub, base, tmp_path / "peft", "org/honest").unload()
    honest = hub.files("org/honest")
    config = json.loads(honest["adapter_config.json"])
    for name, changes in hostile.items():
        text = json.dumps(config | changes)
        hub.publish(f"org/{name}", {**honest, "adapter_config.json": text})
        start = time.monotonic()
        with pytest.raises(AhlError) as refused:
            pull(f"org/{name}", home=home, endpoint=hub.endpoint, details=SWAHILI)
        assert isinstance(refused.value, ExchangeError), name
        assert time.monotonic() - start < 30
    assert home.registry.count() == 0

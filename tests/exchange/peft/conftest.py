"""Tiny bases, a home with the plugins of the repository, and what an import computes there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor

from adapterhub_lite.adapter import Kind, LanguageUse, Role
from adapterhub_lite.exchange import Details, import_folder
from adapterhub_lite.home import Home
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.testing.kit import Batch, small_batch
from adapterhub_lite.testing.models import save_tiny_base
from tests.exchange.peft import peer

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FAMILIES = ("xlm-roberta", "bert", "llama", "gpt2", "qwen2")
HEADED = {
    "xlm-roberta": "AutoModelForMaskedLM",
    "bert": "AutoModelForMaskedLM",
    "llama": "AutoModelForCausalLM",
    "gpt2": "AutoModelForCausalLM",
    "qwen2": "AutoModelForCausalLM",
}


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function from model type to the folder of its tiny base."""
    folder = tmp_path_factory.mktemp("bases")

    def make(model_type: str, **changes: Any) -> Path:
        path = folder / "-".join([model_type, *(f"{k}-{v}" for k, v in changes.items())])
        if not path.exists():
            save_tiny_base(path, model_type, **changes)
        return path

    return make


@pytest.fixture(scope="session")
def loaded(base_folder: Callable[..., Path]) -> Callable[[Path], Base]:
    """Return a function from a folder to the base in it, loaded once."""
    known: dict[Path, Base] = {}

    def load(folder: Path) -> Base:
        if folder not in known:
            known[folder] = load_base(folder)
        return known[folder]

    return load


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return an empty home that has the repository's plugins."""
    path = tmp_path / "home"
    Home.init(path)
    shutil.copytree(PLUGINS, path / "plugins", dirs_exist_ok=True)
    return Home.find(path)


@pytest.fixture
def batch() -> Batch:
    return small_batch()


LANGUAGE = Details(kind=Kind.LANGUAGE, languages=(LanguageUse("sw", Role.LANGUAGE),))
TASK = Details(kind=Kind.TASK, task="any", languages=(LanguageUse("en", Role.SOURCE),))


@pytest.fixture
def computed(home: Home, batch: Batch, loaded: Callable[[Path], Base]) -> Callable[..., Tensor]:
    """Return a function that imports a folder and gives what it computes on the batch.

    With a head that is the head's scores, one a token or one a text; without, the base's scores
    over its vocabulary, or its hidden states if it has no head.
    """

    def compute(folder: Path, base: Path, details: Details = LANGUAGE, name: str = "it") -> Tensor:
        identity = register(home, loaded(base), base)
        adapter, _ = import_folder(folder, home=home, name=name, details=details, base=identity)
        return run(home, loaded(base), adapter.ref, batch)

    return compute


def register(home: Home, base: Base, folder: Path) -> str:
    """Make a base known to a home; return its name."""
    home.registry.add_base(base.identity, location=str(folder))
    return base.identity.name


def run(home: Home, base: Base, ref: str, batch: Batch) -> Tensor:
    """Return what an adapter in a home computes on a batch; see `computed`."""
    with torch.no_grad(), attach(base, ref, home=home) as attached:
        head = attached.head()
        if head is None:
            result = base.model(**batch)
            found: Tensor = result.logits if "logits" in result else result.last_hidden_state
            return found
        spec, weights = head
        hidden = base.trunk(**batch).last_hidden_state
        task_type = home.plugins().task_type(spec.type).for_head(spec)
        visible = batch["attention_mask"].bool()
        of_texts = spec.type == "sequence-classification"
        tokens = torch.zeros_like(batch["input_ids"])
        if not of_texts:
            tokens = torch.arange(tokens.shape[1]).expand_as(tokens)
        scores = task_type.logits(weights, hidden, {"units": tokens.masked_fill(~visible, -1)})
        return scores[:, 0] if of_texts else scores


def assert_same(found: Tensor, expected: Tensor, batch: Batch) -> None:
    """Compare what is computed at visible tokens, within the tolerance that the project states."""
    assert found.shape == expected.shape
    if found.dim() == 3:
        visible = batch["attention_mask"].bool()
        found, expected = found[visible], expected[visible]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.fixture
def folder(tmp_path: Path, base_folder: Callable[..., Path]) -> Path:
    """Return a sound adapter of the tiny BERT, to be spoilt."""
    config = peft.LoraConfig(r=3, target_modules=["query", "value"])
    return peer.save(tmp_path / "theirs", base_folder("bert"), HEADED["bert"], config)


@pytest.fixture
def take_in(
    home: Home, base_folder: Callable[..., Path], loaded: Callable[[Path], Base]
) -> Callable[..., None]:
    """Return a function that imports a folder; nothing may be left behind when it fails."""

    def take(folder: Path, *, on: str = "bert", **settings: Any) -> None:
        name = register(home, loaded(base_folder(on)), base_folder(on))
        given: dict[str, Any] = {"details": LANGUAGE, "base": name, **settings}
        import_folder(folder, home=home, name="a", **given)

    return take


def set_config(folder: Path, **values: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

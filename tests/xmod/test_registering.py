"""Language modules of a base in the registry: names, tags, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite import Home, digests
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import WeightsFile
from adapterhub_lite.errors import (
    AttachError,
    CompositionError,
    MethodError,
    UsageError,
    WeightsError,
)
from adapterhub_lite.methods.xmod import LONGEST, Xmod, named, naming
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import load_base
from adapterhub_lite.model.base_modules import add_modules, tags_of
from adapterhub_lite.model.module_tables import module_names
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.models import save_tiny_base
from tests.xmod.conftest import MODULES, NAMES, Batch, Made, own


def test_names_survive_half_precision() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert [named(naming(name).to(dtype)) for name in NAMES] == list(NAMES)
    for broken in (torch.zeros(LONGEST), torch.full((LONGEST,), 0.5), torch.full((2,), 300.0)):
        with pytest.raises(MethodError, match="names no language module"):
            named(broken)
    for name in ("", "é", "x" * (LONGEST + 1)):
        with pytest.raises(MethodError, match="cannot name a language module"):
            naming(name)


def test_other_families_have_no_modules(made: Made, tmp_path: Any) -> None:
    home, _ = made("default")
    base = load_base(save_tiny_base(tmp_path, "roberta"))
    assert module_names(Anatomy(base.model, home.plugins().families)) == ()
    assert add_modules(home, base) == []
    with pytest.raises(MethodError, match="part `language_module`, which this model lacks"):
        random_adapter(base, Xmod(), {})


def test_modules_in_another_order_are_found_by_name(
    made: Made, batch: Batch, tmp_path: Any
) -> None:
    """A config may list the languages in another order; the weights are the same."""
    home, base = made("default")
    base.model.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    assert '"en_XX",\n    "gv_IM",\n    "sw_KE"' in config
    turned = config.replace(
        '"en_XX",\n    "gv_IM",\n    "sw_KE"', '"sw_KE",\n    "gv_IM",\n    "en_XX"'
    )
    (tmp_path / "config.json").write_text(turned)
    other = load_base(tmp_path)
    assert other.identity.fingerprint == base.identity.fingerprint
    with attach(other, "tiny-sw", home=home):
        assert torch.equal(logits(other, batch), own(base, batch, 2, 2, 2))


def test_adding_a_base_again_adds_nothing(made: Made) -> None:
    home, base = made("default")
    before = [adapter.digest for adapter in home.registry.find(kind="language")]
    assert sorted(adapter.digest for adapter in add_modules(home, base)) == sorted(before)
    assert [adapter.digest for adapter in home.registry.find(kind="language")] == before
    digests = {home.registry.get(name).manifest.config_digest for name in MODULES}
    assert len(digests) == 1
    assert all(home.registry.get(name).manifest.built_in for name in MODULES)


def test_a_name_that_is_taken_is_refused_before_anything_is_added(
    made: Made, tmp_path: Any
) -> None:
    _, base = made("default")
    home = Home.init(tmp_path / "home")
    other = load_base(save_tiny_base(tmp_path / "tiny", "xmod", seed=1))
    add_modules(home, other)
    home.registry.remove("tiny-en")
    with pytest.raises(UsageError, match="`tiny-gv` is an adapter already"):
        add_modules(home, base)
    assert home.registry.count() == 2


def test_tags_keep_a_region_only_where_it_tells_modules_apart() -> None:
    names = ("en_XX", "zh_CN", "zh_TW", "sw_KE", "tl_XX", "ar_AR", "sr_RS", "zh_yue")
    assert tags_of(names) == {
        "en_XX": "en",
        "zh_CN": "zh-CN",
        "zh_TW": "zh-TW",
        "sw_KE": "sw",
        "tl_XX": "fil",
        "ar_AR": "ar",
        "sr_RS": "sr",
        "zh_yue": "yue",
    }
    with pytest.raises(UsageError, match="several modules for `en`"):
        tags_of(["en_XX", "en"])


def test_a_module_that_the_base_lacks_is_refused(made: Made, tmp_path: Path) -> None:
    """The file's name for the module is not one of this base's."""
    from safetensors.torch import save_file

    home, base = made("default")
    path = tmp_path / manifests.WEIGHTS
    save_file({"shared.name": naming("gv_XX")}, path, metadata={"format": "pt"})
    weights = WeightsFile(digests.of_file(path), path.stat().st_size)
    manifest = replace(home.registry.get("tiny-gv").manifest, weights=weights)
    (tmp_path / manifests.FILE).write_text(manifests.dumps(manifest))
    home.add(tmp_path, name="tiny-xx")
    with pytest.raises((AttachError, WeightsError), match="no language module `gv_XX`"):
        attach(base, "tiny-xx", home=home)
    home.registry.remove("tiny-xx")
    with pytest.raises(CompositionError):
        attach(base, "stack(", home=home)

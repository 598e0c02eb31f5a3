"""Merging: a saved average is the written-out mean, invertible parts too, and has its parents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapterhub_lite.adapter import Adapter, Kind, LanguageUse, Manifest, Provider, Role
from adapterhub_lite.errors import CompositionError, MethodError, WeightsError
from adapterhub_lite.home import Home
from adapterhub_lite.merged import merge
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.plugins import Plugins
from adapterhub_lite.testing.adapters import logits
from tests.model.conftest import Make

CONFIG: dict[str, Any] = {"reduction": 4.0, "invertible": True}


@pytest.fixture
def base(bases: Any) -> Base:
    made: Base = bases("xlm-roberta")
    return made


@pytest.fixture
def home(tmp_path: Path, base: Base, make: Make, plugins: Plugins) -> Home:
    """A home with three bottleneck adapters of one config, one of another, two LoRAs."""
    home = Home.init(tmp_path / "home")
    saved = [
        ("zu", "bottleneck", CONFIG, "mit"),
        ("xh", "bottleneck", CONFIG, "mit"),
        ("rw", "bottleneck", CONFIG, "cc-by-4.0"),
        ("sn", "bottleneck", {"reduction": 2.0}, "mit"),
        ("yo", "lora", {"rank": 4}, "mit"),
        ("ig", "lora", {"rank": 4}, "mit"),
    ]
    for seed, (tag, method, config, licence) in enumerate(saved, start=1):
        adapter = make(base, method, tag, seed=seed, **config)
        manifest = Manifest(
            kind=Kind.LANGUAGE,
            languages=(LanguageUse(tag, Role.LANGUAGE),),
            base=base.identity,
            method=method,
            config=adapter.config.to_mapping(),
            provider=Provider("adapterhub_lite.methods", "1"),
            licence=licence,
            authors=(f"author of {tag}", "both"),
        )
        adapter.save(tmp_path / tag, manifest)
        home.add(tmp_path / tag, name=tag)
    return home


def weights(home: Home, adapter: Adapter) -> dict[str, torch.Tensor]:
    return load_file(home.folder_of(adapter) / "weights.safetensors")


def test_the_file_is_the_written_out_mean(home: Home) -> None:
    merged = merge("average(0.5*zu, 0.3*xh, 0.2*rw)", name="nguni", home=home)
    zu, xh, rw = (weights(home, home.registry.get(name)) for name in ("zu", "xh", "rw"))
    mean = {key: 0.5 * zu[key] + 0.3 * xh[key] + 0.2 * rw[key] for key in zu}
    found = weights(home, merged)
    assert any("shared" in key or "embeddings" in key for key in found), "the invertible part"
    assert found.keys() == mean.keys()
    for key, tensor in mean.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("average", ["average(0.5*zu, 0.3*xh, 0.2*rw)", "average(0.4*yo, 0.6*ig)"])
def test_the_saved_average_gives_what_the_attached_one_does(
    home: Home, base: Base, average: str
) -> None:
    merge(average, name="merged", home=home)
    batch = {"input_ids": torch.tensor([[0, 7, 8, 9, 2]]), "attention_mask": torch.ones(1, 5)}
    with attach(base, average, home=home):
        expected = logits(base, batch)
    with attach(base, "merged", home=home):
        torch.testing.assert_close(logits(base, batch), expected, atol=1e-5, rtol=0)
    assert (logits(base, batch) - expected).abs().max() > 1e-3


def test_parents_licences_and_authors_are_recorded(home: Home) -> None:
    merged = merge("average(0.75*zu, 0.25*rw)", name="m", home=home, language="ss").manifest
    zu, rw = home.registry.get("zu"), home.registry.get("rw")
    assert [(p.digest, p.weight) for p in merged.parents] == [(zu.digest, 0.75), (rw.digest, 0.25)]
    assert merged.tags() == ("ss",)
    assert merged.licence == "mit AND cc-by-4.0"
    assert merged.authors == ("author of zu", "both", "author of rw")
    assert merged.config_digest == zu.manifest.config_digest
    assert merged.training is None


def test_languages_are_the_members_where_none_is_named(home: Home) -> None:
    assert merge("average(zu, xh)", name="m", home=home).manifest.tags() == ("zu", "xh")


@pytest.mark.parametrize(
    ("average", "said"),
    [
        ("zu", "`zu` is no average"),
        ("average(zu, sn)", "configs"),
        ("average(zu, yo)", "methods bottleneck and lora"),
        ("average(0*zu, 0*xh)", "all weights"),
        ("average(stack(zu, xh), rw)", "over single adapters"),
    ],
)
def test_what_cannot_be_merged_is_refused(home: Home, average: str, said: str) -> None:
    before = home.registry.count()
    with pytest.raises(CompositionError, match=said):
        merge(average, name="m", home=home)
    assert home.registry.count() == before


def test_a_remote_member_is_refused(home: Home, base: Base) -> None:
    manifest = home.registry.get("zu").manifest
    from dataclasses import replace

    home.registry.add(replace(manifest, weights=None), name="far", remote=True)
    with pytest.raises(WeightsError, match="is remote"):
        merge("average(zu, far)", name="m", home=home)


def test_methods_without_an_average_say_so(plugins: Plugins) -> None:
    for method in plugins.methods.values():
        if not method.averages:
            with pytest.raises(MethodError, match="have no average"):
                method.average(method.Config(), [{}, {}], [0.5, 0.5])

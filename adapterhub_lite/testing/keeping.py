"""Checks of what an adapter is made from and kept as: config, seed, files, imports."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Kind, LanguageUse, Manifest, Provider, Role
from adapterhub_lite.errors import MethodError, WeightsError
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import (
    LoadedAdapter,
    check_weights,
    expected_shapes,
    read_weights,
)
from adapterhub_lite.plugins import HEAVY, load
from adapterhub_lite.testing import elsewhere
from adapterhub_lite.testing.adapters import logits
from adapterhub_lite.testing.kit import Bases, Batch, Kit


class Keeping(Kit):
    """Checks of configs, weights and files."""

    def test_same_seed_same_bytes(self, bases: Bases, family: str) -> None:
        base = bases(family)
        first, again = (self.adapter(base, scale=0, seed=7).weights for _ in range(2))
        other = [key for key in first if not torch.equal(first[key], again[key])]
        assert not other, f"drawn twice with one seed, {other} differ"

    def test_fresh_weights_are_float32_and_apart(self, bases: Bases, family: str) -> None:
        weights = self.adapter(bases(family), scale=0).weights
        other = {key: str(t.dtype) for key, t in weights.items() if t.dtype != torch.float32}
        assert not other, f"fresh weights are float32, found {other}"
        owners: dict[int, str] = {}
        for key, tensor in weights.items():
            first = owners.setdefault(tensor.untyped_storage().data_ptr(), key)
            assert first == key, f"`{first}` and `{key}` share memory: training one changes both"
            values = tensor.untyped_storage().nbytes() // tensor.element_size()
            assert values >= tensor.numel(), (
                f"`{key}` is expanded from fewer numbers, which share memory: add `.clone()`"
            )

    def test_save_and_load(self, bases: Bases, batch: Batch, family: str, tmp_path: Path) -> None:
        base = bases(family)
        adapter = self.adapter(base)
        adapter.save(tmp_path, self._manifest(base, adapter))
        again = self._read(base, tmp_path)
        assert again.config == adapter.config, "the config is another after loading"
        assert all(torch.equal(again.weights[k], v) for k, v in adapter.weights.items())
        named = {name: self.composition(name) for name in "ab"}
        with attach(base, named, adapters=self.adapters(base, adapter, again)) as attached:
            attached.use("a")
            expected = logits(base, batch)
            attached.use("b")
            torch.testing.assert_close(logits(base, batch), expected, atol=1e-5, rtol=0)

    def test_another_process_computes_the_same(
        self, bases: Bases, batch: Batch, tmp_path: Path
    ) -> None:
        """Saved here, and read in an interpreter with other hashes and no state of this one."""
        family = self.families[0]
        base = bases(family)
        adapters = self.adapters(base, self.adapter(base))
        with attach(base, self.composition(), adapters=adapters):
            expected = logits(base, batch)
        for adapter in adapters.values():
            config = adapter.config.to_mapping()
            order = elsewhere.Order(
                adapter.ref, adapter.kind.value, config, adapter.leave_out, adapter.digest
            )
            elsewhere.write(tmp_path, order, adapter.method, adapter.weights)
        found = elsewhere.compute(tmp_path, family, self.composition(), batch)
        difference = (found - expected).abs().max().item()
        assert difference < 1e-4, (
            f"in another process the same adapter has other outputs, by {difference:.1e}: it "
            "depends on Python's `hash`, on time, or on what was computed before"
        )

    def _read(self, base: Base, folder: Path) -> LoadedAdapter:
        """Return an adapter from its folder, checked as the host checks it: on no device."""
        manifest = manifests.read(folder)
        config = self.method.Config.from_mapping(manifest.config)
        plugins = load()
        anatomy = Anatomy(base.model, plugins.families)
        shapes = expected_shapes(anatomy, self.method, config, manifest, plugins)
        weights = read_weights(folder, manifest, shapes)
        check_weights("a", weights, shapes)
        self.method.check_weights("a", config, weights)
        return LoadedAdapter("b", manifest.kind, self.method, config, weights)

    def test_tensors_that_do_not_fit_are_refused_by_name(self, bases: Bases, family: str) -> None:
        base = bases(family)
        adapter = self.adapter(base)
        expected = {
            key: tensor.shape for key, tensor in self.adapter(base, scale=0).weights.items()
        }
        check_weights("a", adapter.weights, expected)
        key = min(adapter.weights)
        without = {k: v for k, v in adapter.weights.items() if k != key}
        with pytest.raises(WeightsError, match=key):
            check_weights("a", without, expected)
        with pytest.raises(WeightsError, match=r"surplus\.0\.x"):
            check_weights("a", {**adapter.weights, "surplus.0.x": torch.zeros(1)}, expected)
        wider = {**adapter.weights, key: torch.zeros(*adapter.weights[key].shape, 2)}
        with pytest.raises(WeightsError, match=key):
            check_weights("a", wider, expected)

    def test_left_out_layers_have_no_weights(self, bases: Bases, family: str) -> None:
        base = bases(family)
        sites = self.method.sites(
            Anatomy(base.model, load().families), self._config(), leave_out=[1]
        )
        left = [site.key for site in sites if site.layer == 1]
        assert not left, f"layer 1 is left out, but {left} are touched"
        every = self.method.sites(Anatomy(base.model, load().families), self._config(), ())
        expected = {site.key for site in every if site.layer != 1}
        changed = sorted({site.key for site in sites} ^ expected)
        assert not changed, f"with layer 1 left out, its neighbours change: {changed}"

    def test_the_config_is_frozen_and_survives_json(self) -> None:
        config = self._config()
        again = type(config).from_mapping(json.loads(json.dumps(config.to_mapping())))
        assert again == config, "the config is another after JSON"
        assert hash(again) == hash(config), "equal configs have different hashes"
        field = next(iter(dataclasses.fields(config)), None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field.name if field else "any", None)
        with pytest.raises(MethodError, match="no field `no_such_field`"):
            type(config).from_mapping({"no_such_field": 1})

    def test_every_option_has_help(self) -> None:
        bare = [info.name for info in self.method.Config.describe() if not info.help]
        assert not bare, f"`ahl methods` has no help for {bare}"

    def test_importing_the_plugin_does_not_import_torch(self) -> None:
        path = inspect.getfile(type(self.method))
        code = (
            "import importlib.util, sys\n"
            f"spec = importlib.util.spec_from_file_location('plugin_under_test', {path!r})\n"
            "module = importlib.util.module_from_spec(spec)\n"
            "sys.modules['plugin_under_test'] = module\n"
            "spec.loader.exec_module(module)\n"
            f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"cannot be imported by itself: {done.stderr}"
        found = done.stdout.strip().splitlines()[-1]
        assert found == "[]", f"importing `{path}` imports {found}; import it inside functions"

    def _manifest(self, base: Base, adapter: LoadedAdapter) -> Manifest:
        return Manifest(
            kind=Kind.LANGUAGE,
            languages=(LanguageUse("sw", Role.LANGUAGE),),
            base=base.identity,
            method=self.method.name,
            config=adapter.config.to_mapping(),
            provider=Provider("test", "1"),
        )

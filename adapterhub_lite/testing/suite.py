"""The conformance kit: subclass `MethodSuite`, write one worked example by hand, run pytest.

    from adapterhub_lite.testing import MethodSuite

    class TestIA3(MethodSuite):
        method = IA3()

        def expected(self, x, weight, bias, own):
            return (x @ weight.T + bias) * own["scale"]

Every check runs on tiny random models of the families in the anatomy table.  The worked example is
required: a method that scales by the wrong factor passes everything else.  Its gradients are
compared as well, so write it with torch operations.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from adapterhub_lite.adapter import Kind, LanguageUse, Manifest, Provider, Role
from adapterhub_lite.errors import MethodError, WeightsError
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.methods.base import Method
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.loaded import LoadedAdapter, check_weights, read_weights
from adapterhub_lite.plugins import load
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.models import MODEL_TYPES, save_tiny_base
from adapterhub_lite.testing.worked import WorkedExample

Bases = Callable[[str], Base]
Batch = dict[str, Tensor]


class MethodSuite(WorkedExample):
    """Checks that every method must pass.  Subclass it and set `method`.

    Attributes:
        method: the method under test.
        config: config values to test with; small ones find more.
        families: model types to run on; all that have an anatomy row by default.
        starts_as_identity: a fresh adapter changes nothing.
        stacks: two adapters of this method may stand on one another.
    """

    method: ClassVar[Method]
    config: ClassVar[Mapping[str, Any]] = {}
    families: ClassVar[tuple[str, ...]] = MODEL_TYPES
    starts_as_identity: ClassVar[bool] = True
    stacks: ClassVar[bool] = True

    @pytest.fixture(scope="class")
    @classmethod
    def bases(cls, tmp_path_factory: pytest.TempPathFactory) -> Bases:
        folder: Path = tmp_path_factory.mktemp("bases")
        made: dict[str, Base] = {}

        def base(family: str) -> Base:
            if family not in made:
                made[family] = load_base(save_tiny_base(folder / family, family))
            return made[family]

        return base

    @pytest.fixture
    def batch(self) -> Batch:
        generator = torch.Generator().manual_seed(5)
        ids = torch.randint(5, 90, (3, 6), generator=generator)
        mask = torch.ones_like(ids)
        ids[1, 4:], mask[1, 4:] = 1, 0
        return {"input_ids": ids, "attention_mask": mask}

    def adapter(self, base: Base, ref: str = "a", **settings: Any) -> LoadedAdapter:
        """Return an adapter of this method with random weights (fresh when `scale=0`)."""
        return random_adapter(base, self.method, self.config, ref=ref, **settings)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "family" in metafunc.fixturenames:
            metafunc.parametrize("family", self.families)

    def test_a_fresh_adapter_changes_nothing(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        plain = logits(base, batch)
        with attach(base, "a", adapters={"a": self.adapter(base, scale=0)}):
            same = torch.equal(logits(base, batch), plain)
        assert same == self.starts_as_identity

    def test_every_weight_matters(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        keys = list(self.adapter(base).weights)
        with attach(base, "a", adapters={"a": self.adapter(base)}):
            full = logits(base, batch)
        idle = []
        for key in keys:
            adapter = self.adapter(base)
            adapter.weights[key] = adapter.weights[key] * 1.5 + 0.1
            with attach(base, "a", adapters={"a": adapter}):
                if torch.equal(logits(base, batch), full):
                    idle.append(key)
        assert not idle, f"no effect on the output: {idle}"
        plain = logits(base, batch)
        assert not torch.equal(full, plain), "a trained adapter changes nothing"

    def test_gradients_reach_all_own_weights_and_no_other(
        self, bases: Bases, batch: Batch, family: str
    ) -> None:
        base = bases(family)
        adapter = self.adapter(base)
        with attach(base, "a", adapters={"a": adapter}, trainable=["a"]) as attached:
            base.model(**batch).logits.square().mean().backward()
            gradients = {k: p.grad for k, p in attached.parameters_of("a").items()}
        cut = [k for k, g in gradients.items() if g is None or not g.abs().sum() > 0]
        assert not cut, f"no gradient reaches {cut}"
        assert all(p.grad is None for p in base.model.parameters()), "the base got a gradient"

    def test_detach_restores_everything(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        before = {key: value.clone() for key, value in base.model.state_dict().items()}
        hooks, plain = _hooks(base), logits(base, batch)
        with attach(base, "a", adapters={"a": self.adapter(base)}):
            assert list(base.model.state_dict()) == list(before), "the base's keys changed"
            logits(base, batch)
        after = base.model.state_dict()
        assert all(torch.equal(before[k], v) for k, v in after.items()), "base weights changed"
        assert _hooks(base) == hooks, "hooks are left"
        assert torch.equal(logits(base, batch), plain), "outputs changed"

    def test_nested_attachments_unwind(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        adapters = {"a": self.adapter(base), "b": self.adapter(base, "b", seed=2)}
        plain = logits(base, batch)
        with attach(base, "a", adapters=adapters):
            outer = logits(base, batch)
            with attach(base, "b", adapters=adapters):
                assert not torch.equal(logits(base, batch), outer)
            assert torch.equal(logits(base, batch), outer)
        assert torch.equal(logits(base, batch), plain)

    def test_rows_equal_separate_runs(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        adapters = {"a": self.adapter(base), "b": self.adapter(base, "b", seed=2)}
        rows = ["b", None, "a"]
        with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
            alone = []
            for name in rows:
                attached.use(name)
                alone.append(logits(base, batch))
            with attached.rows(rows):
                mixed = logits(base, batch)
        for number, expected in enumerate(alone):
            visible = batch["attention_mask"][number].bool()
            found = mixed[number][visible]
            torch.testing.assert_close(found, expected[number][visible], atol=5e-5, rtol=0)

    def test_runs_of_two_in_both_orders(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        adapters = {"a": self.adapter(base), "b": self.adapter(base, "b", seed=2)}
        if not self.stacks:
            with pytest.raises(MethodError):
                attach(base, "stack(a, b)", adapters=adapters)
            return
        named = {name: name for name in ("a", "b", "stack(a, b)", "stack(b, a)")}
        with attach(base, named, adapters=adapters) as attached:
            found = {}
            for name in named:
                attached.use(name)
                found[name] = logits(base, batch)
        for stack in ("stack(a, b)", "stack(b, a)"):
            assert torch.isfinite(found[stack]).all()
            for single in ("a", "b"):
                assert not torch.equal(found[stack], found[single]), f"{stack} is only {single}"

    def test_over_a_language_adapter(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        language = random_adapter(base, load().method("bottleneck"), {}, ref="language", seed=3)
        adapters = {"a": self.adapter(base), "language": language}
        reason = self.method.follows(adapters["a"].config, language.method, language.config)
        if reason is not None:
            return
        with attach(base, "language", adapters=adapters):
            below = logits(base, batch)
        with attach(base, "stack(language, a)", adapters=adapters):
            assert not torch.equal(logits(base, batch), below)

    def test_half_precision(self, tmp_path: Path, batch: Batch, family: str) -> None:
        base = load_base(save_tiny_base(tmp_path, family), dtype="bfloat16")
        plain = logits(base, batch)
        with attach(base, "a", adapters={"a": self.adapter(base)}):
            found = logits(base, batch)
        assert found.dtype == torch.bfloat16
        assert torch.isfinite(found).all()
        assert torch.equal(logits(base, batch), plain)

    def test_a_few_steps_lower_the_loss(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        adapter = self.adapter(base, scale=0)
        visible = batch["attention_mask"].bool()
        losses = []
        with attach(base, "a", adapters={"a": adapter}, trainable=["a"]) as attached:
            optimizer = torch.optim.Adam(attached.parameters_of("a").values(), lr=0.005)
            for _ in range(12):
                scores = base.model(**batch).logits[visible]
                loss = torch.nn.functional.cross_entropy(scores, batch["input_ids"][visible])
                losses.append(loss.item())
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
        assert losses[-1] < losses[0], f"the loss did not fall: {losses[0]:.4f} to {losses[-1]:.4f}"

    def test_same_seed_same_bytes(self, bases: Bases, family: str) -> None:
        base = bases(family)
        first, again = (self.adapter(base, scale=0, seed=7).weights for _ in range(2))
        assert all(torch.equal(first[key], again[key]) for key in first)

    def test_save_and_load(self, bases: Bases, batch: Batch, family: str, tmp_path: Path) -> None:
        base = bases(family)
        adapter = self.adapter(base)
        manifest = adapter.save(tmp_path, self._manifest(base, adapter))
        again = dataclasses.replace(adapter, weights=read_weights(tmp_path, manifest))
        assert again.weights.keys() == adapter.weights.keys()
        assert all(torch.equal(again.weights[k], v) for k, v in adapter.weights.items())
        with attach(base, {"a": "a", "b": "b"}, adapters={"a": adapter, "b": again}) as attached:
            attached.use("a")
            expected = logits(base, batch)
            attached.use("b")
            torch.testing.assert_close(logits(base, batch), expected, atol=1e-5, rtol=0)

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
        assert all(site.layer != 1 for site in sites)

    def test_the_config_is_frozen_and_survives_json(self) -> None:
        config = self._config()
        again = type(config).from_mapping(json.loads(json.dumps(config.to_mapping())))
        assert again == config
        assert hash(again) == hash(config)
        name = dataclasses.fields(config)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, name, None)
        with pytest.raises(MethodError, match="no field `no_such_field`"):
            type(config).from_mapping({"no_such_field": 1})

    def test_every_option_has_help(self) -> None:
        assert all(info.help for info in self.method.Config.describe())

    def test_importing_the_plugin_does_not_import_torch(self) -> None:
        path = inspect.getfile(type(self.method))
        code = (
            "import importlib.util, sys\n"
            f"spec = importlib.util.spec_from_file_location('plugin_under_test', {path!r})\n"
            "module = importlib.util.module_from_spec(spec)\n"
            "sys.modules['plugin_under_test'] = module\n"
            "spec.loader.exec_module(module)\n"
            "print([name for name in ('torch', 'transformers') if name in sys.modules])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.stdout.strip() == "[]", done.stdout + done.stderr

    def test_merged_equals_unmerged(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        anatomy = Anatomy(base.model, load().families)
        adapter = self.adapter(base, scale=0.1)
        config = self._config()
        deltas = [
            self.method.delta(site, config, adapter.at(site))
            for site in self.method.sites(anatomy, config, ())
            if site.part in LINEAR_PARTS
        ]
        if not deltas or any(delta is None for delta in deltas):
            return
        with attach(base, "a", adapters={"a": adapter}):
            unmerged = logits(base, batch)
        with attach(base, "a", adapters={"a": adapter}, merge=True):
            torch.testing.assert_close(logits(base, batch), unmerged, atol=1e-4, rtol=0)

    def _config(self) -> Any:
        return self.method.Config.from_mapping(self.config)

    def _manifest(self, base: Base, adapter: LoadedAdapter) -> Manifest:
        return Manifest(
            kind=Kind.LANGUAGE,
            languages=(LanguageUse("sw", Role.LANGUAGE),),
            base=base.identity,
            method=self.method.name,
            config=adapter.config.to_mapping(),
            provider=Provider("test", "1"),
        )


def _hooks(base: Base) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in base.model.modules()
    )

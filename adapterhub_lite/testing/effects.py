"""Checks of what an adapter does on a model: effect, gradients, and that it leaves again."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from adapterhub_lite.errors import AttachError, CompositionError, MethodError
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.plugins import load
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.kit import Bases, Batch, Kit


class Effects(Kit):
    """Checks on models of every family."""

    def test_a_fresh_adapter_changes_nothing(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        adapters = self.adapters(base, self.adapter(base, scale=0), twins=True)
        below = self.members[0] if self.method.fuses else None
        with attach(base, {"below": below, "a": self.composition()}, adapters=adapters) as attached:
            attached.use("below")
            plain = logits(base, batch)
            attached.use("a")
            found = logits(base, batch)
        if self.method.fuses:  # weights that sum to one do so but for rounding
            same = torch.allclose(found, plain, atol=1e-5, rtol=0)
        else:
            same = torch.equal(found, plain)
        assert same or not self.starts_as_identity, "a fresh adapter changes the output"
        assert not same or self.starts_as_identity, "a fresh adapter changes nothing"

    def test_every_weight_matters(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        keys = list(self.adapter(base).weights)
        with self.attach(base, self.adapter(base)):
            full = logits(base, batch)
        idle = []
        for key in keys:
            adapter = self.adapter(base)
            adapter.weights[key] = adapter.weights[key] * 1.5 + 0.1
            with self.attach(base, adapter):
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
        with self.attach(base, adapter, trainable=["a"]) as attached:
            base.model(**batch).logits.square().mean().backward()
            gradients = {k: p.grad for k, p in attached.parameters_of("a").items()}
        cut = [k for k, g in gradients.items() if g is None or not g.abs().sum() > 0]
        assert not cut, f"no gradient reaches {cut}"
        assert all(p.grad is None for p in base.model.parameters()), "the base got a gradient"

    def test_detach_restores_everything(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        before = {key: value.clone() for key, value in base.model.state_dict().items()}
        hooks, plain = _hooks(base), logits(base, batch)
        with self.attach(base, self.adapter(base)):
            assert list(base.model.state_dict()) == list(before), "the base's keys changed"
            logits(base, batch)
        after = base.model.state_dict()
        assert all(torch.equal(before[k], v) for k, v in after.items()), "base weights changed"
        assert _hooks(base) == hooks, "hooks are left"
        assert torch.equal(logits(base, batch), plain), "outputs changed"

    def test_nested_attachments_unwind(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        plain = logits(base, batch)
        with self.attach(base, self.adapter(base)):
            outer = logits(base, batch)
            with self.attach(base, self.adapter(base, "b", seed=2)):
                inner = logits(base, batch)
                assert not torch.equal(inner, outer), "the second adapter has no effect of its own"
            assert torch.equal(logits(base, batch), outer), "the first adapter is not as before"
        assert torch.equal(logits(base, batch), plain), "the base is not as before"

    def test_rows_equal_separate_runs(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        adapters = self.adapters(base, self.adapter(base), self.adapter(base, "b", seed=2))
        rows = ["b", None, "a"]
        named = {name: self.composition(name) for name in "ab"}
        with attach(base, named, adapters=adapters) as attached:
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
        adapters = self.adapters(base, self.adapter(base), self.adapter(base, "b", seed=2))
        a, b = self.composition("a"), self.composition("b")
        if not self.stacks:
            with pytest.raises(AttachError, match="cannot stand on"):
                attach(base, f"stack({a}, {b})", adapters=adapters)
            return
        named = {
            "a": a,
            "b": b,
            "stack(a, b)": f"stack({a}, {b})",
            "stack(b, a)": f"stack({b}, {a})",
        }
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
        adapters = self.adapters(base, self.adapter(base), language)
        composition = f"stack(language, {self.composition()})"
        reason = self.method.follows(adapters["a"].config, language.method, language.config)
        if reason is not None:
            with pytest.raises(AttachError, match=re.escape(reason)):
                attach(base, composition, adapters=adapters)
            return
        with attach(base, "language", adapters=adapters):
            below = logits(base, batch)
        with attach(base, composition, adapters=adapters):
            assert not torch.equal(logits(base, batch), below)

    def test_every_member_matters(self, bases: Bases, batch: Batch, family: str) -> None:
        if not self.method.fuses:
            return  # it has none
        base = bases(family)
        adapters = self.adapters(base, self.adapter(base))
        with attach(base, self.composition(), adapters=adapters):
            full = logits(base, batch)
        for ref in self.members:
            other = dataclasses.replace(self.member(base, ref, 70), digest=adapters[ref].digest)
            with attach(base, self.composition(), adapters={**adapters, ref: other}):
                assert not torch.equal(logits(base, batch), full), f"member `{ref}` has no effect"

    def test_other_members_are_refused(self, bases: Bases, family: str) -> None:
        base = bases(family)
        adapters = self.adapters(base, self.adapter(base))
        if not self.method.fuses:
            below = random_adapter(base, load().method("bottleneck"), {}, ref="below")
            with pytest.raises(CompositionError, match="provides `fuse`"):
                attach(base, "stack(fuse(below), a)", adapters={**adapters, "below": below})
            return
        attach(base, self.composition(), adapters=adapters).detach()
        backwards = ", ".join(reversed(self.members))
        for other in (f"stack(fuse({backwards}), a)", f"stack(fuse({self.members[0]}), a)", "a"):
            with pytest.raises(CompositionError, match="was trained to fuse"):
                attach(base, other, adapters=adapters).detach()

    def test_half_precision(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family, dtype="bfloat16")
        plain = logits(base, batch)
        with self.attach(base, self.adapter(base)):
            found = logits(base, batch)
        assert found.dtype == torch.bfloat16
        assert torch.isfinite(found).all()
        assert torch.equal(logits(base, batch), plain)

    def test_a_few_steps_lower_the_loss(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        adapter = self.adapter(base, scale=0)
        visible = batch["attention_mask"].bool()
        losses = []
        with self.attach(base, adapter, trainable=["a"]) as attached:
            optimizer = torch.optim.Adam(attached.parameters_of("a").values(), lr=0.005)
            for _ in range(12):
                scores = base.model(**batch).logits[visible]
                loss = torch.nn.functional.cross_entropy(scores, batch["input_ids"][visible])
                losses.append(loss.item())
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
        assert losses[-1] < losses[0], f"the loss did not fall: {losses[0]:.4f} to {losses[-1]:.4f}"

    def test_merged_equals_unmerged(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        adapter = self.adapter(base, scale=0.1)
        if not self._merges(base, adapter):
            return
        with self.attach(base, adapter):
            unmerged = logits(base, batch)
        with self.attach(base, adapter, merge=True):
            torch.testing.assert_close(logits(base, batch), unmerged, atol=1e-4, rtol=0)

    def test_two_merged_equal_two_unmerged(self, bases: Bases, batch: Batch, family: str) -> None:
        """The upper adapter's change starts from the weight with the lower one's already in it."""
        base = bases(family)
        adapters = self.adapters(
            base, self.adapter(base, scale=0.1), self.adapter(base, "b", seed=2, scale=0.1)
        )
        if not self.stacks or self.method.fuses or not self._merges(base, adapters["a"]):
            return
        with attach(base, "stack(a, b)", adapters=adapters):
            unmerged = logits(base, batch)
        with attach(base, "stack(a, b)", adapters=adapters, merge=True):
            difference = (logits(base, batch) - unmerged).abs().max().item()
        assert difference < 1e-4, (
            f"merged, a stack of two is off by {difference:.1e}: `delta` must start from "
            "`site.weight`, which has the changes of the adapters below in it, as `step` does"
        )

    def test_the_mean_of_an_adapter_with_itself(
        self, bases: Bases, batch: Batch, family: str
    ) -> None:
        base = bases(family)
        adapter = self.adapter(base)
        with self.attach(base, adapter):
            expected = logits(base, batch)
        try:
            config, weights = self.method.average(
                self._config(), [adapter.weights, adapter.weights], [0.25, 0.75]
            )
        except MethodError:
            assert not self.method.averages, "`averages` says that it can"
            return
        assert self.method.averages, "`averages` says that it cannot"
        mean = dataclasses.replace(adapter, config=config, weights=weights)
        with self.attach(base, mean):
            torch.testing.assert_close(logits(base, batch), expected, atol=1e-4, rtol=0)

    def _merges(self, base: Base, adapter: LoadedAdapter) -> bool:
        anatomy = Anatomy(base.model, load().families)
        deltas = [
            self.method.delta(site, adapter.config, adapter.at(site))
            for site in self.method.sites(anatomy, adapter.config, ())
            if site.part in LINEAR_PARTS
        ]
        return bool(deltas) and all(delta is not None for delta in deltas)


def _hooks(base: Base) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in base.model.modules()
    )

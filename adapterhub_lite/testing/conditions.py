"""Checks of one adapter under other conditions: lengths, padding, caches, precision, training.

An adapter must do the same thing whatever stands beside the text it works on.  Each check compares
two ways of computing one result; what a method may not depend on is what differs between the two.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.testing.adapters import logits
from adapterhub_lite.testing.kit import Bases, Batch, Kit
from adapterhub_lite.testing.models import DECODERS

CLOSE = 1e-4
"""Largest difference of two ways to compute one float32 result."""
_SHARED = (
    "several threads at once compute something else than one: the method keeps on itself what "
    "belongs to one call"
)
ROUNDED = 0.25
"""Largest share of an adapter's effect that half precision may change."""


class Conditions(Kit):
    """Checks on models of every family."""

    def test_padding_changes_nothing(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        with self.attach(base, self.adapter(base)):
            together = logits(base, batch)
            for number, length in enumerate(batch["attention_mask"].sum(1).tolist()):
                alone = logits(base, {k: v[number : number + 1, :length] for k, v in batch.items()})
                _same(
                    together[number, :length],
                    alone[0],
                    "a text beside longer ones has other outputs than alone: does the method look "
                    "at padding, or at how long the batch is?",
                )

    def test_padding_on_the_left_changes_nothing(
        self, bases: Bases, batch: Batch, family: str
    ) -> None:
        if family not in DECODERS:
            return  # encoders are padded on the right
        base = bases(family)
        ids = batch["input_ids"][:1, :4]
        padded = torch.cat([torch.full((1, 2), 1), ids], dim=1)
        mask = torch.tensor([[0, 0, 1, 1, 1, 1]])
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        with self.attach(base, self.adapter(base)):
            alone = logits(base, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
            moved = logits(
                base, {"input_ids": padded, "attention_mask": mask, "position_ids": positions}
            )
        _same(
            moved[0, 2:],
            alone[0],
            "padding on the left changes the outputs: the method takes a token's place in the "
            "tensor for its position in the text",
        )

    def test_a_cache_changes_nothing(self, bases: Bases, batch: Batch, family: str) -> None:
        if family not in DECODERS:
            return  # encoders have no cache
        base = bases(family)
        ids = batch["input_ids"][:1]
        with self.attach(base, self.adapter(base)), torch.no_grad():
            whole = base.model(input_ids=ids).logits
            cache, steps = None, []
            for at in range(ids.shape[1]):
                token = ids[:, at : at + 1]
                result = base.model(input_ids=token, past_key_values=cache, use_cache=True)
                cache = result.past_key_values
                steps.append(result.logits)
        _same(
            torch.cat(steps, dim=1)[0],
            whole[0],
            "with a key-value cache, one token at a time, the outputs are others than at once: "
            "the method depends on how many tokens a pass has, or on their place in it",
        )

    def test_no_token_reads_a_later_one(self, bases: Bases, batch: Batch, family: str) -> None:
        if family not in DECODERS:
            return  # encoders read in both directions
        base = bases(family)
        other = {key: value.clone() for key, value in batch.items()}
        other["input_ids"][:, -1] = 7
        with self.attach(base, self.adapter(base)):
            first, second = logits(base, batch), logits(base, other)
        _same(first[0, :-1], second[0, :-1], "an earlier token's output follows a later token")

    def test_half_precision_is_close(self, bases: Bases, batch: Batch, family: str) -> None:
        effects = []
        for dtype in ("float32", "bfloat16"):
            base = bases(family, dtype=dtype)
            plain = logits(base, batch)
            with self.attach(base, self.adapter(base)):
                effects.append((logits(base, batch) - plain).float())
        visible = batch["attention_mask"].bool()
        exact, rounded = (effect[visible] for effect in effects)
        share = ((rounded - exact).norm() / exact.norm()).item()
        assert share < ROUNDED, f"in bfloat16 the adapter's effect is another one, by {share:.0%}"

    def test_training_mode_without_dropout_is_evaluation(
        self, bases: Bases, batch: Batch, family: str
    ) -> None:
        base = bases(family)
        with self.attach(base, self.adapter(base)):
            expected = logits(base, batch)
            with _training(base):
                found = logits(base, batch)
        _same(found[0], expected[0], "with dropout off, training has other outputs than evaluation")

    def test_a_step_is_seen_in_evaluation(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        adapter = self.adapter(base)
        with self.attach(base, adapter, trainable=["a"]) as attached:
            before = logits(base, batch)
            parameters = attached.parameters_of("a")
            optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
            base.model(**batch).logits.square().mean().backward()
            optimizer.step()
            after = logits(base, batch)
            weights = attached.state_of("a")
        assert not torch.equal(after, before), (
            "evaluated after a step, the outputs are those before it: the method keeps something "
            "that was computed from the old weights"
        )
        again = self.adapter(base)
        again.weights = weights
        with self.attach(base, again):
            _same(after[0], logits(base, batch)[0], "after a step the adapter is not its weights")

    def test_a_pass_leaves_no_trace(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        with self.attach(base, self.adapter(base)):
            first = logits(base, batch)
            logits(base, {key: value[:1, :3] for key, value in batch.items()})
            assert torch.equal(logits(base, batch), first), (
                "a second pass has other outputs: the method counts or keeps something"
            )

    def test_threads_compute_what_one_does(self, bases: Bases, batch: Batch, family: str) -> None:
        if family not in (self.families[0], DECODERS[0]):
            return  # what threads share does not differ from family to family
        base = bases(family)
        adapters = self.adapters(base, self.adapter(base), self.adapter(base, "b", seed=2))
        jobs = [
            (name, {key: value[:, :length] for key, value in batch.items()})
            for name, length in (("a", 6), ("b", 6), ("a", 3), ("b", 4))
        ]
        named = {name: self.composition(name) for name in "ab"}
        with attach(base, named, adapters=adapters) as attached, _switching_often():

            def run(job: tuple[str, Batch]) -> Tensor:
                with attached.rows(job[0]):
                    return logits(base, job[1])

            alone = [run(job) for job in jobs]

            def differs(number: int) -> bool:
                results = [run(jobs[number]) for _ in range(4)]
                return any(not torch.allclose(r, alone[number], atol=CLOSE) for r in results)

            with ThreadPoolExecutor(len(jobs)) as pool:
                try:
                    wrong = [n for n, bad in enumerate(pool.map(differs, range(len(jobs)))) if bad]
                except (RuntimeError, LookupError, AttributeError) as error:
                    raise AssertionError(f"{_SHARED}: {error}") from error
        assert not wrong, _SHARED

    def test_random_numbers_are_left_alone(self, bases: Bases, batch: Batch, family: str) -> None:
        base = bases(family)
        with self.attach(base, self.adapter(base)), torch.random.fork_rng(devices=[]):
            torch.manual_seed(2026)
            states = torch.get_rng_state(), random.getstate()
            logits(base, batch)
            assert torch.equal(torch.get_rng_state(), states[0]), (
                "a pass in evaluation draws from torch's global generator or seeds it"
            )
            assert random.getstate() == states[1], "a pass draws from Python's `random`"


@contextmanager
def _switching_often() -> Iterator[None]:
    """Let Python change from thread to thread as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _same(found: Tensor, expected: Tensor, message: str) -> None:
    difference = (found - expected).abs().max().item()
    limit = CLOSE * max(1.0, expected.abs().max().item())
    assert difference < limit, f"{message} (off by {difference:.1e})"


@contextmanager
def _training(base: Base) -> Iterator[None]:
    """Put a model into training mode with every dropout at zero, and back."""
    layers = [module for module in base.model.modules() if isinstance(module, nn.Dropout)]
    rates = [layer.p for layer in layers]
    for layer in layers:
        layer.p = 0.0
    base.model.train()
    try:
        yield
    finally:
        base.model.eval()
        for layer, rate in zip(layers, rates, strict=True):
            layer.p = rate

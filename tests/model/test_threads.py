"""Many threads on one attachment: each gets what one thread gets, or a clear error."""

from __future__ import annotations

import asyncio
import contextvars
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import adapterhub_lite as ahl
from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.attach import Attachment, attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.prediction import Predicted
from adapterhub_lite.testing.adapters import logits
from adapterhub_lite.testing.models import save_tiny_base

Bases = Callable[[str], Base]
Make = Callable[..., LoadedAdapter]
Batch = dict[str, Tensor]

LABELS = ("NOUN", "VERB", "ADJ")
STACKS = {
    "one": "stack(invertible, task)",
    "two": "stack(lora, task)",
    "three": "stack(prefix, other)",
    "four": "other",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A base of one layer: these tests run it thousands of times."""
    return load_base(
        save_tiny_base(tmp_path_factory.mktemp("small"), "xlm-roberta", num_hidden_layers=1)
    )


def _adapters(base: Base, make: Make) -> dict[str, LoadedAdapter]:
    adapters = {
        "invertible": make(base, "bottleneck", "invertible", invertible=True, reduction=2),
        "lora": make(base, "lora", "lora", seed=2, rank=3),
        "prefix": make(base, "prefix", "prefix", seed=3, length=3),
        "task": make(base, "bottleneck", "task", seed=4),
        "other": make(base, "bottleneck", "other", seed=5),
    }
    for seed, name in enumerate(("task", "other")):
        generator = torch.Generator().manual_seed(seed)
        adapters[name].head = HeadSpec("token-classification", LABELS)
        adapters[name].weights |= {
            "head.weight": torch.randn(len(LABELS), 32, generator=generator),
            "head.bias": torch.randn(len(LABELS), generator=generator),
        }
    return adapters


@contextmanager
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _requests() -> list[tuple[list[str], list[str]]]:
    """Twenty-five requests of one to four texts, of one to twelve words, with a stack each."""
    draw = random.Random(0)
    requests = []
    for _ in range(25):
        texts = [
            " ".join(f"w{draw.randrange(5, 95)}" for _ in range(draw.randrange(1, 13)))
            for _ in range(draw.randrange(1, 5))
        ]
        requests.append((texts, [draw.choice(list(STACKS)) for _ in texts]))
    return requests


def _same(results: list[Predicted], expected: list[Predicted]) -> bool:
    return all(
        one.labels == other.labels
        and one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
        for one, other in zip(results, expected, strict=True)
    )


@pytest.mark.parametrize("often", [False, True])
def test_eight_threads_predict_what_one_does(small: Base, make: Make, *, often: bool) -> None:
    """200 predictions a thread, over mixed rows and lengths; numbers are those of one thread."""
    ids = torch.tensor([[0, 7, 8, 9, 2]])
    plain = logits(small, {"input_ids": ids})
    requests = _requests()
    with attach(small, STACKS, adapters=_adapters(small, make)) as attached:
        expected = [ahl.predict(t, attachment=attached, rows=rows) for t, rows in requests]
        start = threading.Barrier(8)

        def work(seed: int) -> list[int]:
            order = [number % 25 for number in range(200)]
            random.Random(seed).shuffle(order)
            start.wait()
            wrong = []
            for number in order:
                texts, rows = requests[number]
                results = ahl.predict(texts, attachment=attached, rows=rows)
                if not _same(results, expected[number]):
                    wrong.append(number)
            return wrong

        with ThreadPoolExecutor(8) as pool:
            if often:
                with _switching_often():
                    wrong = list(pool.map(work, range(8)))
            else:
                wrong = list(pool.map(work, range(8)))
    assert wrong == [[]] * 8
    assert torch.equal(logits(small, {"input_ids": ids}), plain)
    assert not small.trunk._forward_pre_hooks


def test_masked_words_in_many_threads(small: Base, make: Make) -> None:
    """The vocabulary is projected at other places in each thread."""
    adapters = {"a": make(small, "bottleneck", "a", invertible=True)}
    adapters["a"].head = HeadSpec("language-modelling")
    adapters["a"].weights["head.bias"] = torch.zeros(96)
    texts = ["w5 <mask>", "<mask> w7 w8 w9 w10", "w5 w6 w7 <mask> w8 <mask>"]
    with attach(small, "a", adapters=adapters) as attached:
        expected = [ahl.predict([text], attachment=attached) for text in texts]

        def work(number: int) -> bool:
            results = [ahl.predict([texts[number % 3]], attachment=attached) for _ in range(30)]
            return all(_same(result, expected[number % 3]) for result in results)

        with _switching_often(), ThreadPoolExecutor(6) as pool:
            assert all(pool.map(work, range(6)))


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_plain_forward_passes_beside_rows(bases: Bases, make: Make, family: str) -> None:
    """One thread runs what is in use, others name their rows, at other lengths."""
    base = bases(family)
    adapters = {
        "a": make(base, "prefix", "a", length=3),
        "b": make(base, "bottleneck", "b", seed=2, placement="houlsby", reduction=2),
    }
    batches = [{"input_ids": torch.arange(5, 5 + n)[None].repeat(2, 1)} for n in (3, 7, 11)]
    with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
        attached.use("a")
        in_use = logits(base, batches[0])
        alone = []
        for batch in batches[1:]:
            with attached.rows(["b", None]):
                alone.append(logits(base, batch))

        def work(number: int) -> bool:
            for _ in range(15):
                if number == 0:
                    right = torch.equal(logits(base, batches[0]), in_use)
                else:
                    with attached.rows(["b", None]):
                        result = logits(base, batches[number])
                    right = torch.allclose(result, alone[number - 1], atol=1e-5, rtol=0)
                if not right:
                    return False
            return True

        with _switching_often(), ThreadPoolExecutor(3) as pool:
            assert all(pool.map(work, range(3)))


def test_rows_of_tasks_in_one_thread(bases: Bases, make: Make, batch: Batch) -> None:
    """An asyncio task may wait inside its block while another task is in its own."""
    base = bases("bert")
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "bottleneck", "b")}

    async def one(attached: Attachment, name: str) -> Tensor:
        with attached.rows([name] * 4):
            await asyncio.sleep(0.001)
            result = await asyncio.to_thread(logits, base, batch)
            await asyncio.sleep(0.001)
            assert torch.equal(logits(base, batch), result)
        return result

    async def both(attached: Attachment) -> list[Tensor]:
        return list(
            await asyncio.gather(one(attached, "a"), one(attached, "b"), one(attached, "a"))
        )

    with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
        expected = {}
        for name in "ab":
            with attached.rows([name] * 4):
                expected[name] = logits(base, batch)
        results = asyncio.run(both(attached))
    assert all(torch.equal(r, expected[n]) for r, n in zip(results, "aba", strict=True))


class _Slow:
    """A thread that is in a forward pass of the base until it is let go."""

    def __init__(self, base: Base, run: Callable[[], Tensor]) -> None:
        self.error: BaseException | None = None
        self.result: Tensor | None = None
        self._entered, self._go = threading.Event(), threading.Event()
        module: Any = base.trunk.get_submodule("encoder.layer.0")
        self._handle = module.register_forward_hook(self._wait)
        self.thread = threading.Thread(target=self._run, args=(run,))

    def _wait(self, *_: Any) -> None:
        if threading.current_thread() is self.thread:
            self._entered.set()
            assert self._go.wait(60)

    def _run(self, run: Callable[[], Tensor]) -> None:
        try:
            self.result = run()
        except AttachError as error:
            self.error = error

    def __enter__(self) -> _Slow:
        self.thread.start()
        assert self._entered.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        self._go.set()
        self.thread.join()
        self._handle.remove()


def test_what_would_change_another_threads_results_is_refused(
    bases: Bases, make: Make, batch: Batch
) -> None:
    base = bases("bert")
    plain = logits(base, batch)
    adapters = {"a": make(base, "bottleneck", "a"), "b": make(base, "lora", "b")}
    with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
        attached.use("a")
        expected = logits(base, batch)
        with _Slow(base, lambda: logits(base, batch)) as slow:
            changes: list[Callable[[], object]] = [
                lambda: attached.use("b"),
                lambda: attached.add("c", "stack(a, b)"),
                lambda: attached.remove("b"),
                lambda: attach(base, "b", adapters=adapters),
            ]
            for change in changes:
                with pytest.raises(AttachError, match="another thread is computing"):
                    change()
        assert slow.result is not None
        assert torch.equal(slow.result, expected)
        attached.use("b")
        assert not torch.equal(logits(base, batch), expected)
    assert torch.equal(logits(base, batch), plain)


def test_detaching_under_a_thread_is_an_error_and_the_base_is_clean_afterwards(
    bases: Bases, make: Make, batch: Batch
) -> None:
    base = bases("bert")
    plain = logits(base, batch)
    attached = attach(base, "a", adapters={"a": make(base, "bottleneck", "a")})
    expected = logits(base, batch)
    with _Slow(base, lambda: logits(base, batch)) as slow:
        with pytest.raises(AttachError, match="detached while another thread computed"):
            attached.detach()
        with pytest.raises(AttachError, match="is detached"):
            attached.use("default")
        with pytest.raises(AttachError, match="still coming off"):
            attach(base, "a", adapters={"a": make(base, "bottleneck", "a")})
    assert slow.result is not None
    assert torch.equal(slow.result, expected)
    assert torch.equal(logits(base, batch), plain)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in base.model.modules())
    attached.detach()


def test_a_block_that_outlives_the_attachment_refuses_to_compute(
    bases: Bases, make: Make, batch: Batch
) -> None:
    """Leaving the `with` under a thread between two forward passes: nothing runs bare."""
    base = bases("bert")
    inside, detached = threading.Event(), threading.Event()
    errors: list[AttachError] = []

    def work(attached: Attachment) -> None:
        with attached.rows(["a"] * 4):
            inside.set()
            detached.wait(60)
            try:
                logits(base, batch)
            except AttachError as error:
                errors.append(error)

    plain = logits(base, batch)
    attached = attach(base, {"a": "a"}, adapters={"a": make(base, "lora", "a")})
    thread = threading.Thread(target=work, args=(attached,))
    thread.start()
    inside.wait(60)
    with pytest.raises(AttachError, match="comes off the model when that is over"):
        attached.__exit__(None, None, None)
    detached.set()
    thread.join()
    assert "was detached while this thread was in its `rows` block" in str(errors[0])
    assert torch.equal(logits(base, batch), plain)


def test_use_belongs_to_the_thread_that_attached(bases: Bases, make: Make, batch: Batch) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "bottleneck", "a"), "b": make(base, "lora", "b")}
    with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
        attached.use("a")
        expected = logits(base, batch)
        refused: list[str] = []

        def work() -> None:
            for change in (
                lambda: attached.use("b"),
                lambda: attached.add("c", "b"),
                lambda: attach(base, "b", adapters=adapters),
            ):
                try:
                    change()
                except AttachError as error:
                    refused.append(str(error))

        thread = threading.Thread(target=work, name="second")
        thread.start()
        thread.join()
        assert len(refused) == 3
        assert all("belongs to thread `MainThread`" in message for message in refused)
        assert torch.equal(logits(base, batch), expected)


def test_an_attachment_of_a_thread_that_ended_can_be_taken_off(
    bases: Bases, make: Make, batch: Batch
) -> None:
    base = bases("bert")
    plain = logits(base, batch)
    made: list[Attachment] = []
    adapters = {"a": make(base, "bottleneck", "a"), "b": make(base, "lora", "b")}
    thread = threading.Thread(target=lambda: made.append(attach(base, "a", adapters=adapters)))
    thread.start()
    thread.join()
    with attach(base, "b", adapters=adapters):
        assert not torch.equal(logits(base, batch), plain)
    made[0].use(None)
    made[0].detach()
    assert torch.equal(logits(base, batch), plain)


def test_attaching_while_another_thread_runs_the_bare_base(
    bases: Bases, make: Make, batch: Batch
) -> None:
    """That pass began without adapters: it ends in an error, not half with them."""
    base = bases("bert")
    plain = logits(base, batch)
    slow = _Slow(base, lambda: logits(base, batch))
    with slow, attach(base, "a", adapters={"a": make(base, "bottleneck", "a")}):
        slow.finish()
        assert "came onto this model while this thread was computing" in str(slow.error)
    assert torch.equal(logits(base, batch), plain)


def test_one_attachment_a_thread(bases: Bases, make: Make, batch: Batch) -> None:
    """Each result is right or refused, and the base is clean in the end."""
    base = bases("bert")
    plain = logits(base, batch)
    expected = {}
    for seed in range(4):
        with attach(base, "a", adapters={"a": make(base, "bottleneck", "a", seed=seed)}):
            expected[seed] = logits(base, batch)

    def work(seed: int) -> tuple[int, int]:
        right = refused = 0
        for _ in range(10):
            try:
                adapters = {"a": make(base, "bottleneck", "a", seed=seed)}
                with attach(base, "a", adapters=adapters):
                    right += torch.equal(logits(base, batch), expected[seed])
            except AttachError:
                refused += 1
            time.sleep(0)
        return right, refused

    with _switching_often(), ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(work, range(4)))
    assert all(right + refused == 10 for right, refused in counts)
    assert sum(right for right, _ in counts)
    assert torch.equal(logits(base, batch), plain)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in base.model.modules())


def test_copies_of_the_model_in_other_threads_are_refused(
    bases: Bases, make: Make, batch: Batch
) -> None:
    """`nn.DataParallel` runs copies that share the hooks."""
    base = bases("bert")
    with attach(base, "a", adapters={"a": make(base, "lora", "a")}):
        replica: Any = base.model._replicate_for_data_parallel()
        with pytest.raises(AttachError, match=r"copy of the model(.|\n)*one process a device"):
            replica(**batch)


def test_an_interrupted_pass_leaves_nothing(bases: Bases, make: Make, batch: Batch) -> None:
    """Ctrl-C in a forward pass, then other rows."""
    base = bases("bert")
    adapters = {"a": make(base, "bottleneck", "a"), "b": make(base, "lora", "b")}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
        with attached.rows(["b"] * 4):
            expected = logits(base, batch)
        module = base.trunk.get_submodule("encoder.layer.1")
        handle = module.register_forward_pre_hook(interrupt)
        with pytest.raises(KeyboardInterrupt), attached.rows(["a"] * 4):
            logits(base, batch)
        handle.remove()
        with attached.rows(["b"] * 4):
            assert torch.equal(logits(base, batch), expected)
        attached.use("a")


def test_attaching_inside_a_block_of_the_one_below(bases: Bases, make: Make, batch: Batch) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "prefix", "a"), "b": make(base, "prefix", "b", seed=2)}
    with attach(base, {"a": "a"}, adapters=adapters) as outer:
        outer.use("a")
        expected = logits(base, batch)
        with outer.rows(["a"] * 4):
            with attach(base, {"b": "b"}, adapters=adapters) as inner:
                inner.use("b")
                assert not torch.equal(logits(base, batch), expected)
            torch.testing.assert_close(logits(base, batch), expected, atol=5e-5, rtol=0)
            with pytest.raises(AttachError, match="inside its own `rows` block"):
                outer.detach()
        with pytest.raises(AttachError, match="is detached"):
            outer.use("a")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in base.model.modules())


def test_a_thread_that_is_started_inside_a_block(bases: Bases, make: Make) -> None:
    """As one does to stream what `generate` makes: the block reaches it with its context only."""
    base = bases("llama")
    model: Any = base.model
    adapters = {"a": make(base, "prefix", "a"), "b": make(base, "bottleneck", "b")}
    prompt = torch.tensor([[5, 6, 7]])

    def generate() -> Tensor:
        made: Tensor = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=4,
            pad_token_id=1,
            eos_token_id=None,
        )
        return made

    with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
        attached.use("b")
        other = generate()
        attached.use("a")
        expected = generate()
        assert not torch.equal(other, expected)
        with attached.rows(["b"]), ThreadPoolExecutor(1) as pool:
            with pytest.raises(AttachError, match=r"started inside a `rows` block(.|\n)*context"):
                pool.submit(generate).result()
            run = contextvars.copy_context().run
            assert torch.equal(pool.submit(run, generate).result(), other)
        with ThreadPoolExecutor(1) as pool:
            assert torch.equal(pool.submit(generate).result(), expected)
            with attached.rows(["b"]):
                assert torch.equal(pool.submit(generate).result(), expected)


def test_two_bases_on_one_trunk_are_one_model(
    bases: Bases, make: Make, batch: Batch, tmp_path: Path
) -> None:
    base = bases("bert")
    trunk = Base(base.trunk, base.tokenizer, base.identity)
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "bottleneck", "b")}
    with attach(base, "a", adapters=adapters) as outer:
        with attach(trunk, "b", adapters=adapters) as inner:
            assert inner.carrier is outer.carrier
            with pytest.raises(AttachError, match="is covered"):
                outer.use(None)
        outer.use(None)

"""Many adapters on one base: 32 compositions in a batch, coming and going, in bounded memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adapterhub_lite import Home
from adapterhub_lite.adapter import Kind, LanguageUse, Manifest, Role
from adapterhub_lite.errors import AttachError, CompositionError
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.model.source import AdapterCache
from adapterhub_lite.testing.adapters import logits

Bases = Callable[[str], Base]
Make = Callable[..., LoadedAdapter]
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("bottleneck", {"invertible": True, "reduction": 2}),
    ("lora", {"rank": 3}),
    ("prefix", {"length": 2}),
]


@pytest.mark.parametrize("family", ["xlm-roberta", "llama"])
def test_32_rows_of_32_compositions_of_all_methods(bases: Bases, make: Make, family: str) -> None:
    base = bases(family)
    adapters = {}
    for number in range(32):
        method, config = METHODS[number % 3]
        left_out = [number % 4] if number % 4 < 3 else []
        adapters[f"a{number}"] = make(
            base, method, f"a{number}", seed=number, leave_out=left_out, **config
        )
    named: dict[str, str | None] = {f"a{n}": f"stack(a{n}, a{(n + 1) % 32})" for n in range(31)}
    named["plain"] = None
    ids = torch.randint(5, 90, (32, 6), generator=torch.Generator().manual_seed(1))
    with attach(base, named, adapters=adapters) as attached:
        alone = []
        for number, name in enumerate(named):
            attached.use(name)
            alone.append(logits(base, {"input_ids": ids[number : number + 1]}))
        with attached.rows(list(named)):
            mixed = logits(base, {"input_ids": ids})
    torch.testing.assert_close(mixed, torch.cat(alone), atol=5e-5, rtol=0)


def _home(folder: Path, base: Base, make: Make, count: int) -> Home:
    home = Home.init(folder / "home")
    provider = home.plugins().provider("lora")
    for number in range(count):
        adapter = make(base, "lora", seed=number)
        config = adapter.config.to_mapping()
        tags = (LanguageUse("en", Role.LANGUAGE),)
        manifest = Manifest(Kind.LANGUAGE, tags, base.identity, "lora", config, provider)
        adapter.save(folder / str(number), manifest)
        home.add(folder / str(number), name=f"x{number}")
    return home


def _size(adapter: LoadedAdapter) -> int:
    return sum(t.numel() * t.element_size() for t in adapter.weights.values())


def test_adapters_leave_memory_when_they_are_neither_in_use_nor_in_the_cache(
    bases: Bases, make: Make, tmp_path: Path, batch: dict[str, Tensor]
) -> None:
    base = bases("bert")
    home = _home(tmp_path, base, make, 4)
    size = _size(make(base, "lora"))
    cache = AdapterCache(limit=2 * size)
    living: list[weakref.ref[Tensor]] = []
    with attach(base, {"x0": "x0"}, home=home, cache=cache) as attached:
        expected = logits(base, batch)
        for number in (1, 2, 3):
            attached.add("next", f"x{number}")
            living.append(weakref.ref(next(iter(attached.adapter(f"x{number}").weights.values()))))
            attached.use("next")
            with attach(base, f"x{number}", home=home):
                alone = logits(base, batch)
            assert torch.equal(logits(base, batch), alone)
            attached.use("x0")
            attached.remove("next")
        assert torch.equal(logits(base, batch), expected)
        gc.collect()
        assert [ref() is not None for ref in living] == [False, True, True]
        assert (len(cache), cache.size) == (2, 2 * size)
        attached.add("again", "x2")
        assert next(iter(attached.adapter("x2").weights.values())) is living[1]()
    assert AdapterCache(limit=0).size == 0
    with pytest.raises(AttachError, match="0 bytes or more"):
        AdapterCache(limit=-1)


def test_what_is_trained_is_never_shared_through_a_cache(
    bases: Bases, make: Make, tmp_path: Path
) -> None:
    base = bases("bert")
    home = _home(tmp_path, base, make, 1)
    cache = AdapterCache(limit=10**9)
    with attach(base, "x0", home=home, cache=cache, trainable=["x0"]) as attached:
        for weight in attached.parameters_of("x0").values():
            weight.data.zero_()
    assert len(cache) == 0
    with attach(base, "x0", home=home, cache=cache) as attached:
        assert all(bool(t.any()) for t in attached.adapter("x0").weights.values())


def test_compositions_come_and_go(bases: Bases, make: Make, batch: dict[str, Tensor]) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "bottleneck", "b")}
    plain = logits(base, batch)
    with attach(base, {"b": "b"}, adapters=adapters) as attached:
        only_b = logits(base, batch)
        attached.add("both", "stack(a, b)")
        assert attached.names == ("b", "both")
        assert torch.equal(logits(base, batch), only_b)
        attached.use("both")
        both = logits(base, batch)
        with pytest.raises(CompositionError, match=r"`both` is in use"):
            attached.remove("both")
        with pytest.raises(CompositionError, match="a composition `b` is attached already"):
            attached.add("b", "a")
        with (
            attach(base, "b", adapters=adapters),
            pytest.raises(AttachError, match="is covered"),
        ):
            attached.add("c", "a")
        attached.use("b")
        attached.remove("both")
        assert torch.equal(logits(base, batch), only_b)
    with attach(base, "stack(a, b)", adapters=adapters):
        assert torch.equal(logits(base, batch), both)
    assert torch.equal(logits(base, batch), plain)
    with (
        attach(base, "a", adapters=adapters, merge=True) as merged,
        pytest.raises(AttachError, match="is merged into the base"),
    ):
        merged.add("b", "b")


def test_a_composition_that_cannot_be_hooked_leaves_the_others_at_work(
    bases: Bases, make: Make, batch: dict[str, Tensor]
) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "lora", "a"), "p": make(base, "prefix", "p", length=2)}
    with attach(base, {"a": "a"}, adapters=adapters) as attached:
        expected = logits(base, batch)
        base.model.set_attn_implementation("flex_attention")
        with pytest.raises(AttachError, match="prefixes work with attention eager or sdpa"):
            attached.add("p", "p")
        base.model.set_attn_implementation("sdpa")
        assert attached.names == ("a",)
        assert torch.equal(logits(base, batch), expected)
    with pytest.raises(AttachError, match="is detached"):
        attached.add("p", "p")

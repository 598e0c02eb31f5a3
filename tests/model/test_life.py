"""An attachment that is not at work says so; a model that carries one is moved with it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import adapterhub_lite as ahl
from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.errors import AttachError, CompositionError
from adapterhub_lite.model.attach import Attachment, attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.model.source import AdapterCache
from adapterhub_lite.testing.adapters import logits
from tests.model.test_many import _home

Bases = Callable[[str], Base]
Make = Callable[..., LoadedAdapter]
Batch = dict[str, Tensor]

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("bottleneck", {"invertible": True, "reduction": 2}),
    ("lora", {"parts": ["query", "value", "ffn_down"], "rank": 3}),
    ("prefix", {"length": 3}),
]


def _tagger(base: Base, make: Make, ref: str = "task", seed: int = 1) -> LoadedAdapter:
    adapter = make(base, "bottleneck", ref, seed=seed)
    adapter.head = HeadSpec("token-classification", ("NOUN", "VERB"))
    adapter.weights |= {"head.weight": torch.randn(2, 32), "head.bias": torch.zeros(2)}
    return adapter


def _copied(base: Base) -> Base:
    return Base(copy.deepcopy(base.model), base.tokenizer, base.identity)


def _cast(base: Base, dtype: torch.dtype) -> Base:
    model: Any = base.model
    model.to(dtype)
    return base


USES: dict[str, Callable[[Attachment], object]] = {
    "predict": lambda a: ahl.predict(["w5 w6"], attachment=a),
    "use": lambda a: a.use("default"),
    "use(None)": lambda a: a.use(None),
    "rows": lambda a: a.rows(["default"]),
    "add": lambda a: a.add("more", "task"),
    "remove": lambda a: a.remove("default"),
    "head": lambda a: a.head(),
}


@pytest.mark.parametrize("use", USES)
def test_a_detached_attachment_refuses(bases: Bases, make: Make, use: str) -> None:
    base = bases("bert")
    with attach(base, "task", adapters={"task": _tagger(base, make)}) as attached:
        ahl.predict(["w5 w6"], attachment=attached)
    with pytest.raises(
        AttachError, match=r"attachment of `default` is detached(.|\n)*attach again"
    ):
        USES[use](attached)
    assert "detached" in repr(attached)


@pytest.mark.parametrize("use", USES)
def test_a_covered_attachment_refuses(bases: Bases, make: Make, use: str) -> None:
    base = bases("bert")
    adapters = {"task": _tagger(base, make), "over": _tagger(base, make, "over", 2)}
    with attach(base, "task", adapters=adapters) as outer:
        expected = ahl.predict(["w5 w6"], attachment=outer)
        with attach(base, {"inner": "over"}, adapters=adapters):
            with pytest.raises(AttachError, match=r"is covered: the attachment of `inner` was"):
                USES[use](outer)
            assert "covered" in repr(outer)
        assert ahl.predict(["w5 w6"], attachment=outer) == expected


def test_weights_can_still_be_read_after_detaching(bases: Bases, make: Make) -> None:
    base = bases("bert")
    with attach(base, "a", adapters={"a": make(base, "lora", "a")}, trainable=["a"]) as attached:
        inside = attached.state_of("a")
    assert attached.state_of("a").keys() == inside.keys()
    assert attached.parameters_of("a")


@pytest.mark.parametrize("family", ["xlm-roberta", "llama", "xmod"])
def test_several_compositions_and_none_in_use(
    bases: Bases, make: Make, batch: Batch, family: str
) -> None:
    base = bases(family)
    model: Any = base.model
    trunk: Any = base.trunk
    plain = logits(base, batch)
    adapters = {"a": make(base, "lora", "a"), "b": make(base, "bottleneck", "b")}
    with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
        runs: list[Callable[[], Any]] = [lambda: model(**batch), lambda: trunk(**batch)]
        for run in runs:
            with pytest.raises(AttachError, match=r"none of its compositions is in use(.|\n)*use"):
                run()
        layer: Any = attached._source.anatomy.module("query", 0)
        with pytest.raises(AttachError, match="none of its compositions is in use"):
            layer(torch.zeros(1, 2, 32))
        attached.use(None)
        assert torch.equal(logits(base, batch), plain)
        attached.use("a")
        assert not torch.equal(logits(base, batch), plain)
    assert torch.equal(logits(base, batch), plain)


@pytest.mark.parametrize("family", ["xlm-roberta", "gpt2", "xmod"])
@pytest.mark.parametrize(("method", "config"), METHODS)
@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_another_number_of_names_than_rows(
    bases: Bases,
    make: Make,
    batch: Batch,
    family: str,
    method: str,
    config: dict[str, Any],
    count: int,
) -> None:
    base = bases(family)
    model: Any = base.model
    trunk: Any = base.trunk
    ran: list[int] = []
    runs: list[Callable[[], Any]] = [lambda: model(**batch), lambda: trunk(batch["input_ids"])]
    with (
        attach(base, {"a": "a"}, adapters={"a": make(base, method, **config)}) as attached,
        attached.rows(["a", None, "a", None, "a", "a", "a", "a"][:count]),
    ):
        words: Any = base.trunk.get_input_embeddings()
        handle = words.register_forward_pre_hook(lambda *_: ran.append(1))
        try:
            for run in runs:
                with pytest.raises(AttachError, match=rf"batch has 4 rows.*named {count}\n"):
                    run()
        finally:
            handle.remove()
    assert not ran, "something was computed first"


def test_one_name_for_all_rows(bases: Bases, make: Make, batch: Batch) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "lora", "a"), "gv": make(base, "bottleneck", "gv")}
    plain = logits(base, batch)
    with attach(base, {"a": "a", "gv": "gv"}, adapters=adapters) as attached:
        attached.use("gv")
        expected = logits(base, batch)
        attached.use("a")
        with attached.rows("gv"):
            assert torch.equal(logits(base, batch), expected)
            with attached.rows(None):
                assert torch.equal(logits(base, batch), plain)
            with pytest.raises(AttachError, match="no effect inside a `rows` block"):
                attached.use("a")
        with pytest.raises(CompositionError, match="no composition `fo`"):
            attached.rows("fo")


def test_a_merged_composition_predicts_and_counts_rows(bases: Bases, make: Make) -> None:
    base = bases("bert")
    adapter = make(base, "lora", "task", scale=0.1)
    adapter.head = HeadSpec("token-classification", ("NOUN", "VERB"))
    adapter.weights |= {"head.weight": torch.randn(2, 32), "head.bias": torch.zeros(2)}
    texts = ["w5 w6 w7", "w8"]
    with attach(base, "task", adapters={"task": adapter}) as attached:
        expected = ahl.predict(texts, attachment=attached)
    with attach(base, "task", adapters={"task": adapter}, merge=True) as attached:
        results = ahl.predict(texts, attachment=attached)
        assert [r.labels for r in results] == [e.labels for e in expected]
        with attached.rows(["default"]), pytest.raises(AttachError, match=r"2 rows.*named 1"):
            logits(base, {"input_ids": torch.tensor([[5, 6], [7, 8]])})
        with pytest.raises(AttachError, match="in every row"):
            attached.rows(["default", None])
    with pytest.raises(AttachError, match="cannot be trained"):
        attach(base, "task", adapters={"task": adapter}, merge=True, trainable=["task"])


MOVED = [
    *METHODS,
    ("lora", {"biases": ["query.0"], "tokens": [5, 6]}),
    ("prefix", {"length": 3, "reparameterise": True, "inner": 5, "gate": True}),
]


@pytest.mark.parametrize("family", ["xlm-roberta", "gpt2", "xmod"])
@pytest.mark.parametrize(("method", "config"), MOVED)
@pytest.mark.parametrize("cast", ["bfloat16", "float64"])
def test_adapters_follow_a_model_that_is_cast(
    tmp_path: Path,
    bases: Bases,
    make: Make,
    batch: Batch,
    family: str,
    method: str,
    config: dict[str, Any],
    cast: str,
) -> None:
    """The numbers are those of a model that was cast before attaching."""
    source = bases(family)
    dtype = getattr(torch, cast)
    before, after = _copied(source), _copied(source)
    adapters = [{n: make(source, method, n, **config) for n in "ab"} for _ in range(2)]
    _cast(before, dtype)
    named = {"both": "stack(a, b)", "a": "a"}
    rows = ["both", None, "a", "both"]
    with attach(before, named, adapters=adapters[0]) as one, one.rows(rows):
        expected = logits(one.base, batch)
    bare = logits(one.base, batch)
    with attach(after, named, adapters=adapters[1]) as two:
        two.use("both")
        logits(two.base, batch)
        _cast(after, dtype)
        with two.rows(rows):
            assert torch.equal(logits(two.base, batch), expected)
    assert torch.equal(logits(two.base, batch), bare)


def test_heads_follow_and_what_is_added_later_too(bases: Bases, make: Make) -> None:
    source = bases("bert")
    base = _copied(source)
    adapters = {"task": _tagger(base, make), "b": make(base, "lora", "b")}
    with attach(base, "task", adapters=adapters) as attached:
        expected = ahl.predict(["w5 w6 w7"], attachment=attached)
        _cast(base, torch.float64)
        (result,) = ahl.predict(["w5 w6 w7"], attachment=attached)
        assert result.probabilities == pytest.approx(expected[0].probabilities, abs=1e-5)
        attached.add("more", "stack(b, task)")
        assert ahl.predict(["w5 w6 w7"], attachment=attached, rows=["more"])
        assert all(t.dtype == torch.float64 for t in attached.adapter("b").weights.values())


def test_a_cache_keeps_what_it_read(bases: Bases, make: Make, batch: Batch, tmp_path: Path) -> None:
    """A model that is cast takes its adapters along, and not those of the next one."""
    source = bases("bert")
    home, cache = _home(tmp_path, source, make, 1), AdapterCache(limit=10**9)
    with attach(source, "x0", home=home, cache=cache):
        expected = logits(source, batch)
    base = _copied(source)
    with attach(base, "x0", home=home, cache=cache):
        base.model.half()
        logits(base, batch)
        with attach(source, "x0", home=home, cache=cache):
            assert torch.equal(logits(source, batch), expected)


@pytest.mark.parametrize("family", ["xlm-roberta", "gpt2"])
def test_a_merged_model_that_is_cast_is_restored(
    bases: Bases, make: Make, batch: Batch, family: str
) -> None:
    """In GPT-2 query and value are slices of one module."""
    source = bases(family)
    base = _copied(source)
    expected = _cast(_copied(source), torch.bfloat16).model
    with attach(base, "a", adapters={"a": make(base, "lora", "a")}, merge=True):
        _cast(base, torch.bfloat16)
    for (name, tensor), restored in zip(
        expected.state_dict().items(), base.model.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, restored), name


@pytest.mark.parametrize("part", ["model", "trunk", "layer", "attachment", "attention"])
def test_copying_and_pickling_are_refused(bases: Bases, make: Make, part: str) -> None:
    base = bases("bert")
    adapters = {"a": make(base, "lora", "a"), "p": make(base, "prefix", "p")}
    with attach(base, "stack(a, p)", adapters=adapters) as attached:
        things: dict[str, Any] = {
            "model": base.model,
            "trunk": base.trunk,
            "layer": base.trunk.get_submodule("encoder.layer.0"),
            "attachment": attached,
            "attention": base.trunk.get_submodule("encoder.layer.0.attention.self"),
        }
        with pytest.raises(AttachError, match=r"a copy would keep them(.|\n)*attach to the copy"):
            copy.deepcopy(things[part])
        with pytest.raises(AttachError, match=r"cannot be pickled(.|\n)*load_base"):
            pickle.dumps(things[part])
        copied = copy.deepcopy(base.model.state_dict())
    assert copied.keys() == base.model.state_dict().keys()
    assert pickle.loads(pickle.dumps(base.trunk.get_submodule("encoder.layer.0")))
    copy.deepcopy(base.model)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize(("method", "config"), METHODS)
@pytest.mark.parametrize(
    "settings",
    [{"num_beams": 3, "num_return_sequences": 2}, {"num_return_sequences": 3, "do_sample": True}],
    ids=["beams", "samples"],
)
def test_generate_repeats_rows(
    bases: Bases,
    make: Make,
    family: str,
    method: str,
    config: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    base = bases(family)
    model: Any = base.model
    adapters = {
        "a": make(base, method, "a", **config),
        "b": make(base, method, "b", seed=2, **config),
    }
    prompt = torch.tensor([[5, 6, 7], [8, 9, 10]])

    def generate(ids: Tensor) -> Tensor:
        torch.manual_seed(0)
        made: Tensor = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=4,
            pad_token_id=1,
            eos_token_id=None,
            **({"top_k": 1} if settings.get("do_sample") else {}),
            **settings,
        )
        return made

    with attach(base, {"a": "a", "b": "b"}, adapters=adapters) as attached:
        alone = []
        for name, row in zip("ba", prompt, strict=True):
            attached.use(name)
            alone.append(generate(row[None]))
        with attached.rows(["b", "a"]):
            assert torch.equal(generate(prompt), torch.cat(alone))
            assert logits(base, {"input_ids": prompt}).shape[0] == 2
        times = max(settings.get("num_beams", 1), settings["num_return_sequences"])
        with attached.rows(["b"] * times + ["a"] * times):
            assert torch.equal(generate(prompt), torch.cat(alone))
        with attached.rows(["b"]):
            with pytest.raises(AttachError, match=r"6 rows.*makes 3 of each"):
                generate(prompt)
            with pytest.raises(AttachError, match="2 rows"):
                logits(base, {"input_ids": prompt})
    assert "generate" not in model.__dict__

"""Language modules of the base at work.

What is expected comes from transformers' own model called with `lang_ids`, and from the formula of
a layer's end written out (`the_layers`), with the task adapter after the module.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu

from adapterhub_lite.errors import (
    AttachError,
)
from adapterhub_lite.methods.bottleneck import Bottleneck
from adapterhub_lite.methods.lora import LoRA
from adapterhub_lite.methods.prefix import Prefix
from adapterhub_lite.methods.xmod import Xmod
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.testing.adapters import logits, random_adapter
from tests.xmod.conftest import FORMS, MODULES, Batch, Made, own

every_form = pytest.mark.parametrize("form", FORMS)
TASKS: dict[str, Callable[[Base], LoadedAdapter]] = {
    "bottleneck": lambda b: random_adapter(b, Bottleneck(), {"reduction": 4}, ref="task"),
    "houlsby": lambda b: random_adapter(b, Bottleneck(), {"placement": "houlsby"}, ref="task"),
    "lora": lambda b: random_adapter(b, LoRA(), {"rank": 2}, ref="task"),
    "prefix": lambda b: random_adapter(b, Prefix(), {"length": 3}, ref="task"),
}


def close(one: Tensor, other: Tensor, limit: float = 5e-5) -> bool:
    return (one - other).abs().max().item() < limit


@every_form
@pytest.mark.parametrize("place", range(3))
def test_a_module_runs_as_in_transformers(made: Made, batch: Batch, form: str, place: int) -> None:
    home, base = made(form)
    with attach(base, MODULES[place], home=home):
        found = logits(base, batch)
    assert torch.equal(found, own(base, batch, place, place, place))
    assert not torch.equal(found, own(base, batch, *[(place + 1) % 3] * 3))


@every_form
def test_rows_get_their_own_modules_in_one_forward(made: Made, batch: Batch, form: str) -> None:
    home, base = made(form)
    mixed, alike = own(base, batch, 2, 0, 2), own(base, batch, 1, 1, 1)
    with attach(base, {name: name for name in MODULES}, home=home) as attached:
        with attached.rows(["tiny-sw", "tiny-en", "tiny-sw"]):
            assert close(logits(base, batch), mixed)
        with attached.rows(["tiny-gv"] * 3):
            assert close(logits(base, batch), alike)


def test_rows_without_module_keep_the_default_language(made: Made, batch: Batch) -> None:
    home, base = made("default")
    plan = {"sw": "tiny-sw", "none": None}
    expected = own(base, batch, 0, 2, 0)
    with attach(base, plan, home=home) as attached, attached.rows(["none", "sw", "none"]):
        assert close(logits(base, batch), expected)


@every_form
@pytest.mark.parametrize("task", TASKS)
def test_rows_with_tasks_are_as_separate_runs(
    made: Made, batch: Batch, form: str, task: str
) -> None:
    home, base = made(form)
    plan = {name: f"stack({name}, task)" for name in MODULES}
    rows = ["tiny-sw", "tiny-en", "tiny-gv"]
    with attach(base, plan, home=home, adapters={"task": TASKS[task](base)}) as attached:
        with attached.rows(rows):
            together = logits(base, batch)
        for number, name in enumerate(rows):
            attached.use(name)
            assert close(together[number], logits(base, batch)[number])
        attached.use("tiny-sw")
        with_task = logits(base, batch)
    assert not close(with_task, own(base, batch, 2, 2, 2), 1e-3)


@pytest.mark.parametrize("form", ["default", "norm first"])
def test_detaching_leaves_nothing(made: Made, batch: Batch, form: str) -> None:
    home, base = made(form)
    state = {key: value.clone() for key, value in base.model.state_dict().items()}
    before = logits(base, batch)
    with attach(base, "stack(tiny-sw, task)", home=home, adapters={"task": TASKS["lora"](base)}):
        assert not torch.equal(logits(base, batch), before)
    assert torch.equal(logits(base, batch), before)
    assert all(torch.equal(value, state[key]) for key, value in base.model.state_dict().items())
    hooks = [m for m in base.model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooks


def the_layers(
    base: Base, batch: Batch, place: int, task: dict[str, Tensor] | None, form: str
) -> Tensor:
    """Write out the layers after the published formula, a task bottleneck after the module."""
    trunk: Any = base.trunk
    settings = {"pre_norm": False, "ln_before_adapter": True, **FORMS[form]}
    mask = (1.0 - batch["attention_mask"][:, None, None, :]) * torch.finfo(torch.float32).min
    x = trunk.embeddings(input_ids=batch["input_ids"])
    for number, layer in enumerate(trunk.encoder.layer):
        attention, out, first = layer.attention, layer.output, settings["pre_norm"]
        read = attention.output.LayerNorm(x) if first else x
        x = attention.output.dense(the_attention(attention.self, read, mask)) + x
        x = x if first else attention.output.LayerNorm(x)
        read = out.LayerNorm(x) if first else x
        s = out.dense(gelu(layer.intermediate.dense(read))) + x
        norm = out.adapter_layer_norm or (out.LayerNorm if out.adapter_reuse_layer_norm else None)
        h = norm(s) if norm else s
        module = list(out.adapter_modules.values())[place]
        y = module.dense2(gelu(module.dense1(h)))
        stream = h if settings["ln_before_adapter"] else s
        last = (lambda t: t) if first else out.LayerNorm
        if task is not None:
            down, down_bias, up, up_bias = (
                task[f"ffn_block.{number}.{k}"] for k in ("down", "down_bias", "up", "up_bias")
            )
            inner = (last(y + stream) @ down.T + down_bias).relu()
            y = inner @ up.T + up_bias + y
        x = last(y + stream)
    result: Tensor = trunk.encoder.LayerNorm(x) if settings["pre_norm"] else x
    return result


def the_attention(layer: Any, x: Tensor, mask: Tensor) -> Tensor:
    rows, tokens, width = x.shape

    def split(part: Any) -> Tensor:
        heads: Tensor = part(x).view(rows, tokens, 4, width // 4).transpose(1, 2)
        return heads

    scores = split(layer.query) @ split(layer.key).mT / (width // 4) ** 0.5 + mask
    joined: Tensor = (scores.softmax(-1) @ split(layer.value)).transpose(1, 2)
    return joined.reshape(rows, tokens, width)


@every_form
@pytest.mark.parametrize("with_task", [False, True])
def test_a_task_bottleneck_is_after_the_module(
    made: Made, batch: Batch, form: str, with_task: bool
) -> None:
    home, base = made(form)
    task = TASKS["bottleneck"](base)
    plan = "stack(tiny-sw, task)" if with_task else "tiny-sw"
    with attach(base, plan, home=home, adapters={"task": task}), torch.no_grad():
        found = base.trunk(**batch).last_hidden_state
        expected = the_layers(base, batch, 2, task.weights if with_task else None, form)
    kept = batch["attention_mask"].bool()
    assert close(found[kept], expected[kept])


@every_form
def test_a_fresh_task_adapter_leaves_the_module_as_it_is(
    made: Made, batch: Batch, form: str
) -> None:
    home, base = made(form)
    fresh = random_adapter(base, Bottleneck(), {}, ref="task", scale=0)
    expected = own(base, batch, 1, 1, 1)
    with attach(base, "stack(tiny-gv, task)", home=home, adapters={"task": fresh}):
        assert close(logits(base, batch), expected, 1e-6)


def test_an_average_is_the_mean_of_the_modules(made: Made, batch: Batch) -> None:
    home, base = made("default")
    table = [layer.output.adapter_modules for layer in base.trunk.encoder.layer]  # type: ignore[union-attr]
    with attach(base, "average(0.25*tiny-en, 0.75*tiny-sw)", home=home):
        found = logits(base, batch)
    kept = {key: value.clone() for key, value in base.model.state_dict().items()}
    with torch.no_grad():
        for modules in table:
            for mean, other in zip(
                modules["en_XX"].parameters(), modules["sw_KE"].parameters(), strict=True
            ):
                mean.mul_(0.25).add_(0.75 * other)
    expected = own(base, batch, 0, 0, 0)
    base.model.load_state_dict(kept)
    assert close(found, expected)


def test_a_module_of_its_own_learns_and_the_base_does_not(made: Made, batch: Batch) -> None:
    _, base = made("no default")
    late = random_adapter(base, Xmod(), {"reduction": 4}, ref="late")
    with attach(base, "late", adapters={"late": late}, trainable={"late"}) as attached:
        base.model(**batch).logits.sum().backward()
        parameters = attached.parameters_of("late")
        assert len(parameters) == 12
        assert all(p.grad is not None and p.grad.any() for p in parameters.values())
    assert all(p.grad is None for p in base.model.parameters())


def test_bfloat16_finds_the_module_as_well(made: Made, batch: Batch) -> None:
    home, _ = made("default")
    base = load_base(home.path / "bases" / "tiny", dtype="bfloat16")
    expected = own(base, batch, 2, 2, 2)
    with attach(base, "tiny-sw", home=home):
        assert torch.equal(logits(base, batch), expected)


def test_a_module_stands_at_the_bottom_and_alone(made: Made) -> None:
    home, base = made("default")
    for plan in ("stack(tiny-en, tiny-sw)", "stack(task, tiny-sw)"):
        with pytest.raises(AttachError, match="stands at the bottom of a stack"):
            attach(base, plan, home=home, adapters={"task": TASKS["lora"](base)})


def test_a_module_is_not_merged(made: Made) -> None:
    home, base = made("default")
    with pytest.raises(AttachError, match=r"`tiny-sw@\w+` \(xmod\) cannot be merged"):
        attach(base, "tiny-sw", home=home, merge=True)


def test_without_default_language_some_module_must_be_named(made: Made, batch: Batch) -> None:
    home, base = made("no default")
    task = TASKS["lora"](base)
    with (
        attach(base, "task", home=home, adapters={"task": task}),
        pytest.raises(AttachError, match="no default language"),
    ):
        base.model(**batch)
    plan = {"sw": "tiny-sw", "task": "task", "none": None}
    with (
        attach(base, plan, home=home, adapters={"task": task}) as attached,
        attached.rows(["sw", "task", "sw"]),
        pytest.raises(AttachError, match="below `task`"),
    ):
        base.model(**batch)


def test_without_default_language_the_base_alone_runs_no_module(made: Made, batch: Batch) -> None:
    """As `lang_ids` of no language do in transformers."""
    home, base = made("no default")
    nobody, mixed = own(base, batch, -1, -1, -1), own(base, batch, 2, -1, 2)
    with attach(base, {"sw": "tiny-sw", "none": None}, home=home) as attached:
        attached.use(None)
        assert torch.equal(logits(base, batch), nobody)
        with attached.rows(["sw", "none", "sw"]):
            assert close(logits(base, batch), mixed)


def test_threads_run_their_own_modules(made: Made, batch: Batch) -> None:
    home, base = made("default")
    names = ("tiny-sw", "tiny-gv", "tiny-en")
    with attach(base, {name: name for name in names}, home=home) as attached:
        expected = {}
        for name in names:
            with attached.rows(name):
                expected[name] = logits(base, batch)

        def work(name: str) -> bool:
            for _ in range(15):
                with attached.rows(name):
                    if not torch.equal(logits(base, batch), expected[name]):
                        return False
            return True

        with ThreadPoolExecutor(3) as pool:
            assert all(pool.map(work, names))


def test_what_is_attached_on_top_decides(made: Made, batch: Batch) -> None:
    home, base = made("no default")
    expected = own(base, batch, 1, 1, 1)
    with attach(base, None, home=home), attach(base, "tiny-gv", home=home):
        assert torch.equal(logits(base, batch), expected)
    with attach(base, "tiny-sw", home=home), attach(base, "tiny-gv", home=home):
        assert torch.equal(logits(base, batch), expected)


def test_languages_given_by_hand(made: Made, batch: Batch) -> None:
    """They reach the base where no module is attached, and contradict one that is."""
    home, base = made("no default")
    fresh = random_adapter(base, Bottleneck(), {}, ref="task", scale=0)
    expected = own(base, batch, 2, 1, 0)
    with attach(base, "task", home=home, adapters={"task": fresh}):
        assert close(own(base, batch, 2, 1, 0), expected, 1e-6)
    with (
        attach(base, "tiny-sw", home=home),
        pytest.raises(AttachError, match="this batch has `lang_ids`"),
    ):
        own(base, batch, 0, 0, 0)


def test_a_batch_of_another_size_is_refused(made: Made, batch: Batch) -> None:
    home, base = made("default")
    with (
        attach(base, {"sw": "tiny-sw", "en": "tiny-en"}, home=home) as attached,
        attached.rows(["sw", "en"]),
        pytest.raises(AttachError, match="this batch has 3 rows"),
    ):
        base.model(**batch)

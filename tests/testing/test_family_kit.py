"""The kit for families passes sound rows and names what is wrong with others.

The sound rows are those of the package, and two of families that it lacks, written as a plugin
author would.  The faults are planted one by one in the row of a family that the kit passes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.testing import FamilySuite
from adapterhub_lite.testing.family import METHODS
from adapterhub_lite.testing.kit import small_batch
from adapterhub_lite.testing.models import CONFIGS, DECODERS

ELECTRA = '''
"""ELECTRA: BERT's layers under an embedding of its own."""

from adapterhub_lite.families import Block, Family
from adapterhub_lite.hookspecs import hookimpl


@hookimpl
def ahl_families():
    return [
        Family(
            model_types=("electra",),
            layers="encoder.layer",
            parts={
                "query": "attention.self.query",
                "key": "attention.self.key",
                "value": "attention.self.value",
                "attention_out": "attention.output.dense",
                "ffn_up": "intermediate.dense",
                "ffn_down": "output.dense",
            },
            blocks={
                "attention_block": Block(
                    "attention.output.dropout",
                    ("attention.output", 1),
                    "attention.output.LayerNorm",
                ),
                "ffn_block": Block("output.dropout", ("output", 1), "output.LayerNorm"),
            },
            attention="attention.self",
            embeddings="embeddings",
            output="generator_lm_head",
            positions="embeddings.position_embeddings",
            norms={
                "attention_norm": "attention.output.LayerNorm", "ffn_norm": "output.LayerNorm"
            },
            outside={"types": "embeddings.token_type_embeddings"},
        )
    ]
'''
QWEN3 = '''
"""Qwen3: Qwen2 with a norm of queries and keys, and heads of a width of their own."""

from adapterhub_lite.families import Block, Family
from adapterhub_lite.hookspecs import hookimpl


@hookimpl
def ahl_families():
    return [
        Family(
            model_types=("qwen3",),
            layers="layers",
            parts={
                "query": "self_attn.q_proj",
                "key": "self_attn.k_proj",
                "value": "self_attn.v_proj",
                "attention_out": "self_attn.o_proj",
                "ffn_gate": "mlp.gate_proj",
                "ffn_up": "mlp.up_proj",
                "ffn_down": "mlp.down_proj",
            },
            blocks={
                "attention_block": Block("self_attn.o_proj", ("input_layernorm", 0), None),
                "ffn_block": Block("mlp", ("post_attention_layernorm", 0), None),
            },
            attention="self_attn",
            embeddings="embed_tokens",
            output="lm_head",
            rotary="rotary_emb",
        )
    ]
'''
TINY_ELECTRA = {**CONFIGS["bert"], "embedding_size": 32}
TINY_QWEN3 = {**CONFIGS["qwen2"], "head_dim": 16}

SOUND = ("bert", "distilbert", "gpt2", "llama")
FAULTS: dict[str, tuple[str, str, str, str]] = {
    "a path that is nowhere": (
        "every_part_is_there",
        '"query": "attention.self.query"',
        '"query": "attention.slf.query"',
        "there is no `attention.slf.query`",
    ),
    "a block whose residual is nowhere": (
        "every_part_is_there",
        '("output", 1)',
        '("outputs", 1)',
        "there is no `outputs`",
    ),
    "up and down swapped": (
        "parts_have_their_widths",
        '"ffn_up": "intermediate.dense"',
        '"ffn_up": "output.dense"',
        "`ffn_up` (`output.dense`) has 48",
    ),
    "a norm where a linear part belongs": (
        "parts_have_their_widths",
        '"ffn_down": "output.dense"',
        '"ffn_down": "output.LayerNorm"',
        "is a `LayerNorm`, not a linear layer",
    ),
    "slices that are not equal": (
        "fused_parts_are_equal_slices",
        'attention="attention.self",',
        'attention="attention.self", fused={"query": (0, 3)},',
        "not a whole number",
    ),
    "a module that the model does not use": (
        "the_output_follows_every_part",
        '"attention_norm": "attention.output.LayerNorm"',
        '"attention_norm": "attention.self.dropout"',
        "the output does not follow it",
    ),
    "another argument for the residual stream": (
        "blocks_are_what_the_row_says",
        'Block("output.dropout", ("output", 1)',
        'Block("output.dropout", ("output", 0)',
        "its norm does not read",
    ),
    "a sub-layer of the block before": (
        "blocks_are_what_the_row_says",
        'Block("output.dropout",',
        'Block("attention.output.dropout",',
        "its norm does not read",
    ),
}


def suite(
    model_type: str, config: Mapping[str, Any], *, decoder: bool = False, plugin: Path | None = None
) -> type[FamilySuite]:
    values = {"model_type": model_type, "config": config, "decoder": decoder, "plugin": plugin}
    return type("Suite", (FamilySuite,), {**values, "__test__": False})


class Run:
    """One suite with its home and model, and its checks by name."""

    def __init__(self, kind: type[FamilySuite], folder: Path) -> None:
        self.suite = kind()
        self.home = kind.make_home(folder / "home")
        self.base = kind.make_base(self.home)

    def check(self, name: str, method: str = "lora") -> None:
        function = getattr(self.suite, f"test_{name}")
        values = {
            "base": self.base,
            "home": self.home,
            "anatomy": Anatomy(self.base.model, self.home.plugins().families),
            "batch": small_batch(),
            "method": method,
        }
        function(**{key: values[key] for key in inspect.signature(function).parameters})


def names() -> list[str]:
    found = (name for name, _ in inspect.getmembers(FamilySuite, inspect.isfunction))
    return [name.removeprefix("test_") for name in found if name.startswith("test_")]


def run_all(run: Run) -> None:
    for name in names():
        by_method = "method" in inspect.signature(getattr(run.suite, f"test_{name}")).parameters
        for method in METHODS if by_method else ("",):
            run.check(name, method)


def write_plugin(folder: Path, code: str) -> Path:
    plugin = folder / "row.py"
    plugin.write_text(code, encoding="utf-8")
    return plugin


@pytest.mark.parametrize("model_type", SOUND)
def test_rows_of_the_package_pass(model_type: str, tmp_path: Path) -> None:
    decoder = model_type in DECODERS
    run_all(Run(suite(model_type, CONFIGS[model_type], decoder=decoder), tmp_path))


@pytest.mark.parametrize(
    ("code", "model_type", "config", "decoder"),
    [(ELECTRA, "electra", TINY_ELECTRA, False), (QWEN3, "qwen3", TINY_QWEN3, True)],
    ids=["electra", "qwen3"],
)
def test_rows_of_a_plugin_pass(
    code: str, model_type: str, config: Mapping[str, Any], decoder: bool, tmp_path: Path
) -> None:
    plugin = write_plugin(tmp_path, code)
    run_all(Run(suite(model_type, config, decoder=decoder, plugin=plugin), tmp_path))


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_row_is_named(fault: str, tmp_path: Path) -> None:
    check, right, wrong, message = FAULTS[fault]
    assert ELECTRA.count(right) == 1
    plugin = write_plugin(tmp_path, ELECTRA.replace(right, wrong))
    run = Run(suite("electra", TINY_ELECTRA, plugin=plugin), tmp_path)
    with pytest.raises(AssertionError, match=re.escape(message)):
        run.check(check)


def test_a_row_that_forgets_the_positions_is_named(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, QWEN3.replace('rotary="rotary_emb"', "rotary=None"))
    run = Run(suite("qwen3", TINY_QWEN3, decoder=True, plugin=plugin), tmp_path)
    with pytest.raises(AssertionError, match="in `rotary_emb`, and the row has no `rotary`"):
        run.check("positions_are_where_the_row_says")

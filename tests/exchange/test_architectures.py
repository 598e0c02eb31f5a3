"""Named architectures of `adapters` in this package's words, without torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from adapterhub_lite import digests
from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import architectures
from adapterhub_lite.methods.bottleneck import BottleneckConfig


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("pfeiffer", {}, {"placement": "pfeiffer", "reduction": 16.0, "activation": "relu"}),
        ("seq_bn", {"reduction_factor": 12}, {"placement": "pfeiffer", "reduction": 12.0}),
        ("houlsby", {}, {"placement": "houlsby", "activation": "silu"}),
        ("parallel", {}, {"placement": "parallel", "reduction": 2.0, "scale": 4.0}),
        ("scaled_par_bn", {}, {"learned_scale": "scalar", "scale": 1.0}),
        (
            "pfeiffer+inv",
            {"reduction_factor": 2, "non_linearity": "gelu"},
            {"invertible": True, "invertible_reduction": 2.0, "activation": "gelu"},
        ),
    ],
)
def test_names_mean_what_the_librarys_table_says(
    name: str, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The values are those of the classes in `configuration/adapter_config.py`, version 1.3.0."""
    config = architectures.named(name, **options).config.to_mapping()
    assert {key: config[key] for key in expected} == expected
    assert config["init"] == "bert"


def test_old_names_of_activations() -> None:
    named = architectures.named
    assert named("pfeiffer", non_linearity="gelu", old_names=True).config.activation == "gelu_new"
    assert named("pfeiffer", non_linearity="gelu_orig", old_names=True).config.activation == "gelu"
    assert named("pfeiffer", non_linearity="swish", old_names=True).config.activation == "silu"


def test_layers() -> None:
    found = architectures.named("pfeiffer", leave_out=[11, 9])
    assert found.leave_out == (9, 11)
    by_layer = {"0": 2, "default": 16}
    assert architectures.named(
        "pfeiffer", reduction_factor=by_layer, layers=3
    ).config.reductions == (2.0, 16.0, 16.0)
    same = architectures.named("pfeiffer", reduction_factor={"default": 8}, layers=3).config
    assert (same.reduction, same.reductions) == (8.0, ())
    with pytest.raises(ExchangeError, match="the depth is not known"):
        architectures.named("pfeiffer", reduction_factor=by_layer)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pfeifer", {}, "no architecture `pfeifer`"),
        ("pfeiffer", {"reduction": 2}, "config has `reduction`"),
        ("compacter", {}, "no bottleneck but Compacter"),
        ("pfeiffer", {"non_linearity": "sine"}, "`non_linearity` is `sine`"),
        ("pfeiffer", {"reduction_factor": 0}, "`reduction_factor` is `0`"),
    ],
)
def test_refusals(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExchangeError, match=message):
        architectures.named(name, **options)


def test_training_only_options_are_told_of() -> None:
    notes = architectures.named("pfeiffer", dropout=0.1).notes
    assert notes == ("`dropout` 0.1 of training is not kept",)


def test_digests_of_older_adapters_stay() -> None:
    """The fields as they were when the starter adapters were made, in a registry since then."""
    old = {
        "activation": "relu",
        "init": "zero",
        "invertible": False,
        "invertible_reduction": 2.0,
        "placement": "pfeiffer",
        "reduction": 16.0,
        "scale": 1.0,
    }
    assert BottleneckConfig().to_mapping() == old
    assert digests.of_json(BottleneckConfig().to_mapping()) == digests.of_json(old)
    chained = BottleneckConfig(stacking="chained")
    assert chained.to_mapping() == {**old, "stacking": "chained"}
    assert BottleneckConfig.from_mapping(chained.to_mapping()) == chained


def test_no_torch() -> None:
    code = (
        "import sys; from adapterhub_lite.exchange import architectures as a; "
        "a.named('pfeiffer'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

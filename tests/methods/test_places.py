"""Sites named one by one, and fields that leave configs from before them as they were."""

from __future__ import annotations

import pytest

from adapterhub_lite.errors import MethodError
from adapterhub_lite.methods import places
from adapterhub_lite.methods.lora import LoRAConfig
from adapterhub_lite.methods.prefix import PrefixConfig


def test_defaults_are_what_adapters_from_before_hold() -> None:
    """As files had them before there were single sites: their config digests must not change."""
    assert LoRAConfig().to_mapping() == {
        "rank": 8,
        "alpha": 16.0,
        "rank_stabilised": False,
        "dropout": 0.0,
        "bias": False,
        "parts": ["query", "value"],
    }
    assert PrefixConfig().to_mapping() == {
        "length": 30,
        "reparameterise": False,
        "inner": 512,
        "gate": False,
    }


def test_numbers_by_site() -> None:
    config = LoRAConfig(rank=8, alpha=16.0, ranks=("query.0=2",), alphas=("value.1=3",))
    assert [config.rank_at(key) for key in ("query.0", "query.1")] == [2, 8]
    assert [config.scaling_at(key) for key in ("query.0", "value.1", "key.0")] == [8.0, 3 / 8, 2.0]
    assert LoRAConfig.from_mapping(config.to_mapping()) == config
    assert places.numbers(places.texts({"query.0": 1 / 3}), "lora") == {"query.0": 1 / 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["sites=query"], "has no site `query`"),
        (["sites=attention.0"], "has no site `attention.0`"),
        (["sites=query.0,query.0"], "names site `query.0` twice"),
        (["ranks=query.0"], "needs `SITE=NUMBER`"),
        (["ranks=query.0=1.5"], "needs whole ranks"),
        (["ranks=query.0=0"], "a positive one"),
        (["tokens=[4, 4]"], "rising order"),
    ],
)
def test_what_makes_no_sense(settings: list[str], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        LoRAConfig.from_settings(settings)

"""Folders that the real library saved give its outputs here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.exchange.adapterhub.cases import Case, cases
from tests.exchange.adapterhub.conftest import Place, batch, outputs

ALL = cases()
CLOSE = 1e-4


def ids(case: Case) -> str:
    return str(case["id"])


def composed(case: Case, place: Place, saved: Path) -> str:
    """Import a case's adapters and return the composition that stands for its set-up."""
    folder = saved / case["id"]
    take = {n: place.take(folder / n, case["base"]).ref for n in case["adapters"]}
    setup = case["setup"]
    return f"stack({', '.join(take[n] for n in setup)})" if isinstance(setup, list) else take[setup]


PLAIN = [c for c in ALL if "head" not in c and "fusion" not in c]


@pytest.mark.parametrize("case", PLAIN, ids=ids)
def test_hidden_states_are_the_librarys(case: Case, place: Place, saved: Path) -> None:
    wanted = outputs(saved, case["id"])["hidden"]
    composition = composed(case, place, saved)
    found = place.hidden(case["base"], composition, batch())
    real = batch()["attention_mask"].bool()
    assert (wanted - place.plain(case["base"]))[real].abs().max() > 0.05
    torch.testing.assert_close(found[real], wanted[real], atol=CLOSE, rtol=0)

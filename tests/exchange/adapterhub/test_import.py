"""Folders that the real library saved give its outputs here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.model.attach import attach
from tests.exchange.adapterhub.cases import Case, cases
from tests.exchange.adapterhub.conftest import CLOSE, TASK, Place, batch, outputs

ALL = cases()
WITHOUT_HEAD = [case for case in ALL if "head" not in case and "fusion" not in case]
WITH_HEAD = [case for case in ALL if "head" in case]
REAL = batch()["attention_mask"].bool()


def ids(case: Case) -> str:
    return str(case["id"])


def composed(case: Case, place: Place, saved: Path) -> str:
    """Import a case's adapters and return the composition that stands for its set-up."""
    refs = {n: place.take(saved / case["id"] / n, case["base"]).ref for n in case["adapters"]}
    setup = case["setup"]
    return f"stack({', '.join(refs[n] for n in setup)})" if isinstance(setup, list) else refs[setup]


@pytest.mark.parametrize("case", WITHOUT_HEAD, ids=ids)
def test_hidden_states_are_the_librarys(case: Case, place: Place, saved: Path) -> None:
    wanted = outputs(saved, case["id"])["hidden"]
    found = place.hidden(case["base"], composed(case, place, saved), batch())
    assert (wanted - place.plain(case["base"]))[REAL].abs().max() > 10 * CLOSE
    torch.testing.assert_close(found[REAL], wanted[REAL], atol=CLOSE, rtol=0)


@pytest.mark.parametrize("case", [c for c in ALL if c.get("vocabulary")], ids=ids)
def test_the_inverse_is_undone_before_the_vocabulary(case: Case, place: Place, saved: Path) -> None:
    """The library's own head forgets the base's vocabulary bias, so scores are compared without."""
    base = place.bases[case["base"]]
    with attach(base, composed(case, place, saved), home=place.home), torch.no_grad():
        found = base.model(**batch()).logits
    output: Any = base.vocabulary
    wanted = outputs(saved, case["id"])["vocabulary"]
    torch.testing.assert_close((found - output.bias)[REAL], wanted[REAL], atol=CLOSE, rtol=0)


def units(kind: str) -> Tensor:
    """Return a batch's units: the whole text, or every token by itself."""
    each = torch.arange(7).expand(3, 7) if kind == "token-classification" else torch.zeros(3, 7)
    return torch.where(REAL, each.long(), -1)


@pytest.mark.parametrize("case", WITH_HEAD, ids=ids)
def test_heads_give_the_librarys_logits(case: Case, place: Place, saved: Path) -> None:
    wanted = outputs(saved, case["id"])["logits"]
    head = case["head"]
    count = head.get("num_labels", 0)
    named = "label2id" in head or "static" in head
    details = TASK if named else replace(TASK, labels=tuple(f"l{n}" for n in range(count)))
    adapter = place.take(saved / case["id"] / "a", case["base"], details)
    base = place.bases[case["base"]]
    with attach(base, adapter.ref, home=place.home) as attached, torch.no_grad():
        top = attached.head()
        assert top is not None
        kind = place.home.plugins().task_type(top[0].type).for_head(top[0])
        hidden = base.trunk(**batch()).last_hidden_state
        found = kind.logits(top[1], hidden, {"units": units(kind.name)})
    if kind.name == "sequence-classification":
        assert found.shape == (3, 1, count)
        torch.testing.assert_close(found[:, 0], wanted, atol=CLOSE, rtol=0)
    else:
        torch.testing.assert_close(found[REAL], wanted[REAL], atol=CLOSE, rtol=0)


def test_labels_stand_in_the_order_of_their_numbers(place: Place, saved: Path) -> None:
    adapter = place.take(saved / "xlm-roberta-classify-one" / "a", "xlm-roberta", TASK)
    assert adapter.manifest.head is not None
    assert adapter.manifest.head.labels == ("no", "yes")


def test_a_family_member_reads_as_adapters_says_not_as_peft_does(place: Place, saved: Path) -> None:
    """In the library's own wrapping of Llama `intermediate` is the down projection."""
    adapter = place.take(saved / "llama-ia3" / "a", "llama")
    assert adapter.manifest.config["outputs"] == ["key", "value", "ffn_down"]


@pytest.mark.parametrize("case", [c for c in ALL if "fusion" in c], ids=ids)
def test_fusions_over_members_that_came_in_before(case: Case, place: Place, saved: Path) -> None:
    folder, base = saved / case["id"], case["base"]
    refs = {name: place.take(folder / name, base).ref for name in case["adapters"]}
    members = tuple(refs[name] for name in case["fusion"]["members"])
    details = replace(TASK, over=tuple(refs.values()))
    with pytest.raises(ExchangeError, match="it fuses `m`, `n`, which the folder does not hold"):
        place.take(folder / "fusion", base, replace(TASK, over=members[:1]))
    fusion = place.take(folder / "fusion", base, details)
    below = [ref for ref in refs.values() if ref not in members]
    fused = f"fuse({', '.join(members)})"
    composition = f"stack({', '.join([*below, fused, fusion.ref])})"
    found = place.hidden(base, composition, batch())
    torch.testing.assert_close(
        found[REAL], outputs(saved, case["id"])["hidden"][REAL], atol=CLOSE, rtol=0
    )

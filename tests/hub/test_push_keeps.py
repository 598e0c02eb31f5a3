"""A push takes nothing away that this home merely cannot make."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapterhub_lite import Home
from adapterhub_lite.adapter import Adapter, Score
from adapterhub_lite.errors import HubError
from adapterhub_lite.hub import pull, pull_stack, push, push_stack
from adapterhub_lite.methods.bottleneck import Bottleneck
from adapterhub_lite.methods.lora import LoRA
from adapterhub_lite.model.base import Base
from tests.hub.conftest import TOKEN
from tests.hub.making import BASE, new_home
from tests.hub.server import Hub
from tests.hub.test_peers import add, base, base_folder

__all__ = ["base", "base_folder"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated"),
    pytest.mark.usefixtures("waits"),  # a base that is not at hand is asked for more than once
]

PEFT = {"adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture
def pushed(hub: Hub, home: Home, base: Base, tmp_path: Path) -> Adapter:
    """A LoRA with recorded scores, pushed from a home that has its base."""
    made = add(home, base, LoRA(), {"rank": 4}, "sw", tmp_path / "made")
    push("sw", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Home:
    """A home that has neither the base nor the scores."""
    return new_home(tmp_path / "elsewhere")


def test_the_same_weights_from_a_home_without_the_base_change_nothing(
    hub: Hub, pushed: Adapter, elsewhere: Home
) -> None:
    before = hub.files("lab/sw")
    assert before.keys() >= PEFT
    pull("lab/sw", home=elsewhere, endpoint=hub.endpoint)
    hub.repos.pop("org/base")  # nor is it on the Hub any more
    again = push("lab/sw", "lab/sw", home=elsewhere, endpoint=hub.endpoint, token=TOKEN)
    assert (again.changed, again.removed) == ((), ())
    assert hub.files("lab/sw") == before
    assert any("left as they are: `adapter_config.json`" in note for note in again.notes)


def test_nor_does_a_base_whose_folder_cannot_be_read_just_now(
    hub: Hub, home: Home, pushed: Adapter, tmp_path: Path
) -> None:
    before = hub.files("lab/sw")
    home.registry.add_base(home.registry.base("org/base").identity, str(tmp_path / "gone"))
    again = push("sw", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert (again.changed, again.removed) == ((), ())
    assert hub.files("lab/sw") == before


def test_new_weights_are_refused_where_their_files_cannot_be_made(
    hub: Hub, home: Home, pushed: Adapter, base: Base, elsewhere: Home, tmp_path: Path
) -> None:
    before = hub.files("lab/sw")
    pull("lab/sw", home=elsewhere, endpoint=hub.endpoint)  # seen: it may be overwritten
    hub.repos.pop("org/base")
    other = add(home, base, LoRA(), {"rank": 8}, "sw-2", tmp_path / "made-2")
    elsewhere.add(home.folder_of(other), name="sw-2")
    with pytest.raises(HubError, match=r"`adapter_config\.json`.* of other weights"):
        push("sw-2", "lab/sw", home=elsewhere, endpoint=hub.endpoint, token=TOKEN)
    assert hub.files("lab/sw") == before


def test_what_new_weights_contradict_goes(
    hub: Hub, home: Home, pushed: Adapter, base: Base, tmp_path: Path
) -> None:
    add(home, base, Bottleneck(), {"reduction": 4.0}, "other", tmp_path / "other")
    changed = push("other", "lab/sw", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert "adapter_model.safetensors" in changed.removed
    assert "adapter.safetensors" in hub.files("lab/sw")


def test_scores_that_this_home_does_not_have_stay_on_the_card(
    hub: Hub, home: Home, base: Base, elsewhere: Home, tmp_path: Path
) -> None:
    import dataclasses

    from adapterhub_lite.adapter import HeadSpec, Kind, LanguageUse, Role

    made = add(home, base, LoRA(), {"rank": 4}, "plain", tmp_path / "made")
    manifest = dataclasses.replace(
        made.manifest,
        kind=Kind.TASK,
        languages=(LanguageUse("en", Role.SOURCE),),
        task="ner",
        head=HeadSpec("made-up-head", ("O",)),
    )
    folder = tmp_path / "task"
    shutil.copytree(home.folder_of(made), folder)
    from adapterhub_lite import manifest as manifests

    (folder / "adapter.json").chmod(0o644)
    (folder / "adapter.json").write_text(manifests.dumps(manifest))
    ner = home.add(folder, name="ner")
    when = datetime(2026, 1, 1, tzinfo=UTC)
    home.registry.record_scores(
        [Score(ner.digest, "ner", "names", "test", "sw", "f1", 0.75, 10, 0, when, "us", "en")]
    )
    push("ner", "lab/ner", home=home, endpoint=hub.endpoint, token=TOKEN)
    before = hub.files("lab/ner")["README.md"]
    assert b"0.75" in before
    pull("lab/ner", home=elsewhere, endpoint=hub.endpoint)
    again = push("lab/ner", "lab/ner", home=elsewhere, endpoint=hub.endpoint, token=TOKEN)
    assert hub.files("lab/ner")["README.md"] == before
    assert any("1 results that are not recorded here" in note for note in again.notes)
    home.registry.record_scores(
        [Score(ner.digest, "ner", "names", "test", "gv", "f1", 0.5, 10, 0, when, "us", "en")]
    )
    more = push("ner", "lab/ner", home=home, endpoint=hub.endpoint, token=TOKEN)
    assert more.changed == ("README.md",)  # which says all that it said, and more


def test_a_stack_keeps_them_as_well(
    hub: Hub, home: Home, pushed: Adapter, base: Base, elsewhere: Home
) -> None:
    push_stack("sw", "lab/stack", home=home, endpoint=hub.endpoint, token=TOKEN)
    before = hub.files("lab/stack")
    assert "adapters/sw/adapter_model.safetensors" in before
    pulled = pull_stack("lab/stack", home=elsewhere, endpoint=hub.endpoint)
    hub.repos.pop("org/base")
    again = push_stack(
        pulled.composition, "lab/stack", home=elsewhere, endpoint=hub.endpoint, token=TOKEN
    )
    assert again.removed == ()
    assert set(hub.files("lab/stack")) == set(before)
    for path, data in before.items():
        if not path.endswith("stack.json"):  # which has versions of what locked it
            assert hub.files("lab/stack")[path] == data


def test_a_name_that_is_on_no_hub_is_claimed_by_no_home(
    hub: Hub, home: Home, elsewhere: Home, tmp_path: Path
) -> None:
    from tests.hub.making import add as add_plain

    named = replace(BASE, name="tiny")
    made = add_plain(home, tmp_path / "plain", "plain", 3, base=named)
    home.registry.add_base(made.manifest.base, location="bases/tiny")
    push("plain", "lab/plain", home=home, endpoint=hub.endpoint, token=TOKEN)
    card = hub.files("lab/plain")["README.md"]
    assert b"base_model:" not in card
    pull("lab/plain", home=elsewhere, endpoint=hub.endpoint)
    again = push("lab/plain", "lab/plain", home=elsewhere, endpoint=hub.endpoint, token=TOKEN)
    assert again.changed == ()
    assert hub.files("lab/plain")["README.md"] == card

"""Refs, for any names and any order: what a ref means follows from the content alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterhub_lite import manifest as manifests
from adapterhub_lite.errors import AhlError, RefError, UsageError
from adapterhub_lite.registry import Addition, Registry
from tests.registry.making import WHEN, manifest

LETTERS = "abcdefABC019._-/"
_PART = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,6}"
NAMES = st.from_regex(rf"{_PART}{_PART}(/{_PART})?", fullmatch=True)
ADDITIONS = st.lists(
    st.builds(
        lambda seed, name, aliases: Addition(
            manifest(f"seed-{seed}"), name, tuple(aliases), added=WHEN
        ),
        st.integers(0, 5),
        NAMES,
        st.lists(NAMES, max_size=2),
    ),
    max_size=8,
)


@contextmanager
def _registry() -> Iterator[Registry]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Registry(Path(folder) / "registry.db", create=True) as opened,
    ):
        yield opened


@settings(max_examples=20, deadline=None)
@given(ADDITIONS)
def test_names_mean_what_they_were_last_given_to(additions: list[Addition]) -> None:
    meant = {}
    with _registry() as registry:
        for item in additions:
            registry.add(item.manifest, name=item.name, aliases=item.aliases, added=WHEN)
            for name in (item.name, *item.aliases):
                meant[name] = manifests.digest(item.manifest)
        assert registry.names() == sorted(meant)
        for name, digest in meant.items():
            assert registry.get(f"{name}@{digest[:12]}").digest == digest
            assert registry.get(digest).digest == digest
        for adapter in registry.find():
            pointing = {name for name, digest in meant.items() if digest == adapter.digest}
            assert set(adapter.aliases) == pointing - {adapter.name}
            assert registry.get(adapter.ref) == adapter


@settings(max_examples=12, deadline=None)
@given(ADDITIONS)
def test_in_bulk_or_one_by_one_is_the_same(additions: list[Addition]) -> None:
    with _registry() as one, _registry() as bulk:
        for item in additions:
            one.add(item.manifest, name=item.name, aliases=item.aliases, added=WHEN)
        assert bulk.add_many(additions) == one.count()
        assert one.dump() == bulk.dump()


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("refs") / "registry.db", create=True) as opened:
        for seed in ("a", "b", "c"):
            opened.add(manifest(seed), name=f"name-{seed}", added=WHEN)
        yield opened


@settings(max_examples=200, deadline=None)
@given(ref=st.one_of(st.text(max_size=30), st.text(LETTERS + "@", max_size=80)))
def test_any_text_is_a_ref_or_one_clear_error(known: Registry, ref: str) -> None:
    try:
        found = known.get(ref)
    except RefError as error:
        assert error.hint  # noqa: PT017  # either outcome is right, and each has its rules
    else:
        assert found.digest.startswith(ref.rpartition("@")[2]) or ref in known.names()


@settings(max_examples=100, deadline=None)
@given(name=st.text(max_size=12))
def test_a_name_is_taken_or_refused(name: str) -> None:
    try:
        Addition(manifest(), name)
    except AhlError as error:
        assert isinstance(error, UsageError)  # noqa: PT017  # as above
    else:
        assert name.isascii()
        assert name[0].isalnum()

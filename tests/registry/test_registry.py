"""What a registry answers, on SQLite and on PostgreSQL."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from adapterhub_lite import digests
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import BaseIdentity, Kind, Manifest, Role
from adapterhub_lite.composition import Stack
from adapterhub_lite.errors import RefError, RegistryError, UsageError
from adapterhub_lite.registry import Addition, BaseEntry, Registry
from tests.registry.making import BASE, WHEN, fill, manifest, pair, score, task


def names(registry: Registry, **filters: object) -> list[str]:
    return [adapter.name for adapter in registry.find(**filters)]  # type: ignore[arg-type]


def test_what_goes_in_comes_out(registry: Registry) -> None:
    given = task(trained_over=(registry.add(manifest(), name="sw-wiki").underneath(),))
    added = registry.add(given, name="ner", aliases=("b", "a"), added=WHEN)
    assert added.manifest == given
    assert added.digest == manifests.digest(given)
    assert (added.name, added.aliases, added.added, added.remote) == (
        "ner",
        ("a", "b"),
        WHEN,
        False,
    )
    assert registry.get("ner") == added


def test_the_time_of_adding_is_now_in_utc(registry: Registry) -> None:
    added = registry.add(manifest(), name="sw").added
    assert added.tzinfo == UTC
    assert abs(datetime.now(UTC) - added) < timedelta(minutes=1)


def test_a_moment_keeps_its_meaning_across_time_zones(registry: Registry) -> None:
    there = WHEN.astimezone(timezone(timedelta(hours=3)))
    assert registry.add(manifest(), name="sw", added=there).added == WHEN
    with pytest.raises(UsageError, match="needs a time zone"):
        registry.add(manifest("b"), name="b", added=WHEN.replace(tzinfo=None))


@pytest.mark.parametrize("ref", ["sw-wiki", "sw", "sw-wiki@{6}", "sw@{1}", "{64}", "{6}", "{12}"])
def test_every_form_of_ref(registry: Registry, ref: str) -> None:
    fill(registry)
    digest = registry.get("sw-wiki").digest
    for length in (1, 6, 12, 64):
        ref = ref.replace(f"{{{length}}}", digest[:length])
    assert registry.get(ref).digest == digest


def test_the_ref_of_an_adapter_means_it(registry: Registry) -> None:
    fill(registry)
    for adapter in registry.find():
        assert registry.get(adapter.ref) == adapter


def test_an_unknown_ref_names_what_is_close(registry: Registry) -> None:
    fill(registry)
    with pytest.raises(RefError, match="no adapter `sw-wkii`") as error:
        registry.get("sw-wkii")
    assert error.value.hint == "did you mean `sw-wiki`?"
    with pytest.raises(RefError, match="begins with `000000`") as error:
        registry.get("sw-wiki@000000")
    assert registry.get("sw-wiki").ref in str(error.value.hint)
    with pytest.raises(RefError, match="after `@` comes the beginning of a digest"):
        registry.get("sw-wiki@latest")
    for ref in ("", "@", "a b", "ü", "\0", "\udcff"):
        with pytest.raises(RefError, match="is no name, alias or digest"):
            registry.get(ref)
    with pytest.raises(UsageError, match="is not text"):
        registry.find(task="\udcff")


def test_an_empty_registry_says_so(registry: Registry) -> None:
    with pytest.raises(RefError) as error:
        registry.get("anything")
    assert error.value.hint == "there is none yet"
    assert (registry.count(), registry.find(), registry.names(), registry.dump()) == (0, [], [], "")


def _two_that_begin_alike(length: int) -> tuple[Manifest, Manifest]:
    seen: dict[str, Manifest] = {}
    for number in range(10**6):
        made = manifest(citation=str(number))
        start = manifests.digest(made)[:length]
        if start in seen:
            return seen[start], made
        seen[start] = made
    raise AssertionError(length)


def test_a_short_digest_that_fits_two_is_refused(registry: Registry) -> None:
    one, two = _two_that_begin_alike(6)
    first, second = registry.add(one, name="x"), registry.add(two, name="x")
    start = first.digest[:6]
    for ref in (start, f"x@{start}"):
        with pytest.raises(RefError, match="fits several") as error:
            registry.get(ref)
        assert first.ref in error.value.message
        assert second.ref in error.value.message
    assert registry.get(f"x@{second.digest}") == second


def test_a_name_that_is_also_the_beginning_of_a_digest_is_refused(registry: Registry) -> None:
    first = registry.add(manifest("a"), name="a")
    trap = registry.add(manifest("b"), name=first.digest[:8])
    with pytest.raises(RefError, match="fits several"):
        registry.get(first.digest[:8])
    assert registry.get(trap.ref) == trap


def test_names_move_and_refs_stay(registry: Registry) -> None:
    old = registry.add(manifest("old"), name="sw-wiki")
    new = registry.add(manifest("new"), name="sw-wiki")
    assert registry.get("sw-wiki") == new
    assert registry.get(old.ref) == old
    assert registry.alias("sw-wiki", old.digest) == old
    assert registry.get("sw-wiki") == old
    assert registry.get(new.ref) == new


def test_an_alias_moves(registry: Registry) -> None:
    fill(registry)
    assert registry.alias("best", "sw-wiki").aliases == ("best", "sw")
    assert registry.alias("best", "en-wiki").aliases == ("best",)
    assert registry.get("sw-wiki").aliases == ("sw",)
    assert registry.get("best").name == "en-wiki"
    with pytest.raises(RefError):
        registry.alias("best", "nothing")
    assert registry.get("best").name == "en-wiki"


def test_adding_again_adds_names_only(registry: Registry) -> None:
    first = registry.add(manifest(), name="one", added=WHEN)
    again = registry.add(manifest(), name="two", aliases=("three",))
    assert (registry.count(), again.digest, again.name, again.added) == (
        1,
        first.digest,
        "one",
        WHEN,
    )
    assert again.aliases == ("three", "two")


def test_a_remote_adapter_that_arrives_is_remote_no_more(registry: Registry) -> None:
    assert registry.add(manifest(), name="x", remote=True).remote
    assert not registry.add(manifest(), name="x").remote
    assert not registry.add(manifest(), name="x", remote=True).remote


@pytest.mark.parametrize("name", ["", "-x", "a b", "a@b", "ü", "x" * 201, "a" * 64, "a\n"])
def test_names_that_cannot_be(registry: Registry, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be"):
        registry.add(manifest(), name=name)
    with pytest.raises(UsageError, match="cannot be"):
        registry.add(manifest(), name="x", aliases=(name,))
    assert registry.count() == 0


def test_find_by_each_property(registry: Registry) -> None:
    fill(registry)
    everything = ["en-sw", "en-wiki", "ner-en", "pos-en", "sw-wiki", "swh-wiki"]
    assert names(registry) == everything
    assert names(registry, limit=2) == everything[:2]
    assert names(registry, kind=Kind.TASK) == ["ner-en", "pos-en"]
    assert names(registry, kind="bilingual") == ["en-sw"]
    assert names(registry, task="pos") == ["pos-en"]
    assert names(registry, dataset="names") == ["ner-en"]
    assert names(registry, remote=True) == ["pos-en"]
    assert names(registry, remote=False, kind=Kind.TASK) == ["ner-en"]
    assert names(registry, method="lora") == []
    assert names(registry, method="bottleneck", limit=1) == ["en-sw"]
    assert names(registry, config_digest=manifest().config_digest) == everything
    assert names(registry, base_name="mini-base") == everything
    assert names(registry, base_name="other") == []


def test_find_by_language(registry: Registry) -> None:
    fill(registry)
    assert names(registry, language="sw") == ["en-sw", "sw-wiki", "swh-wiki"]
    assert names(registry, language="swh") == ["swh-wiki"]
    assert names(registry, language="eng", kind=Kind.LANGUAGE) == ["en-wiki"]
    assert names(registry, language=("swh", "en"), kind=Kind.LANGUAGE) == ["en-wiki", "swh-wiki"]
    assert names(registry, language="en", role=Role.SOURCE) == ["en-sw", "ner-en", "pos-en"]
    assert names(registry, language="en", role="target") == []
    assert names(registry, role=Role.TARGET) == ["en-sw"]
    assert names(registry, language="en", task="ner", kind=Kind.TASK) == ["ner-en"]
    assert names(registry, language=()) == []


def test_find_by_base_is_the_same_as_same_as(registry: Registry) -> None:
    bases = [
        BASE,
        dataclasses.replace(BASE, fingerprint=""),
        dataclasses.replace(BASE, fingerprint="e" * 64),
        dataclasses.replace(BASE, name="copy"),
        dataclasses.replace(BASE, name="other", fingerprint=""),
        dataclasses.replace(BASE, revision="abc"),
    ]
    for number, base in enumerate(bases):
        registry.add(manifest(base=base), name=f"n{number}")
    for asked in bases:
        fits = [f"n{number}" for number, base in enumerate(bases) if asked.same_as(base)]
        assert names(registry, base=asked) == fits
        assert names(registry, base=asked, language="sw") == fits


def test_remove(registry: Registry) -> None:
    fill(registry)
    assert registry.remove("sw").name == "sw-wiki"
    assert registry.names() == ["en-sw", "en-wiki", "ner-en", "pos-en", "swh-wiki"]
    assert names(registry, language="sw", kind=Kind.LANGUAGE) == ["swh-wiki"]
    with pytest.raises(RefError):
        registry.remove("sw-wiki")


def test_an_adapter_that_others_stand_on_stays(registry: Registry) -> None:
    under = registry.add(manifest(), name="sw-wiki").underneath()
    over = registry.add(task(trained_over=(under,)), name="ner-over")
    seen = registry.add(task(seen=(under,)), name="ner-seen")
    with pytest.raises(RegistryError, match="is needed") as error:
        registry.remove("sw-wiki")
    assert error.value.facts["needed_by"] == [over.ref, seen.ref]
    assert registry.remove("sw-wiki", force=True).name == "sw-wiki"
    assert registry.get("ner-over").manifest.trained_over[0].digest == under.digest


def test_bases(registry: Registry) -> None:
    registry.add(manifest(), name="x")
    assert registry.bases() == [BaseEntry(BASE)]
    other = BaseIdentity("b", "bert", 8, 1, 10, revision="r")
    assert registry.add_base(other, "bases/b") == BaseEntry(other, "bases/b")
    assert registry.add_base(other) == BaseEntry(other, "bases/b")
    assert registry.bases() == [BaseEntry(other, "bases/b"), BaseEntry(BASE)]
    assert registry.base("mini-base") == registry.base("f" * 64) == BaseEntry(BASE)
    with pytest.raises(RefError, match="no base model `mini`"):
        registry.base("mini")
    with pytest.raises(RefError):
        registry.base("")
    registry.remove("x")
    assert registry.bases() == [BaseEntry(other, "bases/b")]


def test_one_name_for_two_bases_is_refused(registry: Registry) -> None:
    registry.add_base(dataclasses.replace(BASE, fingerprint=""))
    registry.add_base(BASE, "here")
    assert registry.base("mini-base") == BaseEntry(BASE, "here")
    registry.add_base(dataclasses.replace(BASE, fingerprint="e" * 64))
    with pytest.raises(RefError, match="different weights: eeeeeeeeeeee, ffffffffffff"):
        registry.base("mini-base")
    assert registry.base("f" * 64).location == "here"


def test_scores(registry: Registry) -> None:
    first, second = score(), score(seed=1, value=0.75)
    registry.record_scores([second, first])
    assert registry.scores() == [first, second]
    better = score(value=0.9, n=7, when=WHEN + timedelta(days=1), origin="somebody")
    registry.record_scores([better])
    assert registry.scores() == [better, second]
    other = score(composition=str(Stack("c" * 64, "d" * 64)), language="fo", source_language="en")
    registry.record_scores([other, other])
    assert registry.scores(language="fo") == [other]
    assert registry.scores(composition=Stack("c" * 64, "d" * 64)) == [other]
    assert registry.scores(task="ner", dataset="names", split="test", language="sw") == [
        better,
        second,
    ]
    assert registry.scores(split="dev") == []
    with pytest.raises(UsageError, match="time zone"):
        registry.record_scores([score(when=WHEN.replace(tzinfo=None))])


def test_add_many_is_add_many_times(
    registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    items = [
        Addition(manifest("a"), "a", ("first",), added=WHEN),
        Addition(task("t"), "t", remote=True, added=WHEN),
        Addition(manifest("a"), "again", added=WHEN),
        Addition(manifest("b"), "a", added=WHEN),
        Addition(task("t"), "t", added=WHEN),
    ]
    assert registry.add_many(items) == 3
    path = tmp_path_factory.mktemp("one") / "registry.db"
    with Registry(path, create=True) as one_by_one:
        for item in items:
            one_by_one.add(
                item.manifest, name=item.name, aliases=item.aliases, remote=item.remote, added=WHEN
            )
        assert one_by_one.dump() == registry.dump()
    assert registry.add_many(items) == 0


def test_add_many_is_done_whole_or_not_at_all(registry: Registry) -> None:
    def items() -> object:
        yield from (Addition(manifest(str(n)), f"n{n}") for n in range(6000))
        yield Addition(manifest("bad", config={"alpha": float("nan")}), "bad")

    with pytest.raises(Exception, match="JSON cannot spell"):
        registry.add_many(items())  # type: ignore[arg-type]
    assert registry.count() == 0
    assert registry.names() == []


def test_the_dump_is_the_content_whatever_the_order(url: str, tmp_path: Path) -> None:
    with Registry(url, create=True) as one, Registry(tmp_path / "two.db", create=True) as two:
        fill(one)
        one.add_base(BASE, "bases/mini")
        one.record_scores([score(), score(seed=1)])
        two.record_scores([score(seed=1), score()])
        for adapter in reversed(one.find()):
            two.add(
                adapter.manifest,
                name=adapter.name,
                aliases=adapter.aliases,
                remote=adapter.remote,
                added=adapter.added,
            )
        assert one.dump() != two.dump()
        two.add_base(BASE, "bases/mini")
        assert one.dump() == two.dump()
        lines = [json.loads(line) for line in one.dump().splitlines()]
        assert [kind for kind, _ in lines].count("adapter") == one.count()
        assert lines == sorted(lines, key=digests.canonical)
        two.alias("sw", "en-wiki")
        assert one.dump() != two.dump()


def test_a_pair_is_found_by_either_side(registry: Registry) -> None:
    registry.add(pair("en", "sw"), name="en-sw")
    assert names(registry, language="en") == names(registry, language="sw") == ["en-sw"]


def test_two_registries_on_one_database_see_each_other(registry: Registry, url: str) -> None:
    with Registry(url) as other:
        registry.add(manifest(), name="x")
        assert other.get("x") == registry.get("x")
        other.remove("x")
        assert registry.count() == 0

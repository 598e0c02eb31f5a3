"""What was changed never runs: adapters, bases, tokenizers, records and locks.

Every case changes one thing in a copy of the shipped home, with sizes and times as they were where
that is possible, and expects an error that names it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from adapterhub_lite import (
    Home,
    attach,
    base_files,
    checked_files,
    digests,
    load_base,
    lock,
    resolve,
)
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import Adapter
from adapterhub_lite.cli import main
from adapterhub_lite.errors import (
    AhlError,
    AhlWarning,
    BaseMismatchError,
    LockError,
    RegistryError,
    WeightsError,
)
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.fingerprint import SAMPLE
from adapterhub_lite.testing.homes import copy_home

ROOT = Path(__file__).resolve().parent.parent
STACK = "stack(gv, pos-en)"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base("e5-mmt-6", home=Home.find(ROOT))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that nothing changes."""
    return copy_home(ROOT, tmp_path_factory.mktemp("shipped"))


@pytest.fixture(scope="module")
def locked(shipped: Home) -> lock.Lock:
    return lock.make(STACK, home=shipped)


def copy_parts(source: Path, into: Path, *parts: str) -> Home:
    into.mkdir()
    shutil.copy(source / "registry.db", into)
    for part in parts:
        shutil.copytree(source / part, into / part)
    return Home.find(into)


@pytest.fixture
def home(shipped: Home, tmp_path: Path) -> Home:
    """A home with adapters to change."""
    return copy_parts(shipped.path, tmp_path / "home", "objects")


@pytest.fixture
def with_base(shipped: Home, tmp_path: Path) -> Home:
    """A home with a base to change."""
    return copy_parts(shipped.path, tmp_path / "home", "bases")


def base_problems(home: Home) -> list[str]:
    return [problem.kind for problem in home.verify() if problem.subject == "e5-mmt-6"]


def weights_of(home: Home, ref: str) -> Path:
    return home.folder_of(home.registry.get(ref)) / "weights.safetensors"


def rewrite(path: Path, data: bytes) -> None:
    """Write other bytes into a file, and set its time of change back."""
    times = path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


# ------------------------------------------------------------------------------------- adapters


def swap(home: Home) -> None:
    one, other = weights_of(home, "gv"), weights_of(home, "fo")
    first, second = one.read_bytes(), other.read_bytes()
    assert len(first) == len(second)
    rewrite(one, second)
    rewrite(other, first)


def swap_by_renaming(home: Home) -> None:
    one, other = weights_of(home, "gv"), weights_of(home, "fo")
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)


def flip_bits(home: Home) -> None:
    path = weights_of(home, "gv")
    data = bytearray(path.read_bytes())
    for at in range(len(data) - 2000, len(data)):
        data[at] ^= 1
    rewrite(path, bytes(data))


def link_elsewhere(home: Home) -> None:
    one, other = weights_of(home, "gv"), weights_of(home, "fo")
    one.unlink()
    one.symlink_to(other)


@pytest.mark.parametrize("change", [swap, swap_by_renaming, flip_bits, link_elsewhere])
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used before"])
def test_other_weights_never_run(
    home: Home, locked: lock.Lock, base: Base, change: Callable[[Home], None], used: bool
) -> None:
    if used:  # what was checked once must be looked at again
        attach(base, STACK, home=home).detach()
    change(home)
    with pytest.raises(WeightsError, match="is not the file that was recorded: SHA-256"):
        attach(base, STACK, home=home)
    with pytest.raises(LockError, match="has other weights on disk: sha256"):
        attach(base, locked, home=home)
    assert "wrong-weights" in {problem.kind for problem in home.verify()}


# -------------------------------------------------------------------------------------- records


def edit_record(home: Home, ref: str, *statements: str) -> Home:
    digest = home.registry.get(ref).digest
    home.registry.close()
    with sqlite3.connect(home.path / "registry.db") as raw:
        for statement in statements:
            raw.execute(statement, {"digest": digest})
    raw.close()
    return Home.find(home.path)


OTHERS = (
    "UPDATE adapters SET manifest = (SELECT manifest FROM adapters WHERE name = 'pos-en-gv') "
    "WHERE digest = :digest"
)
MANIFEST = "UPDATE adapters SET manifest = replace(manifest, {}) WHERE digest = :digest"


@pytest.mark.parametrize(
    "statement",
    [
        MANIFEST.format("""'"ADJ","ADP"', '"ADP","ADJ"'"""),
        MANIFEST.format("""'"scale":1.0', '"scale":2.0'"""),
        MANIFEST.format("""'"tag":"en"', '"tag":"fo"'"""),
        MANIFEST.format("""'"name":"e5-mmt-6"', '"name":"other"'"""),
        OTHERS,
    ],
    ids=["labels", "config", "languages", "base", "another's"],
)
def test_a_record_that_was_edited_is_not_obeyed(
    home: Home, locked: lock.Lock, base: Base, statement: str
) -> None:
    before = home.registry.get("pos-en").manifest
    edited = edit_record(home, "pos-en", statement)
    for use in (STACK, locked):
        with pytest.raises(RegistryError, match=r"the record of adapter \w+ was changed"):
            attach(base, use, home=edited)
    assert [p.kind for p in edited.verify()] == ["record"]
    assert edited.registry.remove("pos-en", force=True).manifest != before, "as the fix says"
    assert edited.verify()[0].kind == "orphan-object"


INDEX = "UPDATE languages SET tag = 'fo', macro = 'fo' WHERE adapter_id = ({})"
KEY = "SELECT id FROM adapters WHERE digest = :digest"


@pytest.mark.parametrize(
    ("ref", "statement", "request_", "named"),
    [
        ("gv", INDEX.format(KEY), {"language": "fo"}, "language `fo`, its manifest says `gv`"),
        (
            "pos-en",
            "UPDATE adapters SET task = 'ner' WHERE digest = :digest",
            {"kind": "task", "task": "ner"},
            "task `ner`, its manifest says `pos`",
        ),
        (
            "gv",
            "UPDATE adapters SET method = 'lora' WHERE digest = :digest",
            {"method": "lora"},
            "method `lora`, its manifest says `bottleneck`",
        ),
    ],
)
def test_an_index_that_was_edited_puts_nothing_in_anothers_place(
    home: Home, ref: str, statement: str, request_: dict[str, Any], named: str
) -> None:
    edited = edit_record(home, ref, statement)
    with pytest.raises(RegistryError, match=named):
        edited.registry.find(**request_)
    assert "record" in {problem.kind for problem in edited.verify()}


@pytest.fixture
def by_name(home: Home, tmp_path: Path) -> Adapter:
    """An adapter as imports are: its base is known by name only."""
    adapter = home.registry.get("gv")
    given = shutil.copytree(home.folder_of(adapter), tmp_path / "given")
    named = dataclasses.replace(adapter.manifest.base, fingerprint="")
    manifest = dataclasses.replace(adapter.manifest, base=named)
    (given / manifests.FILE).write_text(manifests.dumps(manifest), encoding="utf-8")
    home.registry.remove("gv", force=True)
    return home.add(given, name="gv")


def test_a_base_that_is_known_by_name_only_is_told(
    home: Home, base: Base, by_name: Adapter
) -> None:
    said = f"`{by_name.ref}` names its base `e5-mmt-6` without a fingerprint"
    with pytest.warns(AhlWarning, match=said):
        attach(base, STACK, home=home).detach()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attach(base, "stack(fo, pos-en)", home=home).detach()
    for ref in ("pos-en-gv", "en-gv"):
        home.registry.remove(ref, force=True)
    answer = resolve("en", "gv", task="pos", home=home)
    assert any(warning.startswith(said) for warning in answer.warnings)
    assert said in answer.explain()
    shutil.copytree(ROOT / "bases", home.path / "bases")
    result = CliRunner().invoke(main, ["--home", str(home.path), "--json", "attach", STACK])
    assert result.exit_code == 0, result.output
    assert [w[: len(said)] for w in json.loads(result.stdout)["warnings"]] == [said]
    assert result.stderr.count(f"warning: {said}") == 1
    assert "loaded.py" not in result.stderr, "words, not a place in the source"


# ---------------------------------------------------------------------------------------- bases


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    rewrite(path, json.dumps(values, ensure_ascii=False).encode())


def permute_vocabulary(folder: Path) -> None:
    def change(values: Any) -> None:
        entries = values["model"]["vocab"]
        scores = [score for _, score in entries]
        words = [word for word, _ in entries[:300] + entries[300:][::-1]]
        values["model"]["vocab"] = list(zip(words, scores, strict=True))

    change_json(folder / "tokenizer.json", change)


def replace_normalizer(folder: Path) -> None:
    change_json(folder / "tokenizer.json", lambda v: v.update(normalizer={"type": "Lowercase"}))


def shorten(folder: Path) -> None:
    change_json(folder / "tokenizer_config.json", lambda v: v.update(model_max_length=16))


def add_tokens(folder: Path) -> None:
    (folder / "added_tokens.json").write_text('{"<new>": 5}')


def map_special_tokens(folder: Path) -> None:
    (folder / "special_tokens_map.json").write_text('{"unk_token": "<mask>"}')


def version_tokenizer(folder: Path) -> None:
    """transformers takes the file for its own version, if the config lists such files."""
    shutil.copy(folder / "tokenizer.json", folder / "tokenizer.4.0.json")


def other_activation(folder: Path) -> None:
    change_json(folder / "config.json", lambda v: v.update(hidden_act="relu"))


def other_norm(folder: Path) -> None:
    change_json(folder / "config.json", lambda v: v.update(layer_norm_eps=0.1))


def change_weights(folder: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Change every value of the large tensors but those that the fingerprint samples."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if tensor.numel() > 1000:
            flat = tensor.reshape(-1)
            last = flat.numel() - 1
            sampled = torch.linspace(0, last, SAMPLE).long().clamp(max=last)
            changed = change(flat.clone())
            changed[sampled] = flat[sampled]
            tensors[name] = changed.reshape(tensor.shape)
    path.unlink()
    save_file(tensors, path, metadata={"format": "pt"})


def permute_weights(folder: Path) -> None:
    change_weights(folder, lambda flat: flat.roll(1))


def add_noise(folder: Path) -> None:
    change_weights(folder, lambda flat: flat + 0.05)


def take_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


BASES: dict[Callable[[Path], None], str] = {
    permute_vocabulary: r"its tokenizer changed: `tokenizer\.json`",
    replace_normalizer: r"its tokenizer changed: `tokenizer\.json`",
    shorten: r"its tokenizer changed: `tokenizer_config\.json`",
    add_tokens: r"`added_tokens\.json` is new and changes its tokenizer",
    map_special_tokens: r"`special_tokens_map\.json` is new and changes its tokenizer",
    version_tokenizer: r"`tokenizer\.4\.0\.json` is new and changes its tokenizer",
    other_activation: r"its config changed: `config\.json`",
    other_norm: r"its config changed: `config\.json`",
    permute_weights: r"its weights changed: `model\.safetensors`",
    add_noise: r"its weights changed: `model\.safetensors`",
    take_tokenizer: r"`tokenizer\.json` of its tokenizer is missing",
}


@pytest.mark.parametrize("change", BASES, ids=lambda change: change.__name__)
def test_a_base_that_was_changed_never_runs(
    with_base: Home, locked: lock.Lock, base: Base, change: Callable[[Path], None]
) -> None:
    folder = with_base.path / "bases" / "e5-mmt-6"
    change(folder)
    for place in ("e5-mmt-6", str(folder), base.identity):
        with pytest.raises(BaseMismatchError, match=BASES[change]):
            load_base(place, home=with_base)
    with pytest.raises(LockError, match=BASES[change]):
        lock.check_base(locked, base.identity, base_files.at(folder))
    assert base_problems(with_base) == ["wrong-base"]
    said = CliRunner().invoke(main, ["--home", str(with_base.path), "attach", STACK])
    assert said.exit_code == 1
    assert said.stderr.count("error:") == 1


def test_a_base_saved_again_is_the_same_base(
    with_base: Home, locked: lock.Lock, base: Base
) -> None:
    """Other spacing, order and notes of a library are no difference."""
    folder = with_base.path / "bases" / "e5-mmt-6"
    for name in ("config.json", "tokenizer_config.json"):
        change_json(folder / name, lambda v: v.update(transformers_version="9", _name_or_path="x"))
    lock.check_base(locked, base.identity, base_files.at(folder))
    assert base_problems(with_base) == []


def test_a_base_that_is_gone_is_a_problem(with_base: Home) -> None:
    shutil.rmtree(with_base.path / "bases")
    (with_base.path / "bases").mkdir()
    assert base_problems(with_base) == ["missing-base"]


def test_a_pipe_in_the_place_of_a_file_does_not_block(with_base: Home) -> None:
    path = with_base.path / "bases" / "e5-mmt-6" / "config.json"
    path.unlink()
    os.mkfifo(path)
    assert base_problems(with_base) == ["unreadable-base"]
    with pytest.raises(AhlError, match="is not a regular file"):
        load_base("e5-mmt-6", home=with_base)


# ---------------------------------------------------------------------------------------- locks


def other_adapter(values: dict[str, Any], home: Home) -> None:
    gv, fo = (home.registry.get(ref).digest for ref in ("gv", "fo"))
    values["composition"] = values["composition"].replace(gv, fo)


def empty_list(values: dict[str, Any], _home: Home) -> None:
    values["adapters"] = []


def twice(values: dict[str, Any], _home: Home) -> None:
    values["adapters"].append(values["adapters"][0])


def one_more(values: dict[str, Any], home: Home) -> None:
    values["adapters"].append({**values["adapters"][0], "digest": home.registry.get("fo").digest})


def order(values: dict[str, Any], _home: Home) -> None:
    one, other = (adapter["digest"] for adapter in values["adapters"])
    values["composition"] = f"stack({other}, {one})"


def method(values: dict[str, Any], _home: Home) -> None:
    values["adapters"][0]["method"] = "lora"


def weights(values: dict[str, Any], home: Home) -> None:
    fo = home.registry.get("fo").manifest.weights
    assert fo is not None
    values["adapters"][0]["weights"] = {"sha256": fo.sha256, "size": fo.size}


def source(values: dict[str, Any], _home: Home) -> None:
    values["adapters"][0]["source"] = {"hub_id": "someone/else"}


def plugin(values: dict[str, Any], _home: Home) -> None:
    values["adapters"][0]["provider"]["plugin"] = "other"


def fingerprint(values: dict[str, Any], _home: Home) -> None:
    del values["base"]["fingerprint"]


def other_base(values: dict[str, Any], _home: Home) -> None:
    values["base"]["fingerprint"] = "0" * 64


def no_files(values: dict[str, Any], _home: Home) -> None:
    del values["base_files"]


def other_files(values: dict[str, Any], _home: Home) -> None:
    values["base_files"]["tokenizer.json"] = "0" * 64


def no_tokenizer(values: dict[str, Any], _home: Home) -> None:
    del values["base_files"]["tokenizer.json"]


def strategy(values: dict[str, Any], _home: Home) -> None:
    values["strategy"] = "other"


LOCKS: dict[Any, str] = {
    other_adapter: "names adapter `.*`, which its list of adapters lacks",
    empty_list: "names adapter `.*`, which its list of adapters lacks",
    twice: "lists adapter `gv.*` twice",
    one_more: "lists adapter `gv.*` and its composition does not name it",
    order: "its `composition` is not what was locked",
    method: r"its `adapters\[0\]` is not what was locked",
    weights: r"its `adapters\[0\]` is not what was locked",
    source: r"its `adapters\[0\]` is not what was locked",
    plugin: r"its `adapters\[0\]` is not what was locked",
    fingerprint: "its `base` is not what was locked",
    other_base: "its `base` is not what was locked",
    no_files: "its `base_files` was taken out",
    other_files: "its `base_files` is not what was locked",
    no_tokenizer: "its `base_files` is not what was locked",
    strategy: "its `strategy` was put in",
}

FORGED: dict[Any, str] = {
    method: "has method `lora` in the lock, and `bottleneck` in its record",
    weights: "has weights SHA-256 .* in the lock, and SHA-256 .* in its record",
    source: "has source `someone/else`",
    plugin: "of plugin `other`",
    other_base: "is for base `e5-mmt-6` with fingerprint 0000",
    other_files: r"its tokenizer changed: `tokenizer\.json`",
    no_tokenizer: r"`tokenizer\.json` is new and changes its tokenizer",
}
"""What is refused even where the digests of the fields were made anew."""


def edited(locked: lock.Lock, home: Home, change: Any, path: Path, *, forged: bool) -> Path:
    values = json.loads(lock.write(locked, path).read_text())
    change(values, home)
    if forged:
        plain = {k: v for k, v in values.items() if k not in {"lock", "fields", "adapters"}}
        listed = {f"adapters[{i}]": value for i, value in enumerate(values["adapters"])}
        values["fields"] = {k: digests.of_json(v) for k, v in (plain | listed).items()}
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("change", LOCKS, ids=lambda change: change.__name__)
def test_a_lock_that_was_edited_is_refused(
    shipped: Home, locked: lock.Lock, tmp_path: Path, change: Any
) -> None:
    path = edited(locked, shipped, change, tmp_path / "x.lock", forged=False)
    with pytest.raises(LockError, match=LOCKS[change]):
        lock.read(path)


@pytest.mark.parametrize("change", FORGED, ids=lambda change: change.__name__)
def test_a_lock_that_was_forged_is_refused(
    shipped: Home, locked: lock.Lock, base: Base, tmp_path: Path, change: Any
) -> None:
    path = edited(locked, shipped, change, tmp_path / "x.lock", forged=True)
    with pytest.raises(LockError, match=FORGED[change]):
        attach(base, lock.read(path), home=shipped)


def test_an_older_lock_attaches_and_says_what_it_does_not_cover(
    shipped: Home, locked: lock.Lock, tmp_path: Path
) -> None:
    path = lock.write(locked, tmp_path / "x.lock")
    values = {k: v for k, v in json.loads(path.read_text()).items() if k != "fields"}
    del values["base_files"]
    path.write_text(json.dumps({**values, "lock": 1}))
    assert "tokenizer, config and all but a sample" in lock.uncovered(lock.read(path))[0]
    result = CliRunner().invoke(main, ["--home", str(shipped.path), "attach", "--lock", str(path)])
    assert result.exit_code == 0, result.output
    assert "warning: the lock has no digests of the files of base `e5-mmt-6`" in result.stderr
    values["adapters"] = []
    path.write_text(json.dumps({**values, "lock": 1}))
    with pytest.raises(LockError, match="which its list of adapters lacks"):
        lock.read(path)


def test_a_stored_lock_of_each_format_is_read() -> None:
    old = lock.read(ROOT / "tests" / "data" / "format-1.lock")
    assert [adapter.name for adapter in old.adapters] == ["en-gv", "pos-en-gv"]
    assert not old.base_files
    assert lock.uncovered(old)


def test_a_lock_attaches_on_another_machine(locked: lock.Lock, tmp_path: Path) -> None:
    """Other paths, other inodes, other times, and the base loaded there."""
    path = lock.write(locked, tmp_path / "x.lock")
    there = copy_home(ROOT, tmp_path / "another" / "place")
    for file in there.path.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    base = load_base("e5-mmt-6", home=there)
    with attach(base, lock.read(path), home=there) as attached:
        assert attached.compositions


def test_a_base_made_in_memory_is_not_that_of_a_lock(locked: lock.Lock, base: Base) -> None:
    with pytest.raises(LockError, match="was not loaded from files"):
        lock.check_base(locked, base.identity, None)


# -------------------------------------------------------------------------------- kept digests


def test_a_kept_digest_is_used_until_the_file_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checked_files, "_SETTLED", -1.0)
    path = tmp_path / "large"
    path.write_bytes(bytes(2_000_000))
    true = checked_files.sha256(path)
    assert true == digests.of_file(path)
    cache = tmp_path / "cache" / "adapterhub_lite" / checked_files.FILE
    with sqlite3.connect(cache) as raw:  # a mark that shows where an answer comes from
        raw.execute("UPDATE digests SET sha256 = 'kept'")
    raw.close()
    checked_files.forget()
    assert checked_files.sha256(path) == "kept"
    rewrite(path, bytes(1_999_999) + b"\1")
    assert checked_files.sha256(path) == digests.of_file(path) != true


def test_a_file_changed_just_now_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    assert checked_files.sha256(path) == digests.of_file(path)
    rewrite(path, b"two")
    assert checked_files.sha256(path) == digests.of_file(path)


def test_a_cache_that_cannot_be_used_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_files, "_SETTLED", -1.0)
    (tmp_path / "cache").write_text("a file in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "large"
    path.write_bytes(bytes(2_000_000))
    assert checked_files.sha256(path) == digests.of_file(path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "adapterhub_lite").mkdir()
    (tmp_path / "adapterhub_lite" / checked_files.FILE).write_text("no database")
    checked_files.forget()
    assert checked_files.sha256(path) == digests.of_file(path)

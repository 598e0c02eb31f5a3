"""LT-SFT folders: written here the way composable-sft's `SFT.save` writes them, and back.

Format facts: `src/sft/sft.py` and `trainer.py` of github.com/cambridgeltl/composable-sft.
"""

from __future__ import annotations

import copy
import math
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from click.testing import CliRunner
from torch import Tensor

from adapterhub_lite import Home
from adapterhub_lite.adapter import Kind, LanguageUse, Role
from adapterhub_lite.cli import main
from adapterhub_lite.errors import AhlError, ExchangeError
from adapterhub_lite.exchange import Details, export, import_folder
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.tasks import heads
from adapterhub_lite.testing.adapters import logits
from adapterhub_lite.testing.kit import small_batch
from adapterhub_lite.testing.models import save_tiny_base
from tests.exchange.ltsft_files import FILE, decoded, differences, encoded, with_added, write

PLUGIN = Path(__file__).resolve().parents[2] / "plugins" / "sft.py"
SWAHILI = Details(Kind.LANGUAGE, (LanguageUse("sw", Role.LANGUAGE),))
NER = Details(Kind.TASK, (LanguageUse("en", Role.SOURCE),), task="ner")


@pytest.fixture(params=["xlm-roberta", "bert"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Base:
    return load_base(save_tiny_base(tmp_path / "home" / "bases" / "tiny", request.param))


@pytest.fixture
def home(tmp_path: Path, base: Base) -> Home:
    made = Home.init(tmp_path / "home")
    (tmp_path / "home" / "plugins").mkdir(exist_ok=True)
    shutil.copy(PLUGIN, tmp_path / "home" / "plugins")
    made.registry.add_base(base.identity, "bases/tiny")
    return Home.find(tmp_path / "home")


@pytest.fixture
def bring(home: Home, base: Base, tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Import differences under a name; return the notes."""

    def bring_in(name: str, diffs: Mapping[str, Tensor], **more: Any) -> tuple[str, ...]:
        details, whole = more.pop("details", SWAHILI), more.pop("whole", {})
        folder = write(tmp_path / name, diffs, whole)
        common = {"base": base.identity.name, "allow_pickle": True, **more}
        return import_folder(folder, home=home, name=name, details=details, **common)[1]

    return bring_in


def test_a_language_and_a_task_give_the_base_with_both_added(
    base: Base, home: Home, bring: Callable[..., tuple[str, ...]]
) -> None:
    """Output embedding and layer norms are frozen in the authors' training script."""
    language, task = differences(base, seed=1), differences(base, seed=2)
    output: Any = base.model.get_output_embeddings()
    head = next(n for n, _ in base.model.named_parameters() if n.endswith("dense.bias"))
    assert output is not None
    (note,) = bring("sw", language, whole={f"cls.{head}": torch.ones(32)})
    assert f"`cls.{head}`" in note
    assert "with_abs=False" in note
    assert bring("ner", task, details=NER) == ()
    batch = small_batch()
    expected = {
        "sw": logits(with_added(base, language), batch),
        "stack(sw, ner)": logits(with_added(base, language, task), batch),
    }
    plain = logits(base, batch)
    with attach(base, {name: name for name in expected}, home=home) as attached:
        for name, there in expected.items():
            attached.use(name)
            torch.testing.assert_close(logits(base, batch), there, atol=1e-5, rtol=1e-5)
    for name, there in expected.items():
        with attach(base, name, home=home, merge=True):
            torch.testing.assert_close(logits(base, batch), there, atol=1e-5, rtol=1e-5)
    assert torch.equal(logits(base, batch), plain)


def test_the_config_is_what_the_recipe_is(
    base: Base, home: Home, bring: Callable[..., tuple[str, ...]]
) -> None:
    """Adapters of one recipe replace each other: equal configs, whatever each found to change."""
    bring("sw", differences(base, seed=1))
    bring("yo", differences(base, seed=2))
    found = [home.registry.get(name).manifest for name in ("sw", "yo")]
    assert found[0].config_digest == found[1].config_digest
    assert found[0].config == home.plugins().method("sft").Config().to_mapping()
    assert found[0].source is not None
    assert found[0].source.format == "lt-sft"
    dense = {name: torch.ones_like(diff) for name, diff in differences(base, seed=3).items()}
    first, entries = min(dense), sum(diff.numel() for diff in dense.values())
    bring("dense", {**dense, first: torch.zeros_like(dense[first])})
    share = 1 - dense[first].numel() / entries
    assert home.registry.get("dense").manifest.config["density"] == math.ceil(100 * share) / 100


def test_layer_norms_and_parts_left_alone(
    base: Base, home: Home, bring: Callable[..., tuple[str, ...]]
) -> None:
    norms = {k: d for k, d in differences(base, seed=4, norms=True).items() if "Norm" in k}
    query = {k: d for k, d in differences(base, seed=5).items() if k.endswith("query.weight")}
    bring("norms", {**norms, **query})
    config = home.registry.get("norms").manifest.config
    assert config["norms"]
    assert config["biases"]
    assert not config["embeddings"]
    assert config["parts"] == ["query"]
    batch = small_batch()
    with attach(base, "norms", home=home):
        found = logits(base, batch)
    expected = logits(with_added(base, norms, query), batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


HEADS = {
    "tags": ("AutoModelForTokenClassification", "token-classification", ("O", "B-LOC", "I-LOC")),
    "texts": ("AutoModelForSequenceClassification", "sequence-classification", ("no", "so", "yes")),
    "answers": ("AutoModelForQuestionAnswering", "question-answering", ()),
}


def with_head(base: Base, loader: str, labels: int, change: Mapping[str, Tensor]) -> Any:
    """Return transformers' model with a random head, and the differences in its trunk."""
    config = copy.deepcopy(base.model.config)
    config.num_labels = labels or 2
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = getattr(transformers, loader).from_config(config).eval()
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.base_model.load_state_dict(base.trunk.state_dict(), strict=False)
    for name, diff in change.items():
        model.get_parameter(name).data += diff
    return model


@pytest.mark.parametrize("kind", HEADS)
def test_the_head_of_a_task(
    base: Base, home: Home, bring: Callable[..., tuple[str, ...]], kind: str
) -> None:
    loader, task_type, labels = HEADS[kind]
    change = differences(base, seed=6)
    model = with_head(base, loader, len(labels), change)
    trunk = f"{model.base_model_prefix}."
    own = {k: v.data for k, v in model.named_parameters() if not k.startswith(trunk)}
    details = replace(NER, labels=labels, task_type=task_type)
    if kind == "texts" and trunk == "bert.":
        with pytest.raises(ExchangeError, match="`BertForSequenceClassification` has no form") as e:
            bring("task", change, whole=own, details=details)
        assert "--without-head" in str(e.value.hint)
        assert bring("task", change, whole=own, details=details, with_head=False) == ()
        assert home.registry.get("task").manifest.head is None
        return
    bring("task", change, whole=own, details=details)
    batch = small_batch()
    with torch.no_grad():
        expected = model(**batch)
    with attach(base, "task", home=home) as attached:
        found = attached.head()
        with torch.no_grad():
            hidden = base.trunk(**batch).last_hidden_state
    assert found is not None
    spec, weights = found
    assert (spec.type, spec.labels) == (task_type, labels)
    shape = heads.shape_of(spec)
    assert shape.pooling == ("mean" if kind == "answers" else "first")
    visible = batch["attention_mask"].bool()
    ours = heads.scores(shape, weights, hidden[:, 0] if kind == "texts" else hidden)
    if kind == "answers":
        theirs = torch.stack([expected.start_logits, expected.end_logits], dim=-1)
    else:
        theirs = expected.logits
    pair = (ours, theirs) if kind == "texts" else (ours[visible], theirs[visible])
    torch.testing.assert_close(*pair, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("base", ["bert"], indirect=True)
def test_heads_that_are_not_told_of_are_refused(
    base: Base, bring: Callable[..., tuple[str, ...]]
) -> None:
    change = {k: d for k, d in differences(base, seed=6).items() if k.endswith("query.weight")}
    tags = {"classifier.weight": torch.ones(3, 32), "classifier.bias": torch.ones(3)}
    with pytest.raises(ExchangeError, match="does not say what its head") as refused:
        bring("task", change, whole=tags, details=NER)
    assert "--task-type token-classification" in str(refused.value.hint)
    tagging = replace(NER, task_type="token-classification")
    with pytest.raises(ExchangeError, match="does not name its 3 labels"):
        bring("task", change, whole=tags, details=tagging)
    parser = {"biaffine.weight": torch.ones(3, 32)}
    with pytest.raises(ExchangeError, match=r"biaffine\.weight"):
        bring("task", change, whole=parser, details=NER)


def test_an_exported_folder_holds_the_same_differences(
    base: Base, home: Home, bring: Callable[..., tuple[str, ...]], tmp_path: Path
) -> None:
    language = differences(base, seed=1)
    bring("sw", language)
    done = export("sw", tmp_path / "out", home=home, to="lt-sft")
    assert done.files == (FILE,)
    stored = torch.load(tmp_path / "out" / FILE, weights_only=True)
    assert stored.keys() == {"diffs", "abs"}
    assert stored["diffs"].keys() == language.keys()
    for name, diff in language.items():
        assert torch.equal(decoded(stored["diffs"][name]), diff)
        assert torch.equal(decoded(encoded(diff)), diff)


def test_a_pickle_is_read_only_where_allowed_and_never_run(
    base: Base, home: Home, bring: Callable[..., tuple[str, ...]], tmp_path: Path
) -> None:
    language = differences(base, seed=1)
    with pytest.raises(ExchangeError, match="can carry code") as refused:
        bring("sw", language, allow_pickle=False)
    assert "--allow-pickle" in str(refused.value.hint)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"diffs": {"x": Evil()}, "abs": {}}, tmp_path / "sw" / FILE)
    with pytest.raises(ExchangeError, match="not a plain file of differences"):
        import_folder(
            tmp_path / "sw", home=home, name="sw", details=SWAHILI, base="tiny", allow_pickle=True
        )
    (tmp_path / "sw" / FILE).write_bytes(pickle.dumps({"diffs": {}}))
    with pytest.raises(ExchangeError, match="not a plain file of differences"):
        import_folder(
            tmp_path / "sw", home=home, name="sw", details=SWAHILI, base="tiny", allow_pickle=True
        )
    assert not (tmp_path / "ran").exists()
    assert home.registry.count() == 0


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a place outside": (lambda d: d.update(index_steps=[10**6, 1]), "where its values are"),
    "a place twice": (lambda d: d.update(index_steps=[1, 0]), "where its values are"),
    "a place before": (lambda d: d.update(index_steps=[-1, 1]), "where its values are"),
    "values missing": (lambda d: d.update(values=torch.ones(1)), "where its values are"),
    "a field missing": (lambda d: d.pop("size"), "has not just index_steps, size, values"),
    "too large": (lambda d: d.update(size=torch.Size([10**6, 10**6])), "unfolds to"),
    "another shape": (lambda d: d.update(size=torch.Size([64, 16])), "has shape"),
    "not a number": (
        lambda d: d.update(values=torch.tensor([float("nan"), 1.0])),
        "NaN or infinite",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("base", ["bert"], indirect=True)
def test_damaged_differences_are_refused_by_name(
    fault: str, base: Base, home: Home, tmp_path: Path
) -> None:
    spoil, message = FAULTS[fault]
    key = "bert.encoder.layer.0.attention.self.query.weight"
    diff = {"size": torch.Size([32, 32]), "index_steps": [3, 5], "values": torch.ones(2)}
    spoil(diff)
    torch.save({"diffs": {key: diff}, "abs": {}}, tmp_path / FILE)
    with pytest.raises(AhlError, match=message) as refused:
        import_folder(
            tmp_path, home=home, name="x", details=SWAHILI, base="tiny", allow_pickle=True
        )
    assert "query" in refused.value.message or "unfolds" in message


@pytest.mark.parametrize("base", ["bert"], indirect=True)
def test_what_this_base_has_not_is_refused_by_name(
    base: Base, home: Home, bring: Callable[..., tuple[str, ...]], tmp_path: Path
) -> None:
    language = differences(base, seed=1)
    with pytest.raises(ExchangeError, match=r"`roberta\.x`, which is not of base `tiny`"):
        bring("x", {**language, "roberta.x": torch.ones(2)})
    with pytest.raises(ExchangeError, match=r"has `pooler\.dense\.weight`"):
        bring("x", {**language, "bert.pooler.dense.weight": torch.ones(2, 2)})
    torch.save({"body": {}}, tmp_path / FILE)
    with pytest.raises(ExchangeError, match="has `body`, expected `diffs` and `abs`"):
        import_folder(tmp_path, home=home, name="x", details=SWAHILI, allow_pickle=True)


@pytest.mark.parametrize("base", ["bert"], indirect=True)
def test_the_command(base: Base, home: Home, tmp_path: Path) -> None:
    write(tmp_path / "sw", differences(base, seed=1), {})
    words = ["--home", str(home.path), "import", str(tmp_path / "sw"), "--name", "sw"]
    words += ["--kind", "language", "--lang", "sw", "--base", "tiny"]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 1, refused.output
    done = CliRunner().invoke(main, [*words, "--allow-pickle"])
    assert done.exit_code == 0, done.output
    assert home.registry.get("sw").manifest.method == "sft"

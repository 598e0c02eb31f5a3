"""Language and bilingual adapters: what they learn and what is recorded of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adapterhub_lite import digests
from adapterhub_lite.adapter import Kind, LanguageUse, Role
from adapterhub_lite.errors import DataError, LanguageTagError, MethodError, UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.tasks.forward import vocabulary_scores
from adapterhub_lite.testing.models import save_tiny_base
from adapterhub_lite.training import LanguageSettings, train_bilingual, train_language
from adapterhub_lite.training.bias import bias_from_counts
from adapterhub_lite.training.text import Masking, read_text

SHORT = LanguageSettings(steps=2, batch_size=2, block=20)


def test_the_loss_falls_and_the_base_stays(home: Home, base: Base, text: Path) -> None:
    before = {key: value.clone() for key, value in base.model.state_dict().items()}
    settings = LanguageSettings(steps=60, batch_size=8, block=20, lr=1e-2)
    adapter = train_language("fo", text, base=base, home=home, settings=settings, quiet=True)
    assert adapter.manifest.training is not None
    metrics = adapter.manifest.training.metrics
    base_alone = metrics["held_out_loss_before_fo"]
    bias_only = metrics["held_out_loss_start_fo"]
    trained = metrics["held_out_loss_after_fo"]
    assert base_alone > bias_only > trained
    # 46 words occur, about equally often: ln 46 = 3.83 is what frequencies can give at best
    assert base_alone > 5
    assert bias_only < 4.3
    assert trained < 3.9
    after = base.model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not base.model.training


def test_the_first_bias_makes_the_mean_prediction_the_frequencies(base: Base, text: Path) -> None:
    read = read_text("fo", [text], base, block=20, held_out=0.1)
    masking = Masking(base, share=0.2, whole_words=False, causal=False)
    batches = [masking.batch(read.train[:32], seed) for seed in range(4)]
    counts = masking.predictable(read.counts)
    bias = bias_from_counts(base, counts, batches)
    scores = torch.cat([vocabulary_scores(base, b).flatten(0, 1) for b in batches])
    mean = (scores + bias).softmax(-1).mean(0)
    wanted = (counts + 0.1) / (counts + 0.1).sum()
    torch.testing.assert_close(mean, wanted.float(), atol=2e-3, rtol=0.1)


def test_what_is_recorded(home: Home, base: Base, text: Path, other_text: Path) -> None:
    adapter = train_language(
        "FAO",
        [text, other_text],
        base=base,
        home=home,
        config={"reduction": 8},
        leave_out=[2],
        seed=7,
        settings=SHORT,
        licence="CC0-1.0",
        quiet=True,
    )
    manifest = adapter.manifest
    assert (adapter.name, manifest.kind) == ("fo-seed7", Kind.LANGUAGE)
    assert manifest.languages == (LanguageUse("fo", Role.LANGUAGE),)
    assert manifest.base == base.identity
    assert manifest.leave_out == (2,)
    assert manifest.config["reduction"] == 8.0
    assert manifest.head is not None
    assert manifest.head.type == "language-modelling"
    assert manifest.licence == "CC0-1.0"
    training = manifest.training
    assert training is not None
    assert (training.objective, training.steps, training.seed) == ("masked-lm", 2, 7)
    assert training.tokens == 2 * 2 * 20
    assert [c.sha256 for c in training.corpora] == [
        digests.of_file(text),
        digests.of_file(other_text),
    ]
    assert training.corpora[0].name == "text.txt"
    assert set(training.versions) == {"adapterhub_lite", "torch", "transformers"}
    assert home.registry.get("fo-seed7") == adapter
    with attach(base, adapter.ref, home=home) as attachment:
        assert attachment.head() is not None


def test_bilingual(home: Home, base: Base, text: Path, other_text: Path) -> None:
    settings = LanguageSettings(steps=40, batch_size=8, block=20, lr=1e-2, evaluate_every=10)
    adapter = train_bilingual(
        "en",
        "fo",
        text={"en": text, "fo": other_text},
        ratio=(1, 3),
        base=base,
        home=home,
        settings=settings,
        quiet=True,
    )
    assert adapter.name == "en-fo"
    assert adapter.manifest.kind is Kind.BILINGUAL
    assert adapter.manifest.languages == (
        LanguageUse("en", Role.SOURCE),
        LanguageUse("fo", Role.TARGET),
    )
    training = adapter.manifest.training
    assert training is not None
    assert training.settings["ratio"] == [1, 3]
    assert [c.language for c in training.corpora] == ["en", "fo"]
    metrics = training.metrics
    assert metrics["held_out_loss_after_fo"] < metrics["held_out_loss_start_fo"]
    assert {"held_out_loss_before_en", "held_out_loss_after_en"} <= metrics.keys()


def test_the_next_language_gets_the_shape_of_the_others(
    home: Home, base: Base, text: Path, other_text: Path
) -> None:
    first = train_language(
        "fo", text, base=base, home=home, method="lora", leave_out=[0], settings=SHORT, quiet=True
    )
    second = train_language("gv", other_text, base=base, home=home, settings=SHORT, quiet=True)
    assert second.manifest.config_digest == first.manifest.config_digest
    assert second.manifest.leave_out == (0,)
    other = train_language(
        "cy", text, base=base, home=home, method="bottleneck", settings=SHORT, quiet=True
    )
    assert (other.manifest.config["reduction"], other.manifest.config["invertible"]) == (2.0, True)


@pytest.mark.parametrize("method", ["lora", "prefix", "bottleneck"])
def test_every_method_on_a_decoder(tmp_path: Path, text: Path, method: str) -> None:
    base = load_base(save_tiny_base(tmp_path / "llama", "llama"))
    home = Home.init(tmp_path / "home")
    settings = LanguageSettings(steps=20, batch_size=8, block=20, lr=1e-2)
    config = {"invertible": False} if method == "bottleneck" else None
    adapter = train_language(
        "fo",
        text,
        base=base,
        home=home,
        method=method,
        config=config,
        settings=settings,
        quiet=True,
    )
    training = adapter.manifest.training
    assert training is not None
    assert training.objective == "causal-lm"
    assert training.metrics["held_out_loss_after_fo"] < training.metrics["held_out_loss_start_fo"]


def test_without_output_bias(home: Home, base: Base, text: Path) -> None:
    settings = LanguageSettings(steps=2, batch_size=2, block=20, output_bias=False)
    adapter = train_language("fo", text, base=base, home=home, settings=settings, quiet=True)
    assert adapter.manifest.head is None


def test_mistakes(home: Home, base: Base, text: Path, tmp_path: Path) -> None:
    def train(language: str = "fo", path: Path = text, **more: object) -> None:
        given = {"settings": SHORT, **more}
        train_language(language, path, base=base, home=home, quiet=True, **given)  # type: ignore[arg-type]

    with pytest.raises(LanguageTagError):
        train("faroese")
    with pytest.raises(DataError, match="there is no such file"):
        train(path=tmp_path / "none.txt")
    (tmp_path / "latin1.txt").write_bytes("w5 w6\nfjørður\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin1\.txt:2: not UTF-8"):
        train(path=tmp_path / "latin1.txt")
    with pytest.raises(UsageError, match="`steps` must be at least 1, found 0"):
        train(steps=0)
    with pytest.raises(MethodError, match="no plugin provides method `ia4`"):
        train(method="ia4")
    with pytest.raises(MethodError, match="has no field `redution`"):
        train(config={"redution": 2})
    with pytest.raises(UsageError, match="has layers 0 to 2, no layer 3"):
        train(leave_out=[3])
    with pytest.raises(UsageError, match="two languages, found `fo` twice"):
        train_bilingual("fo", "fao", text={"fo": text}, base=base, home=home)
    with pytest.raises(UsageError, match="text is needed for `en` and `fo`, found fo"):
        train_bilingual("en", "fo", text={"fo": text}, base=base, home=home)
    assert home.registry.count() == 0

"""A handful of blocks trains, or the error says how many tokens are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterhub_lite.errors import TrainingError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.training import LanguageSettings, train_bilingual, train_language
from adapterhub_lite.training.text import read_text


def write(path: Path, tokens: int) -> Path:
    """Words on lines of one, two tokens each: the word and the separator."""
    path.write_text("".join(f"w{5 + n % 90}\n" for n in range(tokens // 2)), encoding="utf-8")
    return path


@pytest.mark.parametrize("held_out", [0.01, 0.05, 0.3, 0.5])
@pytest.mark.parametrize("blocks", [*range(2, 14), 40, 99])
def test_something_is_held_out_and_something_is_left(
    tmp_path: Path, base: Base, blocks: int, held_out: float
) -> None:
    path = write(tmp_path / "text.txt", blocks * 8)
    read = read_text("fo", [path], base, block=10, held_out=held_out)
    assert len(read.train) + len(read.held_out) == blocks
    assert len(read.held_out) >= 1
    assert len(read.train) >= len(read.held_out)


@pytest.mark.parametrize("blocks", [2, 5, 10])
def test_a_few_blocks_train(home: Home, base: Base, tmp_path: Path, blocks: int) -> None:
    path = write(tmp_path / "text.txt", blocks * 18)
    other = write(tmp_path / "other.txt", blocks * 18)
    settings = LanguageSettings(steps=2, block=20)
    adapter = train_language("gv", path, base=base, home=home, settings=settings, quiet=True)
    assert adapter.manifest.training is not None
    assert adapter.manifest.training.metrics["held_out_loss_after_gv"] > 0
    texts = {"en": other, "gv": path}
    pair = train_bilingual(
        "en", "gv", text=texts, base=base, home=home, settings=settings, quiet=True
    )
    assert pair.manifest.training is not None
    assert pair.manifest.training.metrics["held_out_loss_after_en"] > 0


def test_too_little_text_says_how_much_is_needed(home: Home, base: Base, tmp_path: Path) -> None:
    path = write(tmp_path / "text.txt", 34)
    settings = LanguageSettings(steps=2, block=20)
    with pytest.raises(TrainingError, match="has 34 tokens, 36 are needed") as caught:
        train_language("gv", path, base=base, home=home, settings=settings, quiet=True)
    assert caught.value.hint == ("give more text, or make the blocks shorter: `--setting block=19`")
    shorter = settings.changed(block=19)
    train_language("gv", path, base=base, home=home, settings=shorter, quiet=True)

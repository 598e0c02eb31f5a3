"""Data for tests, in the words `w5` to `w95` of the tiny tokenizer."""

from __future__ import annotations

import random
from pathlib import Path

TAGS = ("NOUN", "VERB", "ADJ")


def write_text(path: Path, rng: random.Random, *, low: int, high: int, lines: int = 200) -> Path:
    """Lines of six words of which each follows from the one before."""
    written = []
    for _ in range(lines):
        word = rng.randint(low, high)
        words = []
        for _ in range(6):
            words.append(f"w{word}")
            word = low + (word * 3 + 1 - low) % (high - low + 1)
        written.append(" ".join(words))
    path.write_text("\n".join(written) + "\n", encoding="utf-8")
    return path


def write_tagged(path: Path, rng: random.Random, *, sentences: int) -> Path:
    """Sentences of one to nine words; a word's tag is its number modulo three."""
    blocks = []
    for _ in range(sentences):
        numbers = [rng.randint(5, 95) for _ in range(rng.randint(1, 9))]
        blocks.append("\n".join(f"w{number}\t{TAGS[number % 3]}" for number in numbers))
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return path

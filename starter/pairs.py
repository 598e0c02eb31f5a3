"""Pairs of translated sentences for the language adapters, from corpora that were translated whole.

Verses pair up by their references.  NTREX-128 and FLORES-200 hold the same documents in every
language, line by line, but a few lines of each language were lost in cleaning; so two languages are
aligned in order: like lengths, shared numbers and capitalised words, and nearness of the frozen
base's sentence vectors, with a price for every line left alone.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.base import Batch, unit_means
from adapterhub_lite.tasks.forward import outputs_of
from adapterhub_lite.training.parallel import Alignment

BLOCKS = {
    "en": (1978, 1008),
    "wo": (1968, 1010),
    "fo": (1969, 1011),
    "mt": (1967, 1009),
    "zu": (1936, 1011),
    "cy": (1978, 1009),
}
"""Lines of NTREX-128 and of FLORES-200 devtest at the start of a language's general text."""
VERSES = ("gv", "cy", "zu")
"""Languages whose verses may be redistributed and pair up with the English ones."""
_GAP = -0.3
_BAND = 60
_IDENTITY = 4000


def lines(path: Path) -> list[str]:
    """Return the lines of a gzipped text."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return stream.read().splitlines()


def pairs(data: Path, language: str, base: Base) -> list[tuple[str, str]]:
    """Return (English, sentence) pairs; for English itself, sentences with themselves."""
    general = {tag: data / "text_general" / f"{tag}.txt.gz" for tag in ("en", language)}
    if language == "en":
        some = [line for line in lines(general["en"]) if 5 <= len(line.split()) <= 40]
        return [(line, line) for line in some[:: max(1, len(some) // _IDENTITY)]]
    found = []
    if language in VERSES:
        english, verses = verse_lines(data, "en"), verse_lines(data, language)
        found += [(english[ref], verse) for ref, verse in verses.items() if ref in english]
    if language in BLOCKS:
        ours, theirs = lines(general["en"]), lines(general[language])
        at, their_at = 0, 0
        for mine, other in zip(BLOCKS["en"], BLOCKS[language], strict=True):
            left, right = ours[at : at + mine], theirs[their_at : their_at + other]
            found += [(left[i], right[j]) for i, j in align(left, right, base)]
            at, their_at = at + mine, their_at + other
    return found


def verse_lines(data: Path, language: str) -> dict[str, str]:
    """Return the verses of a language by reference."""
    refs = lines(data / "text" / f"{language}.refs.gz")
    return dict(zip(refs, lines(data / "text" / f"{language}.txt.gz"), strict=False))


def align(left: Sequence[str], right: Sequence[str], base: Base) -> list[tuple[int, int]]:
    """Return the pairs of the best alignment in order (Needleman & Wunsch 1970)."""
    similar = similarities(left, right, base)
    best = np.full((len(left) + 1, len(right) + 1), -np.inf)
    step = np.zeros(best.shape, dtype=np.int8)
    best[0, 0] = 0.0
    for i in range(len(left) + 1):
        for j in range(max(0, i - _BAND), min(len(right), i + _BAND) + 1):
            options = (
                (best[i - 1, j - 1] + similar[i - 1, j - 1] if i and j else -np.inf, 1),
                (best[i - 1, j] + _GAP if i else -np.inf, 2),
                (best[i, j - 1] + _GAP if j else -np.inf, 3),
            )
            value, move = max(options)
            if i or j:
                best[i, j], step[i, j] = value, move
    return _walk_back(step)


def _walk_back(step: np.ndarray) -> list[tuple[int, int]]:
    i, j = step.shape[0] - 1, step.shape[1] - 1
    found = []
    while i or j:
        move = step[i, j]
        if move == 1:
            found.append((i - 1, j - 1))
        i, j = i - (move != 3), j - (move != 2)
    return found[::-1]


def similarities(left: Sequence[str], right: Sequence[str], base: Base) -> np.ndarray:
    """Return how well every line of one text fits every line of the other."""
    one, other = (torch.nn.functional.normalize(vectors(side, base)) for side in (left, right))
    similar: np.ndarray = (one @ other.T).numpy()
    marks_left, marks_right = [marks(line) for line in left], [marks(line) for line in right]
    for i, line in enumerate(left):
        for j in range(max(0, i - _BAND - 1), min(len(right), i + _BAND + 1)):
            either = len(marks_left[i] | marks_right[j])
            shared = 1.5 * len(marks_left[i] & marks_right[j]) / either if either else 0.2
            similar[i, j] += shared - 0.5 * abs(math.log(len(line) / len(right[j])))
    return similar


def marks(line: str) -> set[str]:
    """Return the words of a line that translation often keeps: with digits, or capitalised."""
    words = (word.strip('.,;:"()') for word in line.split())
    return {w.lower() for w in words if w[:1].isupper() or any(c.isdigit() for c in w)}


@torch.no_grad()
def vectors(texts: Sequence[str], base: Base) -> torch.Tensor:
    """Return the base's centred sentence vectors (texts, hidden size)."""
    result = torch.zeros(len(texts), base.identity.hidden_size)
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    for start in range(0, len(order), 32):
        some = order[start : start + 32]
        encoded = base.tokenizer(
            [texts[at] for at in some],
            padding=True,
            truncation=True,
            max_length=64,
            return_tensors="pt",
        )
        mask = encoded["attention_mask"]
        batch: Batch = {"input_ids": encoded["input_ids"], "attention_mask": mask}
        hidden = outputs_of(base, Alignment(), batch)
        result[some] = unit_means(hidden, mask - 1)[:, 0]
    return result - result.mean(0)


def write(found: Sequence[tuple[str, str]], path: Path) -> Path:
    """Write pairs as `ahl train language --parallel` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (f"{a}\t{b}\n" for a, b in found if "\t" not in a + b and a.strip() and b.strip())
    path.write_text("".join(rows), encoding="utf-8")
    return path

"""Parallel text: draw a language's sentences to where the frozen base puts their translations.

A small adapter cannot learn a language that the base never saw from a few hundred batches of
masked words.  A few thousand translated sentences say much more about where its sentences belong:
the base without adapter reads the translation (a fixed target t), the base with the adapter reads
the sentence (s), both as means over the tokens, and the loss is

    |t - s|^2 / |t - m|^2  +  cross-entropy of s against all t of the batch

with m the mean of all t; similarities are cosines after subtracting m, over a temperature of 0.05.
Distillation to a student in another language: Reimers & Gurevych 2020,
https://aclanthology.org/2020.emnlp-main.365; the contrast within the batch: Feng et al. 2022,
https://aclanthology.org/2022.acl-long.62.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from adapterhub_lite.adapter import Corpus
from adapterhub_lite.errors import TrainingError
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks import pieces
from adapterhub_lite.tasks.base import Batch, unit_means
from adapterhub_lite.tasks.files import composed, fail, read_clean_lines
from adapterhub_lite.tasks.forward import on_device, task_logits
from adapterhub_lite.training import setup
from adapterhub_lite.training.batches import mix
from adapterhub_lite.training.text import Reading, report_skipped

TEMPERATURE = 0.05
_HELD_OUT = 100
"""Pairs kept out to measure retrieval on."""
_AT_ONCE = 32
_MIXED = 16
"""Batches whose pairs are sorted by length together."""


class Alignment:
    """The objective of the module's docstring, as the trainer calls objectives."""

    reads: ClassVar[Literal["hidden"]] = "hidden"

    def logits(self, head: Mapping[str, Tensor], outputs: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002 - it has no head
        """Return sentence vectors (rows, hidden size)."""
        vectors: Tensor = unit_means(outputs, batch["units"])[:, 0]
        return vectors

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the docstring's formula."""
        target: Tensor = batch["translations"]
        centre: Tensor = batch["centre"]
        distance = (target - logits).square().sum() / (target - centre).square().sum()
        ours, theirs = normalize(logits - centre), normalize(target - centre)
        numbers = torch.arange(len(ours), device=ours.device)
        return distance + cross_entropy(ours @ theirs.T / TEMPERATURE, numbers)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Token ids of sentences and of their translations, and where they are from."""

    sentences: tuple[tuple[int, ...], ...]
    translations: tuple[tuple[int, ...], ...]
    corpora: tuple[Corpus, ...]
    skipped: int = 0


def read_pairs(
    language: str,
    paths: Sequence[Path],
    base: Base,
    *,
    longest: int,
    reading: Reading | None = None,
) -> Pairs:
    """Return the pairs of files of two columns: translation, tab, sentence in `language`.

    Raises:
        DataError: a line without two columns of text, or text that the vocabulary cannot read.
        TrainingError: too few pairs to train on and to measure.
    """
    tokenizer: Any = base.tokenizer
    translations: list[str] = []
    sentences: list[str] = []
    corpora = []
    reading, skipped = reading or Reading(), 0
    for path in paths:
        clean = read_clean_lines(path, skip_bad=reading.skip_bad)
        bad = list(clean.skipped)
        lines = [line for line in clean.lines if line.text.strip()]
        start = len(sentences)
        for line in lines:
            left, tab, right = line.text.partition("\t")
            if not tab or not left.strip() or not right.strip() or "\t" in right:
                if not reading.skip_bad:
                    fail(
                        path,
                        line.number,
                        "expected two columns: translation, tab, sentence",
                        "`--skip-bad` leaves such lines out",
                    )
                bad.append(line.number)
                continue
            translations.append(composed(left))
            sentences.append(composed(right))
        report_skipped(path, sorted(bad), len(clean.lines) + len(clean.skipped))
        skipped += len(bad)
        for texts in (translations[start:], sentences[start:]):
            reading.checks.readable(tokenizer, texts, str(path), base.identity.name)
        corpora.append(setup.corpus(path, len(sentences) - start, language))
    if len(sentences) < 2 * _AT_ONCE:
        raise TrainingError(
            f"{len(sentences)} pairs of sentences are too few, at least {2 * _AT_ONCE} are needed",
            hint="leave the parallel text out, or give more of it",
        )
    frame = pieces.frame(tokenizer)

    def encode(texts: list[str]) -> tuple[tuple[int, ...], ...]:
        encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return tuple(frame.around(ids[: longest - frame.length]) for ids in encoded)

    return Pairs(encode(sentences), encode(translations), tuple(corpora), skipped)


class PairBatches:
    """Batches of sentences of similar length with the vectors of their translations."""

    def __init__(self, pairs: Pairs, base: Base, *, batch_size: int, seed: int) -> None:
        self.size = batch_size
        self.seed = seed
        self._frame = pieces.frame(base.tokenizer)
        self._pad: int = getattr(base.tokenizer, "pad_token_id", None) or 0
        self._vectors = self._read(pairs.translations, base)
        held_out = min(_HELD_OUT, len(pairs.sentences) // 4)
        every = len(pairs.sentences) // held_out
        kept = range(every // 2, len(pairs.sentences), every)
        self._held_out = list(kept)[:held_out]
        away = set(self._held_out)
        self._train = [at for at in range(len(pairs.sentences)) if at not in away]
        self.sentences = pairs.sentences
        self.centre = self._vectors[self._train].mean(0)
        self._epoch = -1
        self._batches: list[list[int]] = []

    @torch.no_grad()
    def _read(self, sentences: Sequence[tuple[int, ...]], base: Base) -> Tensor:
        """Return the vectors of sentences as whatever is attached now reads them."""
        order = sorted(range(len(sentences)), key=lambda at: len(sentences[at]))
        vectors = torch.zeros(len(sentences), base.identity.hidden_size)
        for start in range(0, len(order), _AT_ONCE):
            some = order[start : start + _AT_ONCE]
            batch = on_device(self._collate([sentences[at] for at in some]), base)
            vectors[some] = task_logits(base, Alignment(), {}, batch).float().cpu()
        return vectors

    def _collate(self, sentences: Sequence[tuple[int, ...]]) -> Batch:
        width = max(len(ids) for ids in sentences)
        ids = torch.full((len(sentences), width), self._pad)
        units = torch.full((len(sentences), width), -1)
        mask = torch.zeros(len(sentences), width, dtype=torch.long)
        for row, sentence in enumerate(sentences):
            ids[row, : len(sentence)] = torch.tensor(sentence)
            mask[row, : len(sentence)] = 1
            units[row, len(self._frame.before) : len(sentence) - len(self._frame.after)] = 0
        return {"input_ids": ids, "attention_mask": mask, "units": units}

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""
        chosen = self._chosen(number)
        batch = self._collate([self.sentences[at] for at in chosen])
        return {
            **batch,
            "translations": self._vectors[chosen],
            "centre": self.centre,
            "objective": "alignment",
        }

    def tokens(self, number: int) -> int:
        """Return the tokens of a batch."""
        return sum(len(self.sentences[at]) for at in self._chosen(number))

    def _chosen(self, number: int) -> list[int]:
        epoch, inside = divmod(number, max(1, len(self._train) // self.size))
        if epoch != self._epoch:
            self._batches, self._epoch = self._shuffle(epoch), epoch
        return self._batches[inside]

    def _shuffle(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        places = torch.randperm(len(self._train), generator=generator).tolist()
        order = [self._train[place] for place in places]
        batches = []
        for start in range(0, len(order), _MIXED * self.size):
            some = sorted(
                order[start : start + _MIXED * self.size], key=lambda at: len(self.sentences[at])
            )
            batches += [some[at : at + self.size] for at in range(0, len(some), self.size)]
        whole = [batch for batch in batches if len(batch) == self.size] or batches
        mixed = torch.randperm(len(whole), generator=generator).tolist()
        return [whole[at] for at in mixed]

    def retrieval(self, base: Base) -> float:
        """Return the share of held-out sentences that lie nearest to their own translation."""
        ours = self._read([self.sentences[at] for at in self._held_out], base)
        theirs = self._vectors[self._held_out]
        ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
        similar = cosine_similarity(ours[:, None], theirs[None], dim=-1)
        right = similar.argmax(1) == torch.arange(len(ours))
        return right.float().mean().item()

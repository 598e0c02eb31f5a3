"""Text to fixed-length blocks of tokens, and blocks to masked batches.

Lines are joined and cut every `block` tokens, so no time goes into padding.  Which tokens are
masked depends on seed and batch number alone: a resumed run masks what the first would have.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adapterhub_lite import digests
from adapterhub_lite.adapter import Corpus
from adapterhub_lite.errors import TrainingError
from adapterhub_lite.tasks import pieces
from adapterhub_lite.tasks.annotation import annotation
from adapterhub_lite.tasks.base import IGNORED, Batch
from adapterhub_lite.tasks.files import composed, fail, numbers, read_clean_lines
from adapterhub_lite.tasks.suitability import MOST_ANNOTATED, Checks
from adapterhub_lite.training.settings import SHORTEST

if TYPE_CHECKING:
    from adapterhub_lite.model.base import Base

log = logging.getLogger(__name__)

_AT_ONCE = 2000
"""Lines to tokenise in one call."""
MOST_HELD_OUT = 64
"""Blocks that are enough to measure a loss to about 0.02 nats."""


@dataclass(frozen=True, slots=True)
class Text:
    """The blocks (n, tokens) of one language, those held out, and where they are from."""

    language: str
    train: Tensor
    held_out: Tensor
    counts: Tensor
    corpora: tuple[Corpus, ...]
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """How files of text are read.

    Args:
        checks: what is looked at before the work starts.
        skip_bad: leave out lines that cannot be read, instead of refusing the file.
        extract: take the sentences out of annotated files, instead of refusing them.
    """

    checks: Checks = field(default_factory=Checks)
    skip_bad: bool = False
    extract: bool = False

    def lines(self, path: Path) -> tuple[list[str], int]:
        """Return the lines of text in a file without blank ones, and how many were skipped.

        Raises:
            DataError: empty, damaged, with bad lines in it, or no running text.
        """
        clean = read_clean_lines(path, skip_bad=self.skip_bad)
        report_skipped(path, clean.skipped, len(clean.lines) + len(clean.skipped))
        texts = [line.text for line in clean.lines]
        texts = self._extracted(path, texts) if self.extract else self._running(path, texts)
        kept = [text.strip() for text in texts if text.strip()]
        if not kept:
            fail(path, None, "no text in the file")
        return kept, len(clean.skipped)

    def _running(self, path: Path, texts: list[str]) -> list[str]:
        self.checks.running_text(path, texts)
        return texts

    def _extracted(self, path: Path, texts: list[str]) -> list[str]:
        kind = annotation(texts)
        if kind is None or kind.share < MOST_ANNOTATED:
            return texts
        sentences = kind.extract(texts) if kind.extract is not None else []
        if not sentences:
            fail(
                path,
                None,
                f"this is {kind.name}, and nothing says which part of it is the text",
                "make a file of its sentences, one a line",
            )
        log.info("%s: took %d sentences out of %s", path, len(sentences), kind.name)
        return sentences


def report_skipped(path: Path, lines: Sequence[int], total: int) -> None:
    """Say which lines of a file were skipped, if there are any."""
    if lines:
        log.warning("%s: skipped %d of %d lines: %s", path, len(lines), total, numbers(lines))


def read_text(
    language: str,
    paths: Sequence[Path],
    base: Base,
    *,
    block: int,
    held_out: float,
    reading: Reading | None = None,
) -> Text:
    """Return the text of some files as blocks.

    Raises:
        DataError: a file that `Reading.lines` refuses, or text that the vocabulary cannot read.
        TrainingError: blocks longer than the base reads, or not text for two blocks.
    """
    reading = reading or Reading()
    tokenizer: Any = base.tokenizer
    longest = pieces.max_length(tokenizer, base.model.config)
    if block > longest:
        raise TrainingError(
            f"`{base.identity.name}` reads {longest} tokens at once, `block` asks for {block}",
            hint=f"set block={longest} or less",
        )
    streams, corpora, skipped = [], [], 0
    for path in paths:
        texts, bad = reading.lines(path)
        lines = [composed(text) for text in texts]
        skipped += bad
        reading.checks.readable(tokenizer, lines, str(path), base.identity.name)
        streams.append(_tokens(tokenizer, lines))
        corpora.append(Corpus(path.name, digests.of_file(path), len(lines), language))
    stream = torch.cat(streams)
    frame = pieces.frame(tokenizer)
    blocks = _blocks(stream, frame, block)
    if len(blocks) < 2:
        needed = 2 * (block - frame.length)
        raise TrainingError(
            f"the text of `{language}` has {len(stream)} tokens, {needed} are needed: two blocks "
            f"of {block} (one to train on, one to measure the loss on)",
            hint=_shorter(len(stream) // 2 + frame.length),
        )
    kept = _held_out(len(blocks), held_out)
    counts = torch.bincount(stream.long(), minlength=base.identity.vocab_size)
    return Text(language, blocks[~kept], blocks[kept], counts, tuple(corpora), skipped)


def _shorter(block: int) -> str:
    if block < SHORTEST:
        return "give more text"
    return f"give more text, or make the blocks shorter: `--setting block={block}`"


def _held_out(count: int, share: float) -> Tensor:
    """Return which of `count` blocks (two or more) are held out, evenly spread: at least one."""
    every = max(2, round(1 / share), -(-count // MOST_HELD_OUT))
    kept = torch.arange(count) % every == every // 2
    if not kept.any():  # fewer blocks than half a period
        kept[count // 2] = True
    return kept


def _tokens(tokenizer: Any, lines: Sequence[str]) -> Tensor:
    """Return the ids of all lines, each closed by the tokenizer's separator."""
    end = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    closing = [] if end is None else [end]
    chunks = []
    for start in range(0, len(lines), _AT_ONCE):
        some = list(lines[start : start + _AT_ONCE])
        encoded = tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]
        flat = [token for ids in encoded for token in (*ids, *closing)]
        chunks.append(torch.tensor(flat, dtype=torch.int32))
    return torch.cat(chunks)


def _blocks(stream: Tensor, frame: pieces.Frame, block: int) -> Tensor:
    room = block - frame.length
    count = len(stream) // room
    inner = stream[: count * room].view(count, room)
    before, after = (
        torch.tensor(ids, dtype=torch.int32).expand(count, -1)
        for ids in (frame.before, frame.after)
    )
    return torch.cat((before, inner, after), dim=1)


class Masking:
    """Turns blocks into batches: BERT's masking, or for decoders every next token."""

    def __init__(self, base: Base, *, share: float, whole_words: bool, causal: bool) -> None:
        tokenizer: Any = base.tokenizer
        self.share = share
        self.causal = causal
        self.mask = tokenizer.mask_token_id
        if self.mask is None and not causal:
            raise TrainingError(
                f"the tokenizer of `{base.identity.name}` has no mask token",
                hint="language adapters need a masked or a causal language model",
            )
        self.special = torch.zeros(max(len(tokenizer), base.identity.vocab_size), dtype=torch.bool)
        self.special[torch.tensor(tokenizer.all_special_ids)] = True
        self.ordinary = (~self.special[: len(tokenizer)]).nonzero().flatten()
        self.starts = _word_starts(tokenizer) if whole_words and not causal else None

    def predictable(self, counts: Tensor) -> Tensor:
        """Return piece counts without the pieces that are never to be predicted."""
        return counts if self.causal else counts.masked_fill(self.special[: len(counts)], 0)

    def batch(self, blocks: Tensor, seed: int) -> Batch:
        """Return the batch of some blocks; same seed, same masks."""
        ids = blocks.long()
        if self.causal:
            return self._next_tokens(ids)
        generator = torch.Generator().manual_seed(seed)
        chosen = self._choose(ids, generator)
        units = torch.where(chosen, chosen.cumsum(1) - 1, -1)
        return {
            "input_ids": self._hidden(ids, chosen, generator),
            "attention_mask": torch.ones_like(ids),
            "units": units,
            "targets": _targets(ids, chosen),
        }

    def _next_tokens(self, ids: Tensor) -> Batch:
        units = torch.arange(ids.shape[1]).repeat(len(ids), 1)
        units[:, -1] = -1
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "units": units,
            "targets": ids[:, 1:],
        }

    def _choose(self, ids: Tensor, generator: torch.Generator) -> Tensor:
        """Return which tokens to predict: the ones (or words) with the highest random numbers."""
        values = torch.rand(ids.shape, generator=generator)
        if self.starts is not None:
            words = self.starts[ids].cumsum(1)
            values = values.gather(1, words.clamp(max=ids.shape[1] - 1))
        values = values.masked_fill(self.special[ids], -1.0)
        count = max(1, round(self.share * ids.shape[1]))
        threshold = values.topk(count, dim=1).values[:, -1:]
        return (values >= threshold) & (values >= 0)

    def _hidden(self, ids: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """Replace chosen tokens: 80 % by the mask, 10 % by another token, 10 % by themselves."""
        draw = torch.rand(ids.shape, generator=generator)
        other = self.ordinary[
            torch.randint(len(self.ordinary), tuple(ids.shape), generator=generator)
        ]
        assert self.mask is not None
        hidden = torch.where(chosen & (draw < 0.8), torch.full_like(ids, self.mask), ids)
        return torch.where(chosen & (draw >= 0.9), other, hidden)


def _targets(ids: Tensor, chosen: Tensor) -> Tensor:
    counts = chosen.sum(1, keepdim=True)
    order = (~chosen).int().argsort(dim=1, stable=True)[:, : int(counts.max())]
    targets = ids.gather(1, order)
    return targets.masked_fill(torch.arange(targets.shape[1]) >= counts, IGNORED)


def _word_starts(tokenizer: Any) -> Tensor:
    """Return which pieces begin a word, by the mark that the tokenizer's vocabulary uses."""
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    for mark in ("▁", "Ġ"):
        marked = torch.tensor([name.startswith(mark) for name in names])
        if marked.float().mean() > 0.05:
            return marked
    return torch.tensor([not name.startswith("##") for name in names])

"""Batches by number: which one comes at which step follows from the seed alone.

A run that was killed goes on with exactly the batches it had not seen.  (A sampler's random state,
restored from a checkpoint, would do the same only as long as nothing else draws from it.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from adapterhub_lite.tasks.base import IGNORED, Batch, TaskType, Window
from adapterhub_lite.training.text import Masking

_MIXED = 50
"""Batches whose windows are sorted by length together: little padding, and still shuffled."""


class Batches(Protocol):
    """An endless sequence of batches."""

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""
        ...

    def tokens(self, number: int) -> int:
        """Return how many tokens batch `number` has, padding not counted."""
        ...


class Shuffled:
    """Numbers 0 to n-1 in a new order every epoch."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self._epoch = -1
        self._order: list[int] = []

    def __getitem__(self, place: int) -> int:
        epoch, inside = divmod(place, self.count)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch))
            self._order = torch.randperm(self.count, generator=generator).tolist()
            self._epoch = epoch
        return self._order[inside]


def mix(seed: int, *numbers: int) -> int:
    """Return one seed for torch from several numbers."""
    for number in numbers:
        seed = (seed * 6364136223846793005 + number * 1442695040888963407 + 1) % 2**63
    return seed


class TextBatches:
    """Batches of masked blocks of one language."""

    def __init__(self, blocks: Tensor, masking: Masking, *, batch_size: int, seed: int) -> None:
        self.blocks = blocks
        self.masking = masking
        self.size = batch_size
        self.seed = seed
        self._order = Shuffled(len(blocks), seed)

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""
        places = range(number * self.size, (number + 1) * self.size)
        chosen = self.blocks[[self._order[place] for place in places]]
        return self.masking.batch(chosen, mix(self.seed, -1, number))

    def tokens(self, number: int) -> int:  # noqa: ARG002 - all batches have as many
        """Return the tokens of a batch; all blocks are equally long."""
        return self.size * self.blocks.shape[1]


class Alternating:
    """Whole batches of several languages in turn: `ratio` (2, 1) is two of the first, then one."""

    def __init__(self, streams: Sequence[Batches], ratio: Sequence[int]) -> None:
        self.streams = streams
        self.ratio = ratio
        self.turns = [which for which, count in enumerate(ratio) for _ in range(count)]

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""
        which, own = self._whose(number)
        return self.streams[which].batch(own)

    def tokens(self, number: int) -> int:
        """Return the tokens of a batch."""
        which, own = self._whose(number)
        return self.streams[which].tokens(own)

    def _whose(self, number: int) -> tuple[int, int]:
        rounds, turn = divmod(number, len(self.turns))
        which = self.turns[turn]
        return which, rounds * self.ratio[which] + self.turns[:turn].count(which)


class WindowBatches:
    """Batches of windows of similar length, in a new order every epoch.

    With several `compositions`, batch after batch is for the next one of them.
    """

    def __init__(
        self,
        windows: Sequence[Window],
        task_type: TaskType,
        *,
        pad: int,
        batch_size: int,
        seed: int,
        compositions: Sequence[str] = (),
    ) -> None:
        self.windows = [w for w in windows if any(t != IGNORED for t in w.targets)]
        self.task_type = task_type
        self.pad = pad
        self.size = batch_size
        self.seed = seed
        self.compositions = compositions
        self.epoch_length = max(1, -(-len(self.windows) // batch_size))
        self._epoch = -1
        self._batches: list[list[int]] = []

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""
        batch = self.task_type.collate(self._chosen(number), self.pad)
        if self.compositions:
            batch["composition"] = self.compositions[number % len(self.compositions)]
        return batch

    def tokens(self, number: int) -> int:
        """Return the tokens of a batch."""
        return sum(len(window.ids) for window in self._chosen(number))

    def _chosen(self, number: int) -> list[Window]:
        epoch, inside = divmod(number, self.epoch_length)
        if epoch != self._epoch:
            self._batches = self._shuffle(epoch)
            self._epoch = epoch
        return [self.windows[at] for at in self._batches[inside]]

    def _shuffle(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        order = torch.randperm(len(self.windows), generator=generator).tolist()
        batches = []
        for start in range(0, len(order), _MIXED * self.size):
            some = order[start : start + _MIXED * self.size]
            some.sort(key=lambda at: len(self.windows[at].ids))
            batches += [some[i : i + self.size] for i in range(0, len(some), self.size)]
        mixed = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[at] for at in mixed]


class Numbered(Dataset[Batch]):
    """Batches as a data set whose items are whole batches, which is how `Trainer` gets them."""

    def __init__(self, batches: Batches, count: int) -> None:
        self.batches = batches
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        if number >= self.count:
            raise IndexError(number)
        return self.batches.batch(number)

    def tokens(self, count: int) -> int:
        """Return the tokens of the first batches."""
        return sum(self.batches.tokens(number) for number in range(count))

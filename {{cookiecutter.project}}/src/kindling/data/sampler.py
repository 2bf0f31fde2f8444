"""The order of the batches."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class Rows(NamedTuple):
    """Which rows make a batch, or the part of it that is this process's, and which batch it is."""

    numbers: np.ndarray
    epoch: int
    batch: int
    rank: int
    counts: bool = True  # a process for which a batch has no row gets one that does not


class BucketSampler(Sampler[Rows]):
    """Yield batches of rows of like length, in an order that depends on the seed and the epoch alone.

    Rows are shuffled, sorted by length inside pools of `pool` batches, cut into batches, and the batches are shuffled.
    On long-tailed text this pads 2% of the tokens, where random batches pad more than half of them.

    Several processes share each batch out among them: the batches, their order and their number are those of one
    process. To train, a process for which a last, small batch has no row gets one that does not count (`weights`); to
    evaluate, such a batch joins its neighbour, as every process has to take part in each.

    Args:
        lengths: Length of each row, of shape (N,). Equal lengths make this a plain shuffle.
        batch_size: Rows per batch, of all processes together; the last batch may be smaller.
        seed: Seed of the order.
        shuffle: Whether to shuffle; otherwise the rows are sorted by length, the longest first.
        pool: Batches per pool.
        tokens_per_batch: Instead of `batch_size`: rows times longest row, at most. The rows are then sorted into
            buckets of like length, shuffled inside their bucket and cut there, so that every epoch has as many batches.
        rank: Which of the `num_ranks` processes this is.
        position: Returns the epoch, and the batch in it to start from; asked whenever the sampler is iterated.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        seed: int,
        shuffle: bool,
        pool: int = 200,
        tokens_per_batch: int | None = None,
        rank: int = 0,
        num_ranks: int = 1,
        position: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.pool = pool
        self.tokens_per_batch = tokens_per_batch
        self.rank = rank
        self.num_ranks = num_ranks
        self.position = position
        self.epoch = 0
        self.weights: list[float] = []  # for each batch of the epoch: this process's rows over those of the mean one
        self._num_batches: int | None = None

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        if self._num_batches is None:
            cut = sum(-(-len(rows) // size) for rows, size in self._buckets())
            self._num_batches = cut if self.shuffle or self.num_ranks == 1 else len(self._batches(0))
        return self._num_batches

    def __iter__(self) -> Iterator[Rows]:
        epoch, start = self.position() if self.position else (self.epoch, 0)
        batches = self._batches(epoch)
        parts = [rows[self.rank :: self.num_ranks] for rows in batches]
        self.weights = [len(part) * self.num_ranks / len(rows) for part, rows in zip(parts, batches, strict=True)]
        mine = [part if len(part) else rows[:1] for part, rows in zip(parts[start:], batches[start:], strict=True)]
        counts = map(bool, self.weights[start:])
        return map(Rows, mine, itertools.repeat(epoch), itertools.count(start), itertools.repeat(self.rank), counts)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        generator = np.random.default_rng([self.seed, epoch])
        batches = [batch for rows, size in self._buckets(generator) for batch in _cut(rows, size)]
        if self.shuffle:
            generator.shuffle(batches)
        elif self.num_ranks > 1:
            batches = _join_small(batches, self.num_ranks)
        return batches

    def _buckets(self, generator: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, int]]:
        """Yield rows that are to be cut into batches in their order, and the size of those batches."""
        if self.tokens_per_batch:
            order = np.argsort(-self.lengths, kind="stable")
            shortness = -self.lengths[order]
            start = 0
            while start < len(order):
                longest = -shortness[start]
                size = max(1, self.tokens_per_batch // max(1, int(longest)))
                # Lengths of a bucket differ by 5%, or by up to 30% where so few rows are only a few batches.
                near, far = np.searchsorted(shortness, [-longest / 1.05, -longest / 1.3], side="right")
                end = max(int(near), min(int(far), start + 8 * size))
                rows = order[start:end]
                if self.shuffle and generator is not None:
                    rows = generator.permutation(rows)
                yield rows, size
                start = end
        elif not self.shuffle:
            yield np.argsort(-self.lengths, kind="stable"), self.batch_size
        else:
            order = np.arange(len(self.lengths), dtype=np.int32)
            order = order if generator is None else generator.permutation(order)
            for start in range(0, len(order), self.batch_size * self.pool):
                rows = order[start : start + self.batch_size * self.pool]
                yield rows[np.argsort(self.lengths[rows], kind="stable")], self.batch_size


def _cut(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _join_small(batches: list[np.ndarray], least: int) -> list[np.ndarray]:
    """Return the batches with those of fewer than `least` rows joined to the one before."""
    joined: list[np.ndarray] = []
    for batch in batches:
        if joined and min(len(batch), len(joined[-1])) < least:
            joined[-1] = np.concatenate([joined[-1], batch])
        else:
            joined.append(batch)
    return joined

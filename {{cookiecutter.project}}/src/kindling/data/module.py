"""What all data have in common: three splits, plans of steps, and loaders of their batches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from ..errors import UsageError, short
from ..seeding import seeded
from .batch import Batch, Inputs, Step, Target, move, shapes_of, zeros
from .folder import named
from .loader import Loader, Split, as_it_is
from .readers import Row
from .sampler import BucketSampler, Plan

ON_DEVICE = 1  # last number of the seed of what is drawn there, so that it is not what was drawn on the CPU


class DataModule(LightningDataModule):
    """Samples by their numbers, divided into three splits.

    A subclass sets `splits` in `setup` and says what a batch is: `StoredData` for a dataset that `make_dataset.py`
    makes, `DatasetModule` for any torch `Dataset`.

    Args:
        dir: Folder of the data.
        batch_size: Samples per batch, which several processes share out among them.
        num_workers: Processes that load batches; zero loads in the main process.
        folds: Number of folds for cross-validation; without it a tenth of the samples validates.
        fold: The fold that validates, from 0 to `folds` - 1.
        shuffle: Whether training goes through the samples in another order each epoch.
        seed: Seed of the order of the batches, and of `augment`.
        tokens_per_batch: Instead of `batch_size`: samples times the length of the longest, at most.
        pool: Batches whose samples are sorted by length together; 1 leaves them in random order.
        sampler: Builds the plan of the training epochs, with the arguments of `BucketSampler`, which it is by default.
    """

    input_columns: tuple[str, ...] = ()  # what a row to predict from has to have
    draws = False  # whether random numbers are drawn to gather a batch

    def __init__(
        self,
        dir: str,
        batch_size: int = 32,
        num_workers: int = 0,
        folds: int | None = None,
        fold: int = 0,
        shuffle: bool = True,
        seed: int = 0,
        tokens_per_batch: int | None = None,
        pool: int = 200,
        sampler: Callable[..., Plan] = BucketSampler,
    ) -> None:
        super().__init__()
        if (folds is not None and not 0 <= fold < folds) or folds == 1:
            raise UsageError(f"data.folds={folds} data.fold={fold}: use two folds or more, and a fold below that")
        options = {"batch_size": batch_size, "pool": pool, "tokens_per_batch": tokens_per_batch}
        if wrong := [f"data.{name}={value}" for name, value in options.items() if value is not None and value < 1]:
            raise UsageError(f"{wrong[0]}: expected 1 or more")
        if num_workers < 0:
            raise UsageError(f"data.num_workers={num_workers}: expected 0 or more")
        self.dir = named(dir)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.folds = folds
        self.fold = fold
        self.shuffle = shuffle
        self.seed = seed
        self.tokens_per_batch = tokens_per_batch
        self.pool = pool
        self.sampler = sampler
        self.classes: list[str] = []
        self.hash = self.md5 = ""  # of the samples' content, and of their file
        self.splits: dict[str, np.ndarray] = {}
        self._shapes: dict[str, list[Any]] = {}  # of the inputs, which `dummy` imitates
        self._training_plan: Plan | None = None
        self._augments_on_device = type(self).augment_on_device is not DataModule.augment_on_device

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes that are not forked, as on macOS, are sent this, and have no use for a trainer.
        return self.__dict__ | {"trainer": None}

    def make(self) -> dict[str, Any]:
        """Make the dataset, where there is something to make, and return the facts about its samples."""
        self.prepare_data()
        self.setup("fit")
        sizes = {name: len(rows) for name, rows in self.splits.items()}
        return {"num_samples": sum(sizes.values()), "splits": sizes, "classes": {}}

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Return how long each of the samples with numbers `rows` is; samples of like length share a batch."""
        return np.ones(len(rows), dtype=np.int64)

    def inputs(self, rows: np.ndarray) -> Inputs:
        """Return the model's inputs for the samples with numbers `rows`."""
        raise TypeError(f"{type(self).__name__} has to define inputs()")

    def targets(self, rows: np.ndarray) -> Target:
        """Return what is to be predicted for the samples with numbers `rows`; None if that is nothing."""
        return None

    def gather(self, step: Step) -> Batch:
        """Return the batch of a step, whose rows are the numbers of its samples in the dataset."""
        return Batch(self.inputs(step.rows), self.targets(step.rows), len(step.rows), step)

    def augments(self) -> bool:
        """Whether random numbers are drawn for a training batch before it is moved to the device."""
        return self.draws or type(self).augment is not DataModule.augment

    def augment(self, batch: Batch) -> Batch:
        """Return a training batch changed at random, on the CPU and maybe in a worker process.

        All generators (of torch, NumPy and Python) were seeded for this batch: the change depends on the seed, the
        epoch and the batch alone, however training came there.
        """
        return batch

    def augment_on_device(self, batch: Batch) -> Batch:
        """Return a training batch changed at random, on the device that trains; seeded as for `augment`."""
        return batch

    def encode(self, rows: list[Row]) -> Inputs:
        """Return the model's inputs for rows that are in no dataset and have no `problem`."""
        raise TypeError(f"{type(self).__name__} has to define encode()")

    def problem(self, row: Row) -> str:
        """Return what is wrong with a row that `encode` is to take, or nothing."""
        return ""

    def size(self, row: Row) -> int:
        """Return how large a row is, so that rows of like size share a batch."""
        return 1

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to predict without the dataset."""
        if not self._shapes and self.splits:
            with seeded(self.seed):  # saving a checkpoint draws nothing
                self._shapes = shapes_of(self.gather(Step(self.splits["train"][:1])).inputs)
        return {"classes": self.classes, "hash": self.hash, "md5": self.md5, "inputs": self._shapes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.splits and self.hash != state_dict["hash"]:
            raise UsageError(
                f"{short(self.dir)} has changed since the checkpoint was saved; begin anew, or with init=... "
                "to keep the weights alone"
            )
        self.classes = state_dict["classes"]
        self._shapes = state_dict.get("inputs", {})
        if not self.splits:  # so that `setup` can tell other data from those of the checkpoint
            self.hash, self.md5 = state_dict["hash"], state_dict.get("md5", "")

    def inherit(self, state_dict: dict[str, Any]) -> None:
        """Take over, from the state of other data, what a model's inputs are made with."""

    def dummy(self, size: int = 2) -> Batch:
        """Return a batch that a model takes, from what a checkpoint holds: for exports, and where there are no data.

        Raises:
            UsageError: Neither a checkpoint nor `setup` has said what inputs are.
        """
        if not self._shapes and not self.state_dict()["inputs"]:
            raise UsageError(f"{type(self).__name__}: an older checkpoint does not say what inputs are")
        return Batch(zeros(self._shapes, size), None, size)

    def example(self) -> Batch:
        """Return a batch of two training samples."""
        self.prepare_data()
        self.setup("fit")
        return Split(self, self.splits["train"])[self.extremes()]

    def extremes(self) -> np.ndarray:
        """Return the places in the training split of two samples that strain a model most."""
        return np.arange(2)

    def check_share(self, processes: int) -> None:
        """Raise a UsageError if a split has fewer samples than there are processes."""
        for split, rows in self.splits.items():
            if len(rows) < processes:
                found = f"{len(rows)} sample{'s' * (len(rows) != 1)} in the {split} split"
                raise UsageError(f"{short(self.dir)}: {found} are not enough for {processes} processes; use fewer")

    def num_batches(self, split: str) -> int:
        return len(self.plan(split))

    def weight(self, batch: int) -> float:
        """Return how much this process's share of a training step counts, beside 1 for that of an average process.

        The mean over the processes of loss times weight is the loss of the whole batch, however it divides.
        """
        return self._training_plan.weights[batch] if self._training_plan else 1.0

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader("test")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        # Lightning searches a batch for tensors; this one is known.
        return batch._replace(inputs=move(batch.inputs, device), target=move(batch.target, device))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        # Lightning moves a batch before it calls the hook that seeds the step.
        if not self._augments_on_device or batch.step is None or not (self.trainer and self.trainer.training):
            return batch
        step = batch.step
        with seeded(self.seed, step.epoch, step.batch, step.rank, ON_DEVICE):
            return self.augment_on_device(batch)

    def plan(self, split: str) -> Plan:
        """Return the steps of an epoch over a split; override it to choose them for evaluation, too."""
        train = split == "train"
        return (self.sampler if train else BucketSampler)(
            self.lengths(self.splits[split]),
            self.batch_size,
            self.seed,
            shuffle=self.shuffle and train,
            pool=self.pool,
            tokens_per_batch=self.tokens_per_batch,
            rank=self.trainer.global_rank if self.trainer else 0,
            num_ranks=self.trainer.world_size if self.trainer else 1,
            position=self._position if self.trainer and train else None,
        )

    def _position(self) -> tuple[int, int]:
        """Return the epoch that training has reached, and how many of its batches are done."""
        loop: Any = self.trainer.fit_loop  # type: ignore[union-attr]
        return loop.epoch_progress.current.processed, loop.epoch_loop.batch_progress.current.ready

    def _loader(self, split: str) -> DataLoader[Any]:
        train = split == "train"
        plan = self.plan(split)
        if train:
            self._training_plan = plan
        return Loader(
            Split(self, self.splits[split], train and self.augments()),
            batch_size=None,  # the plan yields whole batches, and the dataset gathers one in one go
            sampler=plan,
            collate_fn=as_it_is,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator().manual_seed(self.seed),  # else it draws from the one that dropout uses
        )

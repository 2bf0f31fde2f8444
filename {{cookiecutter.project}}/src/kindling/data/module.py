"""What all data have in common: three splits, made once, and loaders of their batches."""

import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import UsageError, short
from ..seeding import seeded
from . import store as dataset
from .batch import Batch
from .sampler import BucketSampler, Rows

log = logging.getLogger(__name__)

Inputs = dict[str, Tensor]


class DataModule(LightningDataModule):
    """A dataset that `make_dataset.py` makes and `train.py` reads.

    A subclass says where the samples come from and what a batch of them is.

    Args:
        dir: Folder of the dataset.
        labels: "classes" or "numbers".
        batch_size: Samples per batch, which several processes share out among them.
        num_workers: Processes that load batches; zero loads in the main process.
        folds: Number of folds for cross-validation; without it a tenth of the samples validates.
        fold: The fold that validates, from 0 to `folds` - 1.
        shuffle: Whether training goes through the samples in another order each epoch.
        seed: Seed of the order of the batches, and of `augment`.
        tokens_per_batch: Instead of `batch_size`: samples times the length of the longest, at most.
        pool: Batches whose samples are sorted by length together; 1 leaves them in random order.
    """

    input_column = "text"  # what a row to predict from has to have

    def __init__(
        self,
        dir: str,
        labels: str = "classes",
        batch_size: int = 32,
        num_workers: int = 0,
        folds: int | None = None,
        fold: int = 0,
        shuffle: bool = True,
        seed: int = 0,
        tokens_per_batch: int | None = None,
        pool: int = 200,
    ) -> None:
        super().__init__()
        if (folds is not None and not 0 <= fold < folds) or folds == 1:
            raise UsageError(
                f"data.folds={folds} data.fold={fold}: use two folds or more, and a fold below their number"
            )
        if labels not in dataset.SCHEMA:
            raise UsageError(f"data.labels={labels}: choose from {', '.join(dataset.SCHEMA)}")
        if batch_size < 1 or num_workers < 0:
            raise UsageError(f"data.batch_size={batch_size} data.num_workers={num_workers}: out of range")
        if pool < 1:
            raise UsageError(f"data.pool={pool}: expected 1 or more")
        if tokens_per_batch is not None and tokens_per_batch < 1:
            raise UsageError(f"data.tokens_per_batch={tokens_per_batch}: expected 1 or more, or null")
        self.dir = Path(dir)
        self.labels = labels
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.folds = folds
        self.fold = fold
        self.shuffle = shuffle
        self.seed = seed
        self.tokens_per_batch = tokens_per_batch
        self.pool = pool
        self.classes: list[str] = []
        self.hash = ""  # of the samples' content
        self.md5 = ""  # of their file
        self.splits: dict[str, np.ndarray] = {}
        self.targets: Tensor | None = None
        self._training_sampler: BucketSampler | None = None
        self.fed: deque[np.ndarray] | None = None  # rows of the training batches, where a callback asks for them

    def __getstate__(self) -> dict[str, Any]:
        # Where worker processes are not forked, as on macOS, they are sent this, and have no use for a trainer.
        return self.__dict__ | {"trainer": None}

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (where it stands, row) for each sample, always in the same order; a row has a `text` and a `label`."""
        raise TypeError(f"{type(self).__name__} has to define rows()")

    def settings(self) -> dict[str, Any]:
        """Return what the samples depend on beside `fingerprint`: a dataset made with other settings is made anew."""
        return {"labels": self.labels}

    def fingerprint(self) -> str:
        """Return a value that changes when the source of the samples changes."""
        return ""

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Return how long each of the samples with numbers `rows` is; samples of like length share a batch."""
        return np.ones(len(rows), dtype=np.int64)

    def inputs(self, rows: np.ndarray) -> Inputs:
        """Return the model's inputs for the samples with numbers `rows`."""
        raise TypeError(f"{type(self).__name__} has to define inputs()")

    def augments(self) -> bool:
        """Whether `augment` does anything."""
        return type(self).augment is not DataModule.augment

    def augment(self, inputs: Inputs) -> Inputs:
        """Return the inputs of a training batch, changed at random.

        All generators (of torch, NumPy and Python) were seeded for this batch, also in a worker process: the change
        depends on the seed, the epoch and the batch alone.
        """
        return inputs

    def encode(self, rows: list[dict[str, Any]]) -> Inputs:
        """Return the model's inputs for rows that are in no dataset and have no `problem`."""
        raise TypeError(f"{type(self).__name__} has to define encode()")

    def problem(self, row: dict[str, Any]) -> str:
        """Return what is wrong with a row that `encode` is to take, or nothing."""
        return ""

    def size(self, row: dict[str, Any]) -> int:
        """Return how large a row is, so that rows of like size share a batch."""
        return 1

    def make(self) -> dict[str, Any]:
        """Make the dataset, unless it is there already, and return the facts about it."""
        settings = self.settings() | {"source": type(self).__name__, "fingerprint": self.fingerprint()}
        if Path(self.dir, "dataset.json").exists():
            facts = dataset.facts(self.dir)
            if facts["format"] == dataset.FORMAT and facts["settings"] == settings:
                log.info("%s is up to date", short(self.dir))
                return dataset.add_md5(self.dir, facts)
        log.info("Making %s", short(self.dir))
        return dataset.make(self.dir, self.rows(), settings)

    def setup(self, stage: str | None = None) -> None:
        if self.targets is not None:
            return
        facts = dataset.facts(self.dir)
        if facts["format"] != dataset.FORMAT:
            raise UsageError(f"{short(self.dir)} was made by another version of make_dataset.py; run it again")
        made_with = facts["settings"]
        if changed := [name for name, value in self.settings().items() if made_with.get(name) != value]:
            name = changed[0]
            raise UsageError(
                f"data.{name}={self.settings()[name]}: {short(self.dir)} was made with {made_with.get(name)}; "
                "run make_dataset.py with the same data options"
            )
        if self.classes and self.classes != list(facts["classes"]):
            there, here = ", ".join(facts["classes"]), ", ".join(self.classes)
            raise UsageError(f"{short(self.dir)} has the classes {there}, the checkpoint {here}")
        self.classes = list(facts["classes"])
        md5 = dataset.md5(self.dir, facts)
        if self.hash not in ("", facts["hash"]):
            there, trained_on = md5[:8], self.md5[:8] or "unknown"
            log.warning(f"{short(self.dir)} (MD5 {there}) is not what the checkpoint was trained on (MD5 {trained_on})")
        self.hash, self.md5 = facts["hash"], md5
        hashes, targets = dataset.read_targets(self.dir, self.classes)
        self.splits = dataset.split(hashes, self.folds, self.fold)
        self.targets = torch.from_numpy(targets)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to predict without the dataset."""
        return {"classes": self.classes, "hash": self.hash, "md5": self.md5}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.targets is not None and self.hash != state_dict["hash"]:
            raise UsageError(
                f"{short(self.dir)} has changed since the checkpoint was saved; begin anew, or with init=... "
                "to keep the weights alone"
            )
        self.classes = state_dict["classes"]
        if self.targets is None:  # so that `setup` can tell other data from those of the checkpoint
            self.hash, self.md5 = state_dict["hash"], state_dict.get("md5", "")

    def inherit(self, state_dict: dict[str, Any]) -> None:
        """Take over, from the state of other data, what a model's inputs are made with."""

    def example(self) -> Batch:
        """Return a batch of two training samples."""
        self.prepare_data()
        self.setup()
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
        return len(self._sampler(split))

    def weight(self, batch: int) -> float:
        """Return how much this process's part of a training batch counts, beside 1 for that of an average process.

        The mean over the processes of loss times weight is the loss of the whole batch, however it divides.
        """
        return self._training_sampler.weights[batch] if self._training_sampler else 1.0

    def train_dataloader(self) -> DataLoader:
        return self._loader("train")

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        # Lightning searches a batch for tensors; this one is known.
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.inputs.items()}
        return Batch(inputs, batch.target.to(device, non_blocking=True), batch.size)

    def _sampler(self, split: str) -> BucketSampler:
        return BucketSampler(
            self.lengths(self.splits[split]),
            self.batch_size,
            self.seed,
            shuffle=self.shuffle and split == "train",
            pool=self.pool,
            tokens_per_batch=self.tokens_per_batch,
            rank=self.trainer.global_rank if self.trainer else 0,
            num_ranks=self.trainer.world_size if self.trainer else 1,
            position=self._position if self.trainer and split == "train" else None,
        )

    def _position(self) -> tuple[int, int]:
        """Return the epoch that training has reached, and how many of its batches are done."""
        loop: Any = self.trainer.fit_loop  # type: ignore[union-attr]
        return loop.epoch_progress.current.processed, loop.epoch_loop.batch_progress.current.ready

    def _loader(self, split: str) -> DataLoader:
        train = split == "train"
        sampler = self._sampler(split)
        if train:
            self._training_sampler = sampler
        return Loader(
            Split(self, self.splits[split], train and self.augments(), self.fed if train else None),
            batch_size=None,  # the sampler yields whole batches, and the dataset gathers one in one go
            sampler=sampler,
            collate_fn=_as_it_is,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator().manual_seed(self.seed),  # else it draws from the one that dropout uses
        )


class Loader(DataLoader[Batch]):
    """A loader that begins when its first batch is asked for.

    By then Lightning has restored a checkpoint, and the sampler knows where to go on. Lightning may well have asked for
    the iterator earlier; the state that other loaders store is then lost
    (https://github.com/Lightning-AI/pytorch-lightning/issues/20550).
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        fed = getattr(self.dataset, "fed", None)
        if fed is None:
            yield from super().__iter__()
            return
        fed.clear()
        for batch, rows in super().__iter__():
            fed.append(rows)
            yield batch


class Split(Dataset[Batch]):
    """The samples of one split, indexed by whole batches."""

    def __init__(
        self, data: DataModule, rows: np.ndarray, augment: bool = False, fed: deque[np.ndarray] | None = None
    ) -> None:
        self.data = data
        self.rows = rows
        self.augment = augment
        self.fed = fed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Rows | np.ndarray | int) -> Batch:
        numbers = index.numbers if isinstance(index, Rows) else np.atleast_1d(index)
        rows = self.rows[numbers]
        assert self.data.targets is not None, "setup() comes first"
        inputs = self.data.inputs(rows)
        if self.augment and isinstance(index, Rows):
            part = (index.rank,) if index.rank else ()  # the first process does what a single one does
            with seeded(self.data.seed, index.epoch, index.batch, *part):
                inputs = self.data.augment(inputs)
        target = self.data.targets[torch.from_numpy(rows)]
        target = target if target.is_floating_point() else target.long()
        counts = not isinstance(index, Rows) or index.counts
        batch = Batch(inputs, target, len(rows) if counts else 0)
        return batch if self.fed is None else (batch, rows)  # type: ignore[return-value]


def _as_it_is(batch: Any) -> Any:
    return batch

"""Data over any torch `Dataset`."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset, default_collate

from ..errors import UsageError, short
from .batch import Batch, Inputs, Step, Target
from .module import DataModule
from .readers import Row
from .splits import NAMES, hash_key, row_type, split
from .values import convert

Key = bytes | str | int
Found = Mapping[str, Dataset[Any]] | tuple[Dataset[Any], Iterable[Key]]


class DatasetModule(DataModule):
    """Samples of torch datasets, in the batches of a plan: shuffled, shared out, seeded and resumed like all others.

    A subclass defines `datasets`. A sample is (inputs, target), or inputs alone; inputs are what the model takes by
    name, or one value for its argument `input_name`. What a dataset draws at random for its samples depends on the
    seed, the epoch and the batch alone; for evaluation it is the same each time.

    Args:
        classes: Names of the classes, if the target is the number of one.
        **kwargs: See `DataModule`.
    """

    draws = True  # a dataset may have random transforms
    input_name = "inputs"
    input_columns: tuple[str, ...] = ("inputs",)

    def __init__(self, classes: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = list(map(str, classes))
        self._datasets: list[Dataset[Any]] = []
        self._starts = np.zeros(1, np.int64)  # number of each dataset's first sample

    def datasets(self) -> Found:
        """Return the datasets `train`, `val` and `test`, or one and a key for each of its samples.

        One dataset is split by the hashes of the keys: a sample never changes its split when others are added, and
        samples of one key, such as the images of one patient, share a split.
        """
        raise TypeError(f"{type(self).__name__} has to define datasets()")

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        found = self.datasets()
        content = hashlib.sha256()
        if isinstance(found, Mapping):
            self._take_splits(found)
        else:
            dataset, keys = found
            hashes = np.array([hash_key(_bytes(key)) for key in keys], np.uint64)
            if len(hashes) != len(_sized(dataset)):
                raise TypeError(f"{type(self).__name__}: {len(hashes)} keys for {len(_sized(dataset))} samples")
            content.update(hashes.tobytes())
            self._datasets, self.splits = [dataset], split(hashes, self.folds, self.fold)
        if empty := [name for name, rows in self.splits.items() if not len(rows)]:
            self.splits = {}
            raise UsageError(f"{short(self.dir)}: too few samples for a {empty[0]} split; add some (100 or more)")
        content.update(str([len(rows) for rows in self.splits.values()]).encode())
        if self.hash not in ("", content.hexdigest()):
            raise UsageError(f"{short(self.dir)} is not what the checkpoint was trained on; its samples are others")
        self.hash = content.hexdigest()

    def collate(self, samples: list[Any]) -> Batch:
        """Return samples of one dataset as a batch; by default as torch's `default_collate` stacks them."""
        try:
            stacked = _in_single_precision(default_collate(samples))
        except RuntimeError as error:
            raise UsageError(
                f"{type(self).__name__}: define collate(), as torch can't stack the samples ({error})"
            ) from None
        inputs, target = stacked if isinstance(stacked, list | tuple) and len(stacked) == 2 else (stacked, None)
        return Batch(inputs if isinstance(inputs, dict) else {self.input_name: inputs}, target, len(samples))

    def gather(self, step: Step) -> Batch:
        dataset = int(np.searchsorted(self._starts, step.rows[0], side="right")) - 1
        samples = [self._datasets[dataset][int(row)] for row in step.rows - self._starts[dataset]]
        return self.collate(samples)._replace(step=step)

    def inputs(self, rows: np.ndarray) -> Inputs:
        return self.gather(Step(rows)).inputs

    def targets(self, rows: np.ndarray) -> Target:
        return self.gather(Step(rows)).target

    def problem(self, row: Row) -> str:
        for name, kind in self._row_types().items():
            try:
                convert(row.get(name), kind)
            except ValueError as error:
                return f"the {name} {error}"
        return ""

    def encode(self, rows: list[Row]) -> Inputs:
        """Return the model's inputs for rows that hold them as they are, each in its column.

        Where there is one input of as many numbers as there are `input_columns`, these are its numbers in their order.
        What a dataset does to its samples (a transform, say) is not done to them: override this to do it.
        """
        types = self._row_types()
        values = {name: np.array([convert(row[name], kind) for row in rows]) for name, kind in types.items()}
        if self._is_spread():
            values = {next(iter(self._shapes)): np.stack(list(values.values()), axis=1)}
        kinds = {name: getattr(torch, kind) for name, (kind, _) in self._shapes.items()}
        return {name: torch.from_numpy(value).to(kinds[name]) for name, value in values.items()}

    def _is_spread(self) -> bool:
        """Whether the columns of a row to predict from are the numbers of one input."""
        shapes = [tuple(shape) for _, shape in self._shapes.values()]
        return set(self.input_columns) != set(self._shapes) and shapes == [(len(self.input_columns),)]

    def _row_types(self) -> dict[str, pa.DataType]:
        if self._is_spread():
            ((kind, _),) = self._shapes.values()
            return dict.fromkeys(self.input_columns, pa.from_numpy_dtype(np.dtype(kind)))
        types = {}
        for name, (kind, shape) in self._shapes.items():
            types[name] = pa.from_numpy_dtype(np.dtype(kind))
            for size in reversed(shape):
                types[name] = pa.list_(types[name], size)
        return types

    def _take_splits(self, found: Mapping[str, Dataset[Any]]) -> None:
        if set(found) != set(NAMES):
            raise TypeError(f"{type(self).__name__}.datasets() returned {', '.join(found)}, not {', '.join(NAMES)}")
        if self.folds:
            raise UsageError(
                f"data.folds={self.folds}: {type(self).__name__} has splits of its own; use data.folds=null"
            )
        self._datasets = [found[name] for name in NAMES]
        ends = np.cumsum([len(_sized(dataset)) for dataset in self._datasets])
        self._starts = np.concatenate([[0], ends[:-1]])
        numbers = row_type(int(ends[-1]))
        self.splits = {
            name: np.arange(start, end, dtype=numbers)
            for name, start, end in zip(NAMES, self._starts, ends, strict=True)
        }


def _sized(dataset: Any) -> Sized:
    if not hasattr(dataset, "__len__"):
        raise TypeError(f"{type(dataset).__name__} has no length; a torch Dataset with one is needed")
    return dataset  # type: ignore[no-any-return]


def _bytes(key: Key) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()


def _in_single_precision(value: Any) -> Any:
    """Return tensors as torch makes them itself; of the floats of Python and NumPy, collating makes doubles."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype == torch.float64 else value
    if isinstance(value, dict):
        return {name: _in_single_precision(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_in_single_precision(item) for item in value)
    return value

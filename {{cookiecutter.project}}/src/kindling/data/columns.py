"""Columns of a dataset as arrays that are mapped from disk: what is held in memory does not grow with them."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from .store import read_columns
from .values import is_text, number_type, shape_of

ROWS_PER_BATCH = 1_000  # an image takes a megabyte

Types = dict[str, pa.DataType]


class Column:
    """The values of all samples.

    Args:
        values: Of shape (N, ...), or of shape (number of items,) where the values are lists of any length.
        offsets: For such lists, of shape (N + 1,): where each starts, and where the last one ends.
    """

    def __init__(self, values: Tensor, offsets: np.ndarray | None = None) -> None:
        self.values = values
        self.offsets = offsets

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Return how many items the samples with numbers `rows` have."""
        assert self.offsets is not None
        lengths: np.ndarray = self.offsets[rows + 1] - self.offsets[rows]
        return lengths

    def gather(self, rows: np.ndarray, padding: float = 0) -> Tensor:
        """Return the values of these samples, of shape (B, ...); lists are padded to the longest of them, (B, T)."""
        if self.offsets is None:
            return self.values.index_select(0, torch.from_numpy(rows))  # four times as fast as values[rows]
        starts, lengths = self.offsets[rows], self.lengths(rows)
        places = np.arange(lengths.max())
        # Past its end a list goes on with the next one's items, until they are padded over.
        places_of_all = np.minimum(starts[:, None] + places, len(self.values) - 1)
        found = self.values[torch.from_numpy(places_of_all)]
        return found.masked_fill(torch.from_numpy(places >= lengths[:, None]), padding)


def pad(values: list[Any], padding: float = 0) -> Tensor:
    """Return arrays of shape (T,) as one tensor (B, longest T)."""
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(value) for value in values], True, padding)


def write_columns(folder: Path, dataset: Path, types: Types, num_rows: int, names: list[str]) -> None:
    """Write columns of a dataset to a folder, as `open_columns` reads them; texts become their places among `names`."""
    for number, (column, kind) in enumerate(types.items()):
        shape, numbers = shape_of(kind), _stored_type(kind, names)
        header = {"descr": np.lib.format.dtype_to_descr(numbers), "fortran_order": False, "shape": (num_rows, *shape)}
        lengths = [np.zeros(1, np.int64)]
        with open(folder / f"{number}.values", "wb") as file:
            if shape or not is_ragged(kind):
                np.lib.format.write_array_header_1_0(file, header)
            for batch in read_columns(dataset, [column], ROWS_PER_BATCH):
                found = batch.column(0)
                if is_ragged(kind):
                    lengths.append(np.from_dlpack(found.value_lengths()).astype(np.int64))
                write_numbers(file, _numbers(found, names).astype(numbers))
        if is_ragged(kind):
            offsets = np.cumsum(np.concatenate(lengths))
            with open(folder / f"{number}.offsets.npy", "wb") as file:
                np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(offsets))
                write_numbers(file, offsets)
    Path(folder, "columns").write_text("\n".join(types), encoding="utf-8")


def write_numbers(file: BinaryIO, numbers: np.ndarray) -> None:
    """Write numbers as they are in memory; `tofile` would not say that a disk is full."""
    file.write(numbers.tobytes())


def open_columns(folder: Path, types: Types, names: list[str]) -> dict[str, Column]:
    """Return the columns that `write_columns` wrote to a folder, mapped from disk."""
    found = {}
    for number, (column, kind) in enumerate(types.items()):
        file = folder / f"{number}.values"
        if is_ragged(kind):
            values = np.memmap(file, _stored_type(kind, names), mode="c")
            found[column] = Column(torch.from_numpy(values), np.load(folder / f"{number}.offsets.npy"))
        else:
            found[column] = Column(torch.from_numpy(np.load(file, mmap_mode="c")))
    return found


def is_ragged(kind: pa.DataType) -> bool:
    """Whether a value is a list of any length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _stored_type(kind: pa.DataType, names: list[str]) -> np.dtype[Any]:
    return np.dtype(np.min_scalar_type(-len(names))) if is_text(kind) else number_type(kind)


def _numbers(column: pa.Array, names: list[str]) -> np.ndarray:
    while is_ragged(column.type) or not (pa.types.is_primitive(column.type) or is_text(column.type)):
        column = column.flatten()
    if is_text(column.type):
        encoded, place = column.dictionary_encode(), {name: place for place, name in enumerate(names)}
        places = np.array([place[name] for name in encoded.dictionary.to_pylist()], np.int64)
        found: np.ndarray = places[np.from_dlpack(encoded.indices)]
        return found
    if pa.types.is_boolean(column.type):
        return np.from_dlpack(column.cast(pa.uint8()))
    return np.from_dlpack(column)

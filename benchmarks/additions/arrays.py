from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from kindling.data.batch import Inputs
from kindling.data.stored import StoredData


class Arrays(StoredData):
    """Rows of a table of bytes, as numbers from 0 to 1.

    Args:
        path: Folder with `inputs.npy` of shape (N, F) and `targets.npy` of shape (N,).
        num_features: F.
        **kwargs: See `DataModule`.
    """

    input_columns = ("inputs",)

    def __init__(self, path: str, num_features: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = Path(path)
        self.schema = pa.schema([("inputs", pa.list_(pa.uint8(), num_features)), ("label", pa.string())])

    def samples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        inputs, targets = (np.load(self.path / f"{name}.npy", mmap_mode="r") for name in ("inputs", "targets"))
        for number, (numbers, target) in enumerate(zip(inputs, targets, strict=True)):
            yield f"row {number}", {"inputs": numbers, "label": str(target)}

    def to_inputs(self, values: Inputs) -> Inputs:
        return {"inputs": values["inputs"].float().div_(255)}

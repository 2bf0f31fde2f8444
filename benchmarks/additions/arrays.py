from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kindling.data.module import DataModule, Inputs


class Arrays(DataModule):
    """Rows of a table of bytes, as numbers from 0 to 1.

    Args:
        path: Folder with `inputs.npy` of shape (N, F) and `targets.npy` of shape (N,).
        **kwargs: See `DataModule`.
    """

    def __init__(self, path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = Path(path)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, target in enumerate(np.load(self.path / "targets.npy")):
            yield f"row {number}", {"text": f"row {number}", "label": str(target)}

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self.table = torch.from_numpy(np.load(self.path / "inputs.npy", mmap_mode="c"))

    def inputs(self, rows: np.ndarray) -> Inputs:
        return {"inputs": self.table[torch.from_numpy(rows)].float().div_(255)}

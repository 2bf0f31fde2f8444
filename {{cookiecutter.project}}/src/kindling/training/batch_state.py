"""Where training stands at each batch, in full."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer

from ..files import new_file
from .batch_log import Batches


class State(Batches):
    """Write a line for each batch into `state.jsonl`: which samples it had, and where training stood.

    A line has epoch, batch and optimizer step, counted from zero, and the learning rates; where the data tell them, the
    number of samples, too, and a hash of their numbers in the dataset. Of two trainings on the same data, the first
    line that differs is where they part.

    Args:
        dirpath: Folder of the file.
    """

    def rewind(self, step: int) -> None:
        file = Path(self.dirpath, "state.jsonl")
        file.parent.mkdir(parents=True, exist_ok=True)
        # What a crash cut off does not end with a line break.
        lines = [line for line in _lines(file) if line.endswith(b"\n") and json.loads(line)["step"] < step]
        with new_file(file) as new:
            new.write_bytes(b"".join(lines))
        self._file = file.open("ab", buffering=0)  # a line is there at once, also when the process is killed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if step := getattr(batch, "step", None):  # other data do not tell which samples a batch has
            rows = step.rows.astype("<i8")
            digest = hashlib.blake2b(rows.tobytes(), digest_size=8).hexdigest()
            self._row = self._row | {"samples": len(rows), "hash": digest}

    def write(self, row: dict[str, Any], loss: float | None) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def _lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True) if file.exists() else []

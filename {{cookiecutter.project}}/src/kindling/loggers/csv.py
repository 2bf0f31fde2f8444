"""Lightning's CSV logger, with a file that is whole after a crash and goes on when the run does."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_fabric.utilities.logger import _add_prefix as add_prefix
from pytorch_lightning.loggers import CSVLogger as LightningCSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.utilities import rank_zero_only

from ..files import new_file


class CSVLogger(LightningCSVLogger):
    """Write a row an epoch (a validation) into `metrics.csv`, and what is logged amid an epoch into `steps.csv`.

    Each row is on the disk at once; Lightning's logger keeps a hundred steps in memory and deletes the file of earlier
    runs. What is logged of one step stands in one row.

    Args:
        save_dir: The run's folder.
        name: Folder in it.
        version: Folder in that.
        flush_logs_every_n_steps: Steps between two writes.
        **kwargs: See Lightning's logger.
    """

    def __init__(
        self, save_dir: str, name: str = "csv", version: str = "", flush_logs_every_n_steps: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(save_dir, name, version, flush_logs_every_n_steps=flush_logs_every_n_steps, **kwargs)
        self.amid_epoch: Callable[[], bool] = lambda: False  # set by what trains
        self._steps: StepWriter | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> "Writer":
        if not isinstance(self._experiment, Writer):
            self._experiment = Writer(self.log_dir)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Write the metrics into the row of their step."""
        rates = all(name.startswith("lr-") for name in metrics)  # also where they are logged as an epoch starts
        writer = self._steps_writer() if rates or self.amid_epoch() else self.experiment
        named: Any = add_prefix(metrics, self._prefix, self.LOGGER_JOIN_CHAR)
        writer.log_metrics(named, step)
        writer.save()

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Forget the rows of optimizer step `step` and later ones: training is about to make that step."""
        self.experiment.rewind(step)
        if (writer := self._steps_writer()).exists():
            writer.rewind(step)

    def _steps_writer(self) -> "StepWriter":
        self._steps = self._steps or StepWriter(self.log_dir)
        return self._steps


class Writer(ExperimentWriter):
    """Rows that are appended to `metrics.csv`; when there is a new column the file is replaced by a rewritten one.

    A row of the same step as the last one is written into that.
    """

    merges = True

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self._last: dict[str, str] = {}  # the last row, which ends the file
        self.metrics_keys = list(next(iter(self._read()), {}))

    def _check_log_dir_exists(self) -> None:
        pass  # it would delete the file; `rewind` decides what stays

    def exists(self) -> bool:
        return os.path.exists(self.metrics_file_path)

    def rewind(self, step: int) -> None:
        rows = [row for row in self._read() if int(row["step"]) < step]
        self.metrics_keys = sorted({name for row in rows for name, value in row.items() if value != ""})
        self._replace(rows)
        # A checkpoint from between validation and the end of its epoch repeats that end.
        last = rows[-1] if rows and int(rows[-1]["step"]) == step - 1 else {}
        self._last = {name: value for name, value in last.items() if value != ""}

    def save(self) -> None:
        for row in self.metrics:
            self._write({name: str(value) for name, value in row.items()})
        self.metrics = []

    def _write(self, row: dict[str, str]) -> None:
        same = self.merges and self._last.get("step") == row["step"]
        before, self._last = self._last, (self._last if same else {}) | row
        if same and self._last == before:
            return
        new = self._last.keys() - set(self.metrics_keys)
        if new or not self.exists():
            rows = self._read()
            self.metrics_keys = sorted({*self.metrics_keys, *new})
            self._replace([*(rows[:-1] if same else rows), self._last])
            return
        with open(self.metrics_file_path, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            # One write, which leaves no moment without the row: it only grows, but for a value that was logged twice.
            file.seek(end - len(self._to_csv([before]).encode()) if same else end)
            file.write(self._to_csv([self._last]).encode())
            file.truncate()

    def _read(self) -> list[dict[str, Any]]:
        """Return the rows in the file; a line that a crash cut off is none."""
        try:
            text = Path(self.metrics_file_path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))

    def _replace(self, rows: list[dict[str, Any]]) -> None:
        header = self._to_csv([{name: name for name in self.metrics_keys}])
        with new_file(Path(self.metrics_file_path)) as new:
            new.write_text(header + self._to_csv(rows) if rows else "", encoding="utf-8", newline="")

    def _to_csv(self, rows: list[dict[str, Any]]) -> str:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.metrics_keys, lineterminator="\n", extrasaction="ignore").writerows(rows)
        return text.getvalue()


class StepWriter(Writer):
    """The rows of `steps.csv`."""

    NAME_METRICS_FILE = "steps.csv"

"""Lightning's CSV logger, with a file that is whole after a crash and goes on when the run does."""

import csv
import io
import os
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger as LightningCSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.utilities import rank_zero_only


class CSVLogger(LightningCSVLogger):
    """Write each row at once; Lightning's logger keeps a hundred steps in memory and deletes the file of earlier runs.

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

    @property
    @rank_zero_experiment
    def experiment(self) -> "Writer":
        if not isinstance(self._experiment, Writer):
            self._experiment = Writer(self.log_dir)
        return self._experiment

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Forget the rows of optimizer step `step` and later ones: training is about to make that step."""
        self.experiment.rewind(step)


class Writer(ExperimentWriter):
    """Rows that are appended to `metrics.csv`; when there is a new column the file is replaced by a rewritten one."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self._kept: list[dict[str, Any]] = []
        self.metrics_keys = list(next(iter(self._read()), {}))

    def _check_log_dir_exists(self) -> None:
        pass  # it would delete the file; `rewind` decides what stays

    def rewind(self, step: int) -> None:
        rows = [row for row in self._read() if int(row["step"]) < step]
        self._kept = [row for row in rows if int(row["step"]) == step - 1]
        self.metrics_keys = sorted({name for row in rows for name, value in row.items() if value != ""})
        self._replace(rows)

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        super().log_metrics(metrics_dict, step)
        # A checkpoint from between validation and the end of its epoch repeats that end.
        row = {name: str(value) for name, value in self.metrics[-1].items()}
        if self._kept and row in [{name: value for name, value in kept.items() if value} for kept in self._kept]:
            self.metrics.pop()

    def save(self) -> None:
        if not self.metrics:
            return
        if self._record_new_keys() or not os.path.exists(self.metrics_file_path):
            self._replace([*self._read(), *self.metrics])
        else:
            with open(self.metrics_file_path, "a", encoding="utf-8", newline="") as file:
                file.write(self._to_csv(self.metrics))
        self.metrics = []

    def _read(self) -> list[dict[str, Any]]:
        """Return the rows in the file; a line that a crash cut off is none."""
        try:
            text = Path(self.metrics_file_path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))

    def _replace(self, rows: list[dict[str, Any]]) -> None:
        new = Path(f"{self.metrics_file_path}.new")
        header = self._to_csv([{name: name for name in self.metrics_keys}])
        new.write_text(header + self._to_csv(rows) if rows else "", encoding="utf-8", newline="")
        new.replace(self.metrics_file_path)

    def _to_csv(self, rows: list[dict[str, Any]]) -> str:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.metrics_keys, lineterminator="\n", extrasaction="ignore").writerows(rows)
        return text.getvalue()

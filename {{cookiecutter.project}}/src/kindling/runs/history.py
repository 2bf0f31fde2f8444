"""What training measured so far; it goes through the checkpoints, so that a resumed run has all of it."""

import csv
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .metrics import is_metric

MOST_RATES = 1000  # that are drawn


class Best(NamedTuple):
    """The place that the monitored metric was best at."""

    epoch: float
    name: str
    value: float


class History:
    """A row for each place in training at which something was measured, in their order.

    A row has an `epoch` (2.5 is amid the third), a `step`, the learning rate `lr`, and metrics by their names.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.resumed: list[float] = []  # epochs that training was resumed at

    def note(self, epoch: float, step: int, values: dict[str, float]) -> None:
        """Add the values to the row of this place."""
        if not self.rows or self.rows[-1]["epoch"] < epoch:
            self.rows.append({"epoch": epoch, "step": step})
        self.rows[-1] |= values

    def names(self) -> list[str]:
        """Return the names of the metrics, in the order in which they came."""
        return [name for name in dict.fromkeys(name for row in self.rows for name in row) if is_metric(name)]

    def line(self, name: str) -> tuple[list[float], list[float]]:
        """Return the epochs at which `name` was measured, and the values there."""
        rows = [row for row in self.rows if name in row]
        return [row["epoch"] for row in rows], [row[name] for row in rows]

    def best(self, name: str, mode: str) -> Best | None:
        """Return the first place that the metric was best at, if it was measured."""
        measured = [(epoch, value) for epoch, value in zip(*self.line(name), strict=True) if not math.isnan(value)]
        if not measured:
            return None
        epoch, value = (min if mode == "min" else max)(measured, key=lambda pair: pair[1])
        return Best(epoch, name, value)

    def at(self, step: int, name: str) -> Best | None:
        """Return the place at which the metric was measured after optimizer step `step`."""
        rows = [row for row in self.rows if row["step"] == step and name in row]
        return Best(rows[-1]["epoch"], name, rows[-1][name]) if rows else None

    def rates(self, log: Path) -> tuple[list[float], list[float]]:
        """Return epochs and the learning rates there: of the CSV file `log`, which has more of them, or of the rows."""
        steps, rates = _read_rates(log)
        if len(steps) <= len(self.rows):
            return self.line("lr")
        places, epochs = ([row[name] for row in self.rows] for name in ("step", "epoch"))
        every = -(-len(steps) // MOST_RATES)
        return np.interp(steps[::every], places, epochs).tolist(), rates[::every]

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "resumed": self.resumed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.resumed = list(state["rows"]), list(state["resumed"])


def _read_rates(log: Path) -> tuple[list[float], list[float]]:
    """Return the steps and values of the first learning rate in a CSV file of metrics, if there is one."""
    if not log.is_file():
        return [], []
    with log.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        column = next((name for name in rows.fieldnames or () if name.startswith("lr-")), None)
        found = [(int(row["step"]), float(row[column])) for row in rows if column and row[column]]
    return [step for step, _ in found], [rate for _, rate in found]

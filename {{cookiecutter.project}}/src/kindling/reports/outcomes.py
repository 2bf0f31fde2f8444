"""What a model predicted for each test sample, as its task says it, next to what is true."""

import itertools
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..tables import write_csv

RIGHT_ONES = 10  # among the sample predictions

Show = Callable[[np.ndarray], list[str]]


@dataclass
class Outcomes:
    """Predictions for test samples, N of them.

    Args:
        classes: Names of the classes; none if there are none.
        rows: Where the samples stand in the dataset.
        predicted: What `task.row` calls the `prediction`: a class, a number, or whatever else the task predicts.
        probability: That of the predicted class, where `task.row` has one: `probability_<class>`.
        actual: The same as `predicted`, but true; None where the target of a sample is not one number.
    """

    classes: list[str]
    rows: list[int] = field(default_factory=list)
    predicted: list[Any] = field(default_factory=list)
    probability: list[float | None] = field(default_factory=list)
    actual: list[Any] = field(default_factory=list)

    def add(self, task: Any, predictions: torch.Tensor, batch: Any) -> None:
        """Add a batch.

        Args:
            task: Its `row(prediction, classes)` returns the columns that a prediction gets.
            predictions: What `test_step` returned, of shape (B, ...).
            batch: Its `step` says which samples these are, and its `target` what is true.
        """
        targets = _numbers(batch.target, len(predictions))
        for row, prediction, target in zip(batch.step.rows, predictions.float().cpu(), targets, strict=True):
            columns = task.row(prediction, self.classes)
            predicted = columns["prediction"]
            is_class = self.classes and predicted in self.classes and target is not None
            self.rows.append(int(row))
            self.predicted.append(predicted)
            self.probability.append(columns.get(f"probability_{predicted}"))
            self.actual.append(self.classes[int(target)] if is_class else target)  # type: ignore[arg-type]

    @property
    def are_classes(self) -> bool:
        """Whether each prediction is one of the classes, and it is known which is right."""
        names = set(self.classes)
        values = (*self.predicted, *self.actual)
        return bool(names) and all(isinstance(value, str) and value in names for value in values)

    @property
    def are_numbers(self) -> bool:
        """Whether each prediction is a number, and it is known which is right."""
        values = (*self.predicted, *self.actual)
        return all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in values)

    def matrix(self) -> np.ndarray:
        """Return how many samples of each class (rows) were predicted as each class (columns)."""
        numbers_of = {name: number for number, name in enumerate(self.classes)}
        counts = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        for actual, predicted in zip(self.actual, self.predicted, strict=True):
            counts[numbers_of[actual], numbers_of[predicted]] += 1
        return counts

    def write(self, path: Path) -> None:
        """Write a row for each sample, with the columns `actual` and `predicted` that DVC's plots ask for."""
        rows = ([self.rows[place], *self._values(place)] for place in range(len(self.rows)))
        write_csv(path, ["row", *self._columns()], rows)

    def samples(self, count: int, show: Show | None = None) -> tuple[list[str], list[list[Any]]]:
        """Return a table of `count` predictions: the worst mistakes first, then some right ones.

        Args:
            count: Rows of the table.
            show: Returns what stands for samples, such as their texts, for the last column; None for no such column.
        """
        wrong, right = self._worst_first()
        wrong = wrong[: max(count - min(RIGHT_ONES, len(right)), 0)]
        right = [right[int(at)] for at in np.linspace(0, len(right) - 1, min(count - len(wrong), len(right)))]
        chosen, columns = [*wrong, *right], self._columns()
        rows = [self._values(place) for place in chosen]
        if self.are_numbers:
            columns = [*columns, "error"]
            rows = [[*row, _short(self._error(place))] for row, place in zip(rows, chosen, strict=True)]
        if show:
            columns = [*columns, "text"]
            texts = show(np.array([self.rows[place] for place in chosen], dtype=np.int64))
            rows = [[*row, text] for row, text in zip(rows, texts, strict=True)]
        return columns, rows

    def _worst_first(self) -> tuple[list[int], list[int]]:
        """Return the places of mistakes and of the others: of classes the surest come first, of numbers the worst."""
        places = range(len(self.rows))
        if self.are_numbers:
            return sorted(places, key=lambda place: -abs(self._error(place))), []
        order = sorted(places, key=lambda place: -(self.probability[place] or 0.0))
        if not self.are_classes:
            return [], list(order)
        mistaken = [place for place in order if self.predicted[place] != self.actual[place]]
        return mistaken, [place for place in order if self.predicted[place] == self.actual[place]]

    def _error(self, place: int) -> float:
        return float(self.predicted[place] - self.actual[place])

    def _columns(self) -> list[str]:
        known = any(value is not None for value in self.actual)
        return [*["actual"] * known, "predicted", *["probability"] * any(p is not None for p in self.probability)]

    def _values(self, place: int) -> list[Any]:
        values = {"actual": self.actual, "predicted": self.predicted, "probability": self.probability}
        return [_short(values[column][place]) for column in self._columns()]


def merge(parts: Sequence[Outcomes]) -> Outcomes:
    """Return the outcomes of all processes, in the order of the dataset."""
    whole = Outcomes(parts[0].classes)
    lists = ("rows", "predicted", "probability", "actual")
    columns = [list(itertools.chain.from_iterable(getattr(part, name) for part in parts)) for name in lists]
    for line in sorted(zip(*columns, strict=True), key=lambda line: line[0]):
        for name, value in zip(lists, line, strict=True):
            getattr(whole, name).append(value)
    return whole


def _numbers(target: Any, count: int) -> list[float | int | None]:
    """Return the target of each sample if it is one number, else None for each."""
    if isinstance(target, torch.Tensor) and target.shape == (count,):
        return list(target.tolist())
    return [None] * count


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value

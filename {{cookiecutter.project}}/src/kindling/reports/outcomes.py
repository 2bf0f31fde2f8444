"""What a model predicted for each test sample, next to what is true."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..tables import write_csv

RIGHT_ONES = 10  # among the sample predictions

Show = Callable[[np.ndarray], list[str]]


@dataclass
class Outcomes:
    """Predictions for test samples, of shape (N,) each, in the order of the dataset.

    Args:
        rows: Where the samples stand in the dataset.
        actual: Number of each sample's class, or the number that is to be predicted.
        predicted: The same, predicted.
        probability: That the model gives to the class it predicted; none for numbers.
        classes: Names of the classes; none for numbers.
    """

    rows: np.ndarray
    actual: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray | None
    classes: list[str]

    def matrix(self) -> np.ndarray:
        """Return how many samples of each class (rows) were predicted as each class (columns)."""
        size = len(self.classes)
        pairs = self.actual.astype(np.int64) * size + self.predicted  # classes may be stored in a single byte
        return np.bincount(pairs, minlength=size * size).reshape(size, size)

    def write(self, path: Path) -> None:
        """Write a row for each sample, with the columns `actual` and `predicted` that DVC's plots ask for."""
        rows = ([int(self.rows[place]), *self._values(place)] for place in range(len(self.rows)))
        write_csv(path, ["row", *self._columns()], rows)

    def samples(self, count: int, show: Show | None = None) -> tuple[list[str], list[list[Any]]]:
        """Return a table of `count` predictions: the worst mistakes first, then some right ones.

        Args:
            count: Rows of the table.
            show: Returns what stands for samples, such as their texts, for the last column; None for no such column.
        """
        if self.probability is None:
            order = np.argsort(-np.abs(self.predicted - self.actual), kind="stable")
            wrong, right = order, order[:0]
        else:
            order = np.argsort(-self.probability, kind="stable")
            mistaken = (self.predicted != self.actual)[order]
            wrong, right = order[mistaken], order[~mistaken]
        wrong = wrong[: max(count - min(RIGHT_ONES, len(right)), 0)]
        right = right[np.linspace(0, len(right) - 1, min(count - len(wrong), len(right))).astype(int)]
        chosen = np.concatenate([wrong, right])
        errors = self.predicted - self.actual if self.probability is None else None
        columns = [*self._columns(), *([] if errors is None else ["error"]), *(["text"] if show else [])]
        rows = [[*self._values(place), *([] if errors is None else [_short(errors[place])])] for place in chosen]
        if show:
            rows = [[*row, shown] for row, shown in zip(rows, show(self.rows[chosen]), strict=True)]
        return columns, rows

    def _columns(self) -> list[str]:
        return ["actual", "predicted", *([] if self.probability is None else ["probability"])]

    def _values(self, place: int) -> list[Any]:
        pair = [self.actual[place], self.predicted[place]]
        if self.probability is None:
            return [_short(value) for value in pair]
        return [*(self.classes[value] for value in pair), _short(self.probability[place])]


def decide(meaning: Tensor) -> dict[str, Tensor] | None:
    """Return what a batch of a task's predictions decides: for each sample a class and its probability, or a number.

    Args:
        meaning: Probabilities of shape (B, C), or numbers of shape (B,); nothing is decided by other shapes.
    """
    if meaning.ndim == 2:
        probability, predicted = meaning.float().max(dim=-1)
        return {"predicted": predicted, "probability": probability}
    return {"predicted": meaning.float()} if meaning.ndim == 1 else None


def _short(value: Any) -> float:
    return float(f"{value:.6g}")

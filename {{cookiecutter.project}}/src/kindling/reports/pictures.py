"""Draw what a run showed. Matplotlib takes most of a second: imported when there is something to draw."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from ..digits import metric, setting
from ..runs.history import Best, History
from ..runs.metrics import split_and_metric
from ..runs.name import run_name
from ..style import BLUE, GRAY, LINES, cut, figure_at
from .page import Facts, Summary, text_of

MOST_CLASSES = 60  # in one picture
LARGE_CELLS = 15  # classes of which cells have room for the share, too
MOST_POINTS = 5000  # of a scatter plot
LONGEST_NAME = 20  # characters of a class
LONGEST_KEY = 31
WIDTH_OF_COLUMN = 56


class Curves:
    """Losses, validation metrics and learning rate over the epochs, with the best epoch marked.

    Args:
        history: What training measured.
        log: The CSV file of metrics, which may have more learning rates.
        best: Where the monitored metric was best.
    """

    def __init__(self, history: History, log: Path, best: Best | None) -> None:
        self.history = history
        self.best = best
        self.rates = history.rates(log)
        self.panels = list(_panels(history))

    def draw(self, figure: FigureBase) -> None:
        columns = self.columns()
        axes = figure.subplots(-(-(len(self.panels) + 1) // columns), columns, squeeze=False).flatten()
        for axis, (title, names) in zip(axes, self.panels, strict=False):
            axis.set_title(title)
            for name, (color, dashes) in zip(names, LINES, strict=False):
                split, metric = split_and_metric(name)
                label = split if title == metric else name
                self._plot(axis, *self.history.line(name), color=color, linestyle=dashes, label=label)
            if self.best and self.best.name in names:
                axis.plot(self.best.epoch, self.best.value, "*", color="black", markersize=9, zorder=5)
            axis.legend()
        rate = axes[len(self.panels)]
        rate.set_title("learning rate")
        self._plot(rate, *self.rates, color=BLUE, marker="")
        rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        for axis in axes[len(self.panels) + 1 :]:
            axis.remove()
        for axis in axes[: len(self.panels) + 1]:
            self._mark_epochs(axis)

    def columns(self) -> int:
        return 2 if len(self.panels) + 1 in (2, 4) else 3

    def height(self) -> float:
        return 2.5 * -(-(len(self.panels) + 1) // self.columns())

    def title(self) -> str:
        if not self.best:
            return "nothing was validated yet"
        return f"best {self.best.name} {metric(self.best.value)} at epoch {setting(self.best.epoch)} (*)"

    def _plot(self, axis: Axes, x: list[float], y: list[float], marker: str = "o", **style: Any) -> None:
        axis.plot(x, y, marker=marker if len(x) <= 30 else "", **style)

    def _mark_epochs(self, axis: Axes) -> None:
        end = max(row["epoch"] for row in self.history.rows) or 1
        axis.set_xlim(0, end * 1.03)
        axis.set_xlabel("epoch", labelpad=1)
        axis.xaxis.set_major_locator(MaxNLocator(8, integer=end > 1, steps=[1, 2, 5, 10]))
        for epoch in self.history.resumed:
            axis.axvline(epoch, color=GRAY, linestyle=":", linewidth=0.8)
        if self.best:
            axis.axvline(self.best.epoch, color="black", linestyle="--", linewidth=0.8)


def draw_curves(path: Path, curves: Curves, name: str) -> None:
    """Draw the curves of the run called `name`."""
    with figure_at(path, (3.7 * curves.columns(), curves.height() + 0.4)) as figure:
        figure.suptitle(_title(name, curves), fontsize=10)
        curves.draw(figure)


def draw_report(path: Path, summary: Summary, curves: Curves) -> None:
    """Draw a summary in columns above the curves; the picture holds its text, too, as its description."""
    columns = _columns(summary)
    height = 0.55 + 0.137 * max(len(column) for column in columns)
    size = (3.7 * max(len(columns), curves.columns()), height + curves.height())
    with figure_at(path, size, description=summary.text()) as figure:
        parts: Any = figure.subfigures(2, height_ratios=[height, curves.height()])
        top, bottom = parts
        top.text(
            0.012, 1 - 0.1 / height, _title(run_name(summary.folder), curves), fontsize=10, weight="bold", va="top"
        )
        for place, column in enumerate(columns):
            text = "\n".join(column)
            left = 0.012 + place * 0.98 / len(columns)
            top.text(left, 1 - 0.36 / height, text, fontsize=7.5, family="monospace", va="top", linespacing=1.3)
        curves.draw(bottom)


def draw_matrix(path: Path, matrix: np.ndarray, classes: list[str]) -> None:
    """Draw how many samples of each class (rows) were predicted as each class (columns); colors are shares of the row.

    Of more than `MOST_CLASSES` classes those with the most mistakes are drawn.
    """
    total, right, title = int(matrix.sum()), int(np.trace(matrix)), ""
    if len(classes) > MOST_CLASSES:
        mistakes = matrix.sum(0) + matrix.sum(1) - 2 * np.diag(matrix)
        chosen = np.sort(np.argsort(-mistakes, kind="stable")[:MOST_CLASSES])
        title = f"; {MOST_CLASSES} of {len(classes)} classes, those with the most mistakes"
        # The shares are of all predictions for the class.
        shares = _shares(matrix)[np.ix_(chosen, chosen)]
        matrix, classes = matrix[np.ix_(chosen, chosen)], [classes[number] for number in chosen]
    else:
        shares = _shares(matrix)
    names, size = [cut(name, LONGEST_NAME) for name in classes], len(classes)
    side = max((0.52 if size <= LARGE_CELLS else 0.28) * size, 2.6)
    margin = 0.5 + 0.065 * max(map(_width, names))
    width, height = margin + side + 0.3, margin + side + 0.3
    with figure_at(path, (width, height), "none") as figure:
        axis = figure.add_axes((margin / width, margin / height, side / width, side / height))
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.grid(visible=False)
        axis.set_xticks(range(size), names, rotation=90)
        axis.set_yticks(range(size), names)
        axis.tick_params(length=0)
        axis.set_title(f"{right} of {total} test samples right{title}", fontsize=9 if size > 5 else 8)
        figure.text(margin / width + side / width / 2, 0.1 / height, "predicted", ha="center")
        figure.text(0.1 / width, margin / height + side / height / 2, "actual", va="center", rotation=90)
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                share = shares[row, column]
                text, fontsize = (f"{count}\n{share:.0%}", 7.0) if size <= LARGE_CELLS else (str(count), 5.5)
                color = "white" if share > 0.55 else "black"
                axis.text(column, row, text, ha="center", va="center", color=color, fontsize=fontsize)


def draw_scatter(path: Path, actual: np.ndarray, predicted: np.ndarray) -> None:
    """Draw predicted over actual numbers; of many samples every n-th."""
    every = -(-len(actual) // MOST_POINTS)
    with figure_at(path, (5, 5)) as figure:
        axis = figure.add_subplot()
        ends = [min(actual.min(), predicted.min()), max(actual.max(), predicted.max())]
        axis.plot(ends, ends, color="black", linestyle="--", linewidth=0.8, label="predicted = actual")
        size, alpha = (14, 0.5) if len(actual) <= 1000 else (6, 0.25)
        axis.scatter(actual[::every], predicted[::every], s=size, alpha=alpha, color=BLUE, linewidths=0)
        drawn = f", {len(actual[::every])} of them drawn" if every > 1 else ""
        error = np.abs(predicted - actual).mean()
        axis.set_title(f"{len(actual)} test samples{drawn}; mean absolute error {metric(error)}")
        axis.set_xlabel("actual")
        axis.set_ylabel("predicted")
        axis.set_aspect("equal", adjustable="datalim")
        axis.legend(loc="upper left")


def _panels(history: History) -> Iterator[tuple[str, list[str]]]:
    """Yield title and metrics of each panel: the losses, the metrics between 0 and 1, and each of the others."""
    metrics: dict[str, list[str]] = {}
    for name in sorted(history.names()):
        metrics.setdefault(split_and_metric(name)[1], []).append(name)
    shares = [metric for metric in metrics if metric != "loss" and all(map(_is_share(history), metrics[metric]))]
    if "loss" in metrics:
        yield "loss", metrics["loss"]
    together = [name for metric in shares for name in metrics[metric]]
    if len(together) <= len(LINES):
        if shares:
            yield ", ".join(shares), together
    else:
        yield from ((metric, metrics[metric]) for metric in shares)
    yield from ((metric, names) for metric, names in metrics.items() if metric not in (*shares, "loss"))


def _is_share(history: History) -> Callable[[str], bool]:
    return lambda name: all(0 <= value <= 1 for value in history.line(name)[1])


def _columns(summary: Summary) -> list[list[str]]:
    """Return columns of lines: the first section in as many columns as it needs, the others in the last."""
    blocks = [
        [heading.upper(), *_lines(section)]  # a block for each section
        for heading, section in summary.sections.items()
    ]
    first, others = blocks[0], [line for block in blocks[1:] for line in (*block, "")]
    length = max(-(-len(first) // 2), len(others) - 1, 1)
    return [*(first[start : start + length] for start in range(0, len(first), length)), others[:-1]]


def _lines(section: Facts) -> list[str]:
    width = min(LONGEST_KEY, max(map(len, section), default=0))
    return [cut(f"{name:<{width}} {text_of(name, value)}", WIDTH_OF_COLUMN) for name, value in section.items()]


def _shares(matrix: np.ndarray) -> np.ndarray:
    shares: np.ndarray = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return shares


def _width(name: str) -> int:
    return len(name) + sum(letter > "\u2e7f" for letter in name)  # Chinese, say, is wider


def _title(name: str, curves: Curves) -> str:
    return f"{cut(name, 48)}:  {curves.title()}"

"""A comparison as a picture: what each row has reached, and how it got there."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..runs.read import curve
from ..style import COLORS, GRAY, cut, figure_at
from .rows import Row, Section

LONGEST = 46  # letters of a label
LETTERS = 9  # of the names of the settings on an inch
TALLEST = 4.5  # inches of the curves, however many rows stand beside
BANDS = 3  # rows whose range is drawn: more of them hide each other


def draw(path: Path, sections: Sequence[Section], most: int) -> None:
    """Draw a line of two panels for each section: its best rows, at most so many, and their curves over epochs."""
    drawn = [(section, _rows(section, most)) for section in sections]
    drawn = [(section, rows) for section, rows in drawn if rows]
    heights = [max(2.6, 0.24 * len(rows) + 1.1) for _, rows in drawn]
    labels = max((len(_label(row)) for _, rows in drawn for row in rows), default=0)
    with figure_at(path, (9 + 0.075 * labels, sum(heights) or 2.6)) as figure:
        grid = figure.add_gridspec(max(1, len(drawn)), 2, height_ratios=heights or None, width_ratios=[1.15, 1])
        for number, (section, rows) in enumerate(drawn):
            _draw_rows(figure.add_subplot(grid[number, 0]), section, rows, int(LETTERS * heights[number]))
            tall = min(TALLEST, heights[number])
            right = grid[number, 1].subgridspec(2, 1, height_ratios=[tall, max(1e-3, heights[number] - tall)])
            _draw_curves(figure.add_subplot(right[0]), section, rows)
        if not drawn:
            figure.text(0.5, 0.5, "No run has reached anything yet", ha="center")


def _rows(section: Section, most: int) -> list[Row]:
    return [row for row in section.rows if math.isfinite(row.mean(section.metric))][:most]


def _draw_rows(axes: Axes, section: Section, rows: Sequence[Row], width: int) -> None:
    """Draw the mean of each row with its standard deviation, and the single seeds and folds behind it.

    Args:
        axes: Where.
        section: The section of the rows.
        rows: Its rows that are drawn.
        width: How many letters fit beside the panel.
    """
    for place, row in enumerate(rows):
        color = _color(place)
        values = list(row.repeats(section.metric).values())
        if len(values) > 1:
            axes.plot(values, [place - 0.2] * len(values), "o", color=color, alpha=0.5, markersize=4, markeredgewidth=0)
        face = color if row.finished else "white"
        spread = row.deviation(section.metric)
        axes.errorbar(
            row.mean(section.metric),
            place,
            xerr=None if math.isnan(spread) else spread,
            fmt="D",
            color=color,
            markerfacecolor=face,
            markersize=5,
            capsize=3,
            linewidth=1.3,
        )
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=9 if len(rows) < 30 else 8)
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the best row on top
    axes.set_xlabel(f"{section.metric}: mean, standard deviation, single runs", fontsize=9)
    axes.set_title(", ".join(filter(None, (section.data, section.task))), loc="left", fontsize=10)
    axes.set_ylabel(fill(", ".join(section.columns), width, break_long_words=False), fontsize=9, loc="top")
    for place, label in enumerate(axes.get_yticklabels()):
        label.set_color(_color(place) if place < len(COLORS) else "black")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(visible=False, axis="y")


def _draw_curves(axes: Axes, section: Section, rows: Sequence[Row]) -> None:
    """Draw the validation metric over epochs: the mean of each row, and the range of its runs."""
    metric = section.metric.replace("test/", "val/")
    longest = 1
    for place, row in reversed(list(enumerate(rows))):  # the best one over the others
        epochs: dict[int, list[float]] = {}
        for run in row.counted:
            for epoch, values in curve(run.folder).items():
                if math.isfinite(values.get(metric, math.nan)):
                    epochs.setdefault(epoch + 1, []).append(values[metric])
        longest = max(longest, *epochs, 1)
        colored = place < len(COLORS)
        style: dict[str, Any] = {
            "color": _color(place),
            "linewidth": 1.6 if colored else 0.8,
            "alpha": 1.0 if colored else 0.5,
        }
        marker = "o" if len(epochs) == 1 else None
        axes.plot(list(epochs), list(map(fmean, epochs.values())), marker=marker, markersize=4, **style)
        if place < BANDS and len(row.counted) > 1:
            low, high = list(map(min, epochs.values())), list(map(max, epochs.values()))
            axes.fill_between(list(epochs), low, high, color=_color(place), alpha=0.13, linewidth=0)
    axes.set_xlim(1 if longest > 1 else 0.5, longest if longest > 1 else 1.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_title(
        f"{metric}: mean" + (", range of the first rows" if len(rows) > BANDS else ", range"), loc="left", fontsize=10
    )


def _color(place: int) -> str:
    return COLORS[place] if place < len(COLORS) else GRAY


def _label(row: Row) -> str:
    text = row.label + ("" if row.finished else " (not finished)")
    return cut(text, LONGEST)

"""Draw what was tried before training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ...style import BLUE, GRAY, ORANGE, figure_at
from .attempt import NEARLY, Attempt

SIZE = (5.6, 3.4)


def draw_learning_rates(
    path: Path, rates: np.ndarray, losses: np.ndarray, average: np.ndarray, suggestion: float
) -> None:
    """Draw the loss of each step over its learning rate, up to a little above where it began."""
    with figure_at(path, SIZE) as figure:
        axis = figure.add_subplot()
        axis.set_title(f"learning rate {suggestion:g}: where the loss falls fastest")
        axis.plot(rates, losses, ".", color=GRAY, alpha=0.5, markeredgewidth=0, label="one step")
        axis.plot(rates, average, color=BLUE, label="average of near steps")
        axis.set_xscale("log")
        axis.set_xlabel("learning rate, rising with every step")
        axis.set_ylabel("training loss")
        axis.xaxis.set_major_formatter("{x:g}")
        falling = losses[: average.argmin() + 1]  # beyond it the losses may be of any size
        margin = 0.1 * float(np.ptp(falling))
        axis.set_ylim(falling.min() - margin, falling.max() + 2 * margin)
        _mark(axis, suggestion, float(np.interp(suggestion, rates, average)), f"{suggestion:g}")
        axis.legend()


def draw_batch_sizes(path: Path, attempts: Sequence[Attempt], suggestion: int) -> None:
    """Draw the speed of each batch size, and the memory that it takes of a GPU."""
    sizes = [attempt.size for attempt in attempts]
    speeds = [attempt.speed for attempt in attempts]
    panels = 2 if any(attempt.memory for attempt in attempts) else 1
    with figure_at(path, (SIZE[0] * (1 + 0.6 * (panels - 1)), SIZE[1])) as figure:
        axes = figure.subplots(1, panels, squeeze=False)[0]
        axes[0].set_title(f"batch size {suggestion}")
        axes[0].set_ylabel("speed of training (samples per second)")
        axes[0].plot(sizes, speeds, color=BLUE, marker="o")
        axes[0].axhspan(NEARLY * max(speeds), max(speeds), color=BLUE, alpha=0.12, linewidth=0, label="the best 5%")
        axes[0].set_ylim(0, 1.12 * max(speeds))
        _mark(axes[0], suggestion, speeds[sizes.index(suggestion)], str(suggestion))
        axes[0].legend(loc="lower right")
        if panels == 2:
            memory = [attempt.memory / 2**30 for attempt in attempts]
            axes[1].set_title("with the longest samples")
            axes[1].set_ylabel("memory of the GPU (GiB)")
            axes[1].plot(sizes, memory, color=BLUE, marker="o")
            axes[1].set_ylim(0, 1.12 * max(memory))
            _mark(axes[1], suggestion, memory[sizes.index(suggestion)], str(suggestion))
        for axis in axes:
            axis.set_xlabel("batch size (samples)")
            axis.set_xscale("log", base=2)
            axis.set_xticks(sizes, [str(size) for size in sizes])
            axis.xaxis.set_minor_locator(NullLocator())


def _mark(axis: Axes, x: float, y: float, name: str) -> None:
    axis.axvline(x, color=ORANGE, linestyle="--", linewidth=0.8)
    axis.plot(x, y, "*", color=ORANGE, markersize=11, zorder=5, label=f"suggestion: {name}")

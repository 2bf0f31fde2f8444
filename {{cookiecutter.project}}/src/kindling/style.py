"""Paper and colors of all pictures, for which nothing has to wait for torch. Matplotlib takes most of a second."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .files import new_file
from .startup import quiet

# Colors that the color-blind can tell apart (Okabe and Ito, and a brown), in the order in which lines get them.
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, BROWN, BLACK = COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D31", "#000000"),
)
GRAY, PALE = "#666666", "#b8b8b8"
# Lines differ in their dashes, too.
LINES = tuple(zip(COLORS, ("-", "--", "-.", ":", "-", "--", "-.", ":"), strict=True))
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "axes.unicode_minus": False,
    "font.size": 8,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "text.parse_math": False,  # a class may be called $5
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}

quiet("matplotlib")


@contextmanager
def figure_at(
    path: Path,
    size: tuple[float, float],
    layout: Any = "constrained",
    metadata: dict[str, str] | None = None,
) -> Iterator[Figure]:
    """Give a figure of so many inches to draw on, which then is the file at `path`."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the font lacks a letter, which is drawn as a box
        figure = Figure(figsize=size, dpi=100, layout=layout)
        canvas = FigureCanvasAgg(figure)
        yield figure
        with new_file(path) as new:
            canvas.print_png(new, metadata=metadata)  # type: ignore[no-untyped-call] # `savefig` draws all twice


def cut(text: str, length: int) -> str:
    """Return the text, or its beginning if it is longer."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
